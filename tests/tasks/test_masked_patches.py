"""Patches: how they are cut, hidden and normalised, and that what is told can be learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Field
from polymodal.contract.form import Patches
from polymodal.contract.task import Pass
from polymodal.modalities.audio.forms.mel import Mel
from polymodal.modalities.image.forms.pixels import Pixels
from polymodal.modalities.series.forms.steps import Steps
from polymodal.modalities.video.forms.frames import Frames
from polymodal.table.media import Media
from polymodal.tasks import _patchwise
from polymodal.tasks.masked_patches import MaskedPatches


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def steps() -> Steps:
    form = Steps()
    form.fit([Media("series", values=np.zeros((4 + n, 3)) + n) for n in range(3)])
    return form


def pixels(rows: int, size: int) -> Field:
    data = torch.randint(0, 256, (rows, size, size, 3), generator=seeded(), dtype=torch.uint8)
    return Field(data, None, torch.ones(rows, dtype=torch.bool))


def test_cutting_and_joining() -> None:
    values = torch.arange(2 * 5 * 7 * 3).view(2, 5, 7, 3).float()
    parts = _patchwise.cut(values, (2, 3))
    assert parts.shape == (2, 9, 6, 3)
    assert torch.equal(parts[0, 0].view(2, 3, 3), values[0, :2, :3])
    assert torch.equal(parts[1, 4].view(2, 3, 3), values[1, 2:4, 3:6])
    assert (parts[:, 8, 1:] == 0).all()
    assert torch.equal(_patchwise.joined(parts, (2, 3), (5, 7)), values)


def test_targets_have_mean_zero_and_deviation_one() -> None:
    parts = torch.randn(2, 3, 8, 2, generator=seeded()) * torch.tensor([1.0, 100.0]) + 1e4
    real = torch.ones(2, 3, 8, dtype=torch.bool)
    real[0, 0, 5:] = False
    found = _patchwise.normalised(parts, real, apart=True)
    assert (found[0, 0, 5:] == 0).all()
    torch.testing.assert_close(found.sum(2), torch.zeros(2, 3, 2), atol=1e-4, rtol=0)
    wanted = real.sum(2, keepdim=True).expand(2, 3, 2).float()
    torch.testing.assert_close((found**2).sum(2), wanted, atol=1e-3, rtol=1e-4)
    together = _patchwise.normalised(parts, real, apart=False)
    torch.testing.assert_close((together**2).sum((2, 3)), wanted.sum(2), atol=1e-3, rtol=1e-4)
    parts[0, 0, 5:] = torch.nan
    torch.testing.assert_close(_patchwise.normalised(parts, real, apart=True), found)


@pytest.mark.parametrize("value", [0.0, 7.3, 1e6, -1e-3])
def test_constant_patches_are_zero_and_told_by_zero(value: float) -> None:
    form = Pixels(size=32)
    field = Field(torch.full((3, 32, 32, 3), value), None, torch.ones(3, dtype=torch.bool))
    task = MaskedPatches("hidden", modality="photo")
    batch = task.spoil(Batch({"photo": field}, {}, torch.arange(3)), {"photo": form}, seeded())
    target = batch.targets["hidden"]
    assert (target.data == 0).all()
    output = torch.zeros(3, 64, 4 * 4 * 3, requires_grad=True)
    assert task.loss(Pass(batch.inputs, None, output, {}, target)).item() == 0


def test_shares_of_each_kind() -> None:
    series = steps()
    found = {
        "pixels": Pixels(size=64).patches,
        "mel": Mel().patches,
        "steps": series.patches,
        "frames": Frames(frames=8, size=32).patches,
    }
    assert found["pixels"] == Patches((8, 8), 3, 0.75)
    assert found["mel"] == Patches((16, 16), 1, 0.75)
    assert found["steps"] == Patches((8,), 3, 0.4, apart=True)
    assert found["frames"] == Patches((2, 4, 4), 3, 0.9, tube=True)


def test_three_quarters_of_a_picture_are_hidden_and_the_rest_stays() -> None:
    task, form, field = MaskedPatches("hidden", modality="photo"), Pixels(size=32), pixels(5, 32)
    batch = task.spoil(Batch({"photo": field}, {}, torch.arange(5)), {"photo": form}, seeded())
    gone = batch.targets["hidden"].mask
    assert gone.shape == (5, 64) and (gone.sum(1) == 48).all()
    before = _patchwise.cut(field.data, (4, 4))
    after = _patchwise.cut(batch.inputs["photo"].data, (4, 4))
    assert torch.equal(before[~gone], after[~gone])
    # What is hidden is the mean of the rest, each colour's.
    rest = before[0][~gone[0]].double().mean((0, 1)).round()
    assert (after[0][gone[0]] == rest).all()


def test_a_tube_is_hidden_throughout() -> None:
    task, form = MaskedPatches("hidden", modality="clip"), Frames(frames=4, size=16)
    data = torch.randint(0, 256, (3, 4, 16, 16, 3), generator=seeded(), dtype=torch.uint8)
    field = Field(data, None, torch.ones(3, dtype=torch.bool))
    batch = task.spoil(Batch({"clip": field}, {}, torch.arange(3)), {"clip": form}, seeded())
    gone = batch.targets["hidden"].mask.view(3, 4, 64)
    assert (gone == gone[:, :1]).all() and (gone[:, 0].sum(1) == round(0.9 * 64)).all()


def test_short_series_and_their_ends() -> None:
    task, form = MaskedPatches("hidden", modality="walk"), steps()
    lengths = torch.tensor([30, 13, 8, 3])
    mask = torch.arange(30) < lengths.unsqueeze(1)
    data = torch.randn(4, 30, 3, generator=seeded()) * mask.unsqueeze(-1)
    field = Field(data, mask, torch.ones(4, dtype=torch.bool))
    batch = task.spoil(Batch({"walk": field}, {}, torch.arange(4)), {"walk": form}, seeded())
    target = batch.targets["hidden"]
    # Of 4, 2, 1 and 1 patches two fifths, and never all.
    assert target.mask.sum(1).tolist() == [2, 1, 0, 0]
    known = ~target.data.isnan().all(-1).flatten(1)
    assert known.sum(1).tolist() == [30, 13, 8, 3]


def test_the_loss_is_on_hidden_patches_alone() -> None:
    task, form, field = MaskedPatches("hidden", modality="photo"), Pixels(size=32), pixels(5, 32)
    batch = task.spoil(Batch({"photo": field}, {}, torch.arange(5)), {"photo": form}, seeded())
    target = batch.targets["hidden"]
    output = torch.randn(5, 64, 48, generator=seeded(), requires_grad=True)
    loss = task.loss(Pass(batch.inputs, None, output, {}, target))
    loss.backward()
    assert torch.equal((output.grad != 0).any(-1), target.mask)
    wanted = (output - target.data.view(5, 64, 48))[target.mask] ** 2
    assert loss.item() == pytest.approx(wanted.mean().item(), rel=1e-5)


def test_figures() -> None:
    task, form, field = MaskedPatches("hidden", modality="photo"), Pixels(size=32), pixels(5, 32)
    batch = task.spoil(Batch({"photo": field}, {}, torch.arange(5)), {"photo": form}, seeded())
    target, ones = batch.targets["hidden"], np.ones((1, 5))

    def measured(output: torch.Tensor) -> dict[str, float]:
        rows = task.answer(Pass(batch.inputs, None, output, {}, target))
        return {name: m.statistic(ones)[0] for name, m in task.metrics(rows, []).items()}

    truth = target.data.view(5, 64, 48)
    assert measured(truth) == {"r2": 1, "mse": 0}
    mean = measured(torch.zeros(5, 64, 48))
    assert mean["r2"] == 0 and mean["mse"] == pytest.approx(1, abs=1e-4)
    half = measured(truth / 2)
    assert half["r2"] == pytest.approx(0.75)
    rows = task.answer(Pass(batch.inputs, None, truth / 2, {}, target))
    assert task.criterion(task.constant(rows), []) == pytest.approx(1, abs=1e-4)
    assert task.decode(rows)["hidden"][0] == pytest.approx(0.25, abs=1e-3)


def test_it_learns(one_pass) -> None:
    """Stripes of one of two directions: what is hidden follows from what is seen."""
    stripes = (np.arange(16) % 2 * 200).astype(np.uint8)
    across = np.repeat(np.broadcast_to(stripes, (16, 16))[..., None], 3, 2)
    cells = [
        Media("image", values=across if i % 2 else across.transpose(1, 0, 2)) for i in range(16)
    ]
    task = MaskedPatches("hidden", modality="photo", share=0.5, sides=[4, 4])
    options = {"size": 16}
    _, last, constant = one_pass(
        task, "image", "patch", options, cells, fusion="cross_attention", steps=80
    )
    assert constant == pytest.approx(1, abs=1e-3) and last < 0.5 * constant


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match="leave 'x' nothing to tell"):
        MaskedPatches("x", modality="photo", share=1.0)
    with pytest.raises(UserError, match="has no parts of 'photo' to hide"):
        MaskedPatches("x", modality="photo").heads(8, [], 0.0, {})
    with pytest.raises(UserError, match="have 2 sides"):
        MaskedPatches("x", modality="photo", sides=[4]).heads(8, [], 0.0, {"photo": Pixels()})
