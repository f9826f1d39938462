from __future__ import annotations

import pytest
import torch

from polymodal.contract.batch import Field
from polymodal.modalities.series.augment import Augment as Series

OFF = {"stretch": 0.0, "crop": 0.0, "scale": 0.0, "jitter": 0.0, "hide": 0.0, "drop": 0.0}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def series(channels: int = 3) -> Field:
    """Six series, the fourth absent; channels differ in level and spread."""
    lengths = torch.tensor([40, 7, 1, 0, 25, 30])
    mask = torch.arange(40) < lengths[:, None]
    units = 10.0 ** torch.arange(channels)
    data = (5 + torch.randn(6, 40, channels, generator=seeded())) * units
    return Field(torch.where(mask.unsqueeze(2), data, 0), mask, lengths > 0)


def change(**options: float) -> tuple[torch.Tensor, torch.Tensor]:
    """What one variation does to the real positions, and where they are."""
    before, after = series(), Series(**{**OFF, **options})(series(), seeded())
    assert before.mask is not None
    return torch.where(before.mask.unsqueeze(2), after.data - before.data, 0), before.mask


def test_same_seed_same_result_other_seed_another() -> None:
    a, b, c = (Series()(series(), seeded(s)) for s in (1, 1, 2))
    assert torch.equal(a.data, b.data)
    assert a.data.shape != c.data.shape or not torch.allclose(a.data, c.data)


def test_nothing_switched_on_changes_nothing() -> None:
    before, after = series(), Series(**OFF)(series(), seeded())
    assert before.mask is not None and after.mask is not None
    assert after.mask.equal(before.mask)
    torch.testing.assert_close(after.data, before.data)


@pytest.mark.parametrize("drop", [0.0, 1.0])
def test_absent_rows_and_padding_stay_empty(drop: float) -> None:
    for seed in range(20):
        after = Series(drop=drop)(series(), seeded(seed))
        assert after.mask is not None and after.mask.shape == after.data.shape[:2]
        assert (after.data[~after.mask] == 0).all() and after.data.isfinite().all()
        assert after.mask.any(1).equal(after.present) and after.present.equal(series().present)


def test_padding_changes_nothing() -> None:
    before = series()
    assert before.mask is not None
    dirty = Field(
        torch.where(before.mask.unsqueeze(2), before.data, 1e9), before.mask, before.present
    )
    torch.testing.assert_close(Series()(dirty, seeded()).data, Series()(before, seeded()).data)


def test_scale_keeps_every_level() -> None:
    moved, mask = change(scale=0.3)
    assert (moved[0].abs().amax(0) > 0).all()
    means = moved.sum(1) / mask.sum(1, keepdim=True).clamp(min=1) / 10.0 ** torch.arange(3)
    torch.testing.assert_close(means, torch.zeros(6, 3), atol=1e-4, rtol=0)


def test_jitter_is_in_the_channels_own_units() -> None:
    moved, mask = change(jitter=0.1)
    spread = moved[mask].std(0) / 10.0 ** torch.arange(3)
    torch.testing.assert_close(spread, torch.full((3,), 0.1), atol=0.03, rtol=0)


def test_what_is_hidden_is_the_rows_mean() -> None:
    moved, mask = change(hide=0.5)
    before = series()
    hidden = (moved != 0).any(2)
    assert hidden.any() and (hidden.sum(1) <= mask.sum(1) / 2).all()
    row = int(hidden.any(1).nonzero()[0])
    found = (before.data + moved)[row][hidden[row]]
    mean = before.data[row][mask[row]].mean(0)
    torch.testing.assert_close(found, mean.expand_as(found))


def test_a_dropped_channel_is_the_batch_mean() -> None:
    moved, mask = change(drop=0.5)
    before = series()
    silent = (moved != 0).any(1)
    assert silent.any() and not silent[mask.any(1)].all()
    row, channel = (int(i) for i in silent.nonzero()[0])
    found = (before.data + moved)[row, mask[row], channel]
    torch.testing.assert_close(found, before.data[mask].mean(0)[channel].expand_as(found))


def test_the_only_channel_is_never_dropped() -> None:
    after = Series(**{**OFF, "drop": 1.0})(series(1), seeded())
    torch.testing.assert_close(after.data, series(1).data)


def test_tempo_and_crop_change_the_length() -> None:
    for option in ("stretch", "crop"):
        after = Series(**{**OFF, option: 0.3})(series(), seeded())
        assert after.mask is not None and after.mask[0].sum() != 40


def test_batches_without_any_series_and_other_forms_come_back_as_they_are() -> None:
    none = torch.zeros(2, dtype=torch.bool)
    absent = Field(torch.zeros(2, 1, 3), torch.zeros(2, 1, dtype=torch.bool), none)
    fixed = Field(torch.randn(3, 9), None, torch.ones(3, dtype=torch.bool))
    assert Series()(absent, seeded()) is absent and Series()(fixed, seeded()) is fixed
