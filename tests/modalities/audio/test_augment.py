from __future__ import annotations

import pytest
import torch

from polymodal.contract.batch import Field
from polymodal.modalities.audio.augment import Augment as Audio

OFF = {"stretch": 0.0, "crop": 0.0, "shift": 0.0, "gain": 0.0, "hide_time": 0.0, "hide_mels": 0.0}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sounds() -> Field:
    """Six log-mels, the fourth absent."""
    lengths = torch.tensor([40, 7, 1, 0, 25, 30])
    mask = torch.arange(40) < lengths[:, None]
    data = torch.randn(6, 40, 16, generator=seeded()) - 8
    return Field(torch.where(mask.unsqueeze(2), data, 0), mask, lengths > 0)


def test_same_seed_same_result_other_seed_another() -> None:
    a, b, c = (Audio()(sounds(), seeded(s)) for s in (1, 1, 2))
    assert torch.equal(a.data, b.data)
    assert a.data.shape != c.data.shape or not torch.allclose(a.data, c.data)


def test_nothing_switched_on_changes_nothing() -> None:
    before, after = sounds(), Audio(**OFF)(sounds(), seeded())
    assert before.mask is not None and after.mask is not None
    assert after.mask.equal(before.mask)
    torch.testing.assert_close(after.data, before.data)


def test_absent_rows_and_padding_stay_empty() -> None:
    for seed in range(20):
        after = Audio()(sounds(), seeded(seed))
        assert after.mask is not None and after.mask.shape == after.data.shape[:2]
        assert (after.data[~after.mask] == 0).all() and after.data.isfinite().all()
        assert after.mask.any(1).equal(after.present) and after.present.equal(sounds().present)


def test_padding_changes_nothing() -> None:
    before = sounds()
    assert before.mask is not None
    dirty = Field(
        torch.where(before.mask.unsqueeze(2), before.data, 1e6), before.mask, before.present
    )
    torch.testing.assert_close(Audio()(dirty, seeded()).data, Audio()(before, seeded()).data)


def test_gain_is_one_number_a_row() -> None:
    before, after = sounds(), Audio(**{**OFF, "gain": 2.0})(sounds(), seeded())
    assert before.mask is not None
    change = (after.data - before.data).mean(2)
    for row, mask in zip(change, before.mask, strict=True):
        torch.testing.assert_close(row[mask], row[:1].expand(int(mask.sum())))
    assert change.abs().max() <= 2 and change[:, 0].unique().numel() == 6


def test_shift_moves_the_spectrum() -> None:
    ramp = torch.arange(16.0).expand(5, 3, 16)
    field = Field(ramp, torch.ones(5, 3, dtype=torch.bool), torch.ones(5, dtype=torch.bool))
    change = (Audio(**{**OFF, "shift": 2.0})(field, seeded()).data - ramp)[:, :, 4:12]
    torch.testing.assert_close(change, change[:, :1, :1].expand_as(change))
    assert change.abs().max() <= 2 and change[:, 0, 0].unique().numel() == 5


@pytest.mark.parametrize(("option", "axis"), [("hide_time", 1), ("hide_mels", 2)])
def test_what_is_hidden_is_the_mean(option: str, axis: int) -> None:
    before = sounds()
    after = Audio(**{**OFF, option: 0.5})(before, seeded())
    changed = (after.data != before.data).any(3 - axis)
    assert before.mask is not None
    total = before.mask.sum(1) if axis == 1 else torch.full((6,), 16)
    assert changed.any() and (changed.sum(1) <= total / 2).all()
    row = int(changed.any(1).nonzero()[0])
    real, hidden = before.data[row][before.mask[row]], changed[row]
    if axis == 1:
        torch.testing.assert_close(
            after.data[row][hidden], real.mean(0).expand(int(hidden.sum()), -1)
        )
    else:
        found = after.data[row][before.mask[row]][:, hidden]
        torch.testing.assert_close(found, real.mean().expand_as(found))


def test_tempo_changes_the_length() -> None:
    after = Audio(**{**OFF, "stretch": 0.3})(sounds(), seeded())
    assert after.mask is not None
    lengths = after.mask.sum(1)
    assert lengths[0] != 40 and 40 / 1.3 - 2 <= lengths[0] <= 40 / 0.7 + 2
    cropped = Audio(**{**OFF, "crop": 0.2})(sounds(), seeded())
    assert cropped.mask is not None and 40 * 0.6 - 2 <= cropped.mask[0].sum() < 40


def test_other_forms_come_back_as_they_are() -> None:
    field = Field(torch.randn(3, 9), None, torch.ones(3, dtype=torch.bool))
    assert Audio()(field, seeded()) is field


def test_samples_get_louder_and_shorter_and_keep_their_level() -> None:
    data = torch.ones(64, 200, 1)
    field = Field(data, torch.ones(64, 200, dtype=torch.bool), torch.ones(64, dtype=torch.bool))
    found = Audio(gain=2.0)(field, torch.Generator().manual_seed(0))
    heard = found.data[found.data != 0]
    # Each sound is silent in one piece and as loud throughout the rest.
    assert 0.3 < heard.min() < 0.5 and 2 < heard.max() < 2.8
    for row in range(64):
        assert len(found.data[row][found.data[row] != 0].unique()) == 1
    assert (found.data.squeeze(2)[~found.mask] == 0).all()
    assert found.mask.sum(1).min() < 190
