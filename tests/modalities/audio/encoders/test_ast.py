from __future__ import annotations

from typing import Any

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.modalities.audio.encoders.ast import MARKS, Ast
from polymodal.modalities.audio.forms.mel import Mel
from polymodal.train.kernels import Kernels

SMALL: dict[str, Any] = {"hidden": 32, "depth": 2, "heads": 2, "patch": 8, "dropout": 0.0}


def build(mels: int = 24, seconds: float = 0.4, width: int = 8, **options: Any) -> Ast:
    torch.manual_seed(0)
    return Ast(Mel(mels=mels, seconds=seconds), width, **SMALL | options)


def sounds(*lengths: int, mels: int = 24) -> Field:
    data = torch.randn(len(lengths), max(lengths), mels, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    return Field(torch.where(mask.unsqueeze(2), data, 0), mask, torch.tensor(lengths) > 0)


@pytest.mark.parametrize("overlap", [0, 4])
@torch.no_grad()
def test_states_are_the_librarys(overlap: int) -> None:
    encoder = build(overlap=overlap).eval()
    field = sounds(40, 40)
    wanted = encoder.network.model(field.data.clamp(-8, 8)).last_hidden_state
    found = encoder(field)
    # Of 24 bands and 40 frames: 3 by 5 patches, or 5 by 9 that overlap by half.
    assert wanted.shape[1] == MARKS + (15 if overlap == 0 else 45)
    values = found.values[found.mask].view(2, -1, 8)
    torch.testing.assert_close(values, encoder.project(wanted), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_patches_cover_a_sound_and_no_more() -> None:
    encoder = build().eval()
    found = encoder(sounds(40, 17, 16, 3, 0))
    # Of three bands, in time as many patches as are begun.
    counts = [MARKS + 3 * times for times in (5, 3, 2, 1)]
    assert found.mask.sum(1).tolist() == [*counts, 0]
    field = sounds(40, 17, 16, 3, 0)
    for row, length in enumerate((40, 17, 16, 3)):
        rest = field.data[[row], :length], field.mask[[row], :length], field.present[[row]]
        alone = encoder(Field(*rest))
        kept = found.values[row][found.mask[row]]
        torch.testing.assert_close(alone.values[alone.mask], kept, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_what_is_longer_than_the_form_allows_shares_the_last_place() -> None:
    encoder = build(seconds=0.2).eval()
    assert encoder.times == 3
    assert encoder(sounds(48)).values.isfinite().all()


def test_the_papers_size() -> None:
    with torch.device("meta"):
        options = {"hidden": 768, "depth": 12, "heads": 12, "patch": 16, "overlap": 6}
        model = build(mels=128, seconds=10.24, **options).network.model
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(86.2, abs=0.1)


@torch.no_grad()
def test_attention_is_the_measured_kernel() -> None:
    encoder, field = build().eval(), sounds(40, 17, 0)
    found = [Kernels(attention=name).apply(encoder)(field).values for name in ("plain", "sdpa")]
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", [{"patch": 0}, {"patch": 25}, {"overlap": 8}, {"overlap": -1}])
def test_patches_that_do_not_fit(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="do not fit"):
        build(**options)


def test_a_band_is_found_in_seconds() -> None:
    encoder = build(width=2)
    optimizer = torch.optim.AdamW(encoder.parameters(), 1e-3)
    generator = torch.Generator().manual_seed(0)

    def batch() -> tuple[Field, torch.Tensor]:
        label = torch.randint(2, (32,), generator=generator)
        data = 0.5 * torch.randn(32, 24, 24, generator=generator)
        start = torch.randint(20, (32,), generator=generator)
        for row in range(32):
            band = 4 + 12 * int(label[row])
            data[row, start[row] : start[row] + 4, band : band + 3] += 2
        return Field(data, torch.ones(32, 24, dtype=torch.bool), torch.ones(32) > 0), label

    for _ in range(40):
        field, label = batch()
        loss = torch.nn.functional.cross_entropy(encoder(field).mean(), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    field, label = batch()
    assert (encoder.eval()(field).mean().argmax(1) == label).float().mean() >= 0.9
