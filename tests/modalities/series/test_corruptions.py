"""Corrupted series: as strong as stated, whichever way round they are stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from polymodal.base import lookup
from polymodal.modalities.series.forms.steps import Steps
from polymodal.table.media import Media

NAMES = ("noise", "dropped_channels", "time_warp")


def corrupted(
    name: str, array: Any, level: float, seed: int = 0, layout: str = "steps_first"
) -> np.ndarray[Any, Any]:
    cell = Media("a series", values=array)
    form = Steps(layout=layout)
    form.fit([cell])
    change = lookup.build("modalities/series/corruptions", name)
    change.fit(form, [cell])
    return form.encode(change(cell, level, np.random.default_rng(seed)))


def waves(steps: int = 4000) -> np.ndarray[Any, Any]:
    time = np.arange(steps)[:, None]
    return np.sin(time / 20) * [1.0, 30.0] + [0.0, 500.0]


def test_noise_is_as_strong_as_its_channel_varies() -> None:
    for level in (0.1, 1.0):
        noise = corrupted("noise", waves(), level) - waves()
        np.testing.assert_allclose(noise.std(0), 3 * level * waves().std(0), rtol=0.04)
        assert abs(np.corrcoef(noise.T)[0, 1]) < 0.05
    assert (corrupted("noise", np.full((9, 1), 4.0), 1.0) == 4).all()


def test_channels_are_dropped_at_their_rate_and_whole() -> None:
    array = np.ones((3, 4000))
    weak, strong = (corrupted("dropped_channels", array, level) == 0 for level in (0.3, 0.5))
    np.testing.assert_array_equal(weak.all(0), weak.any(0))
    assert weak.mean() == pytest.approx(0.3, abs=0.02)
    assert strong.mean() == pytest.approx(0.5, abs=0.02)
    assert not (weak & ~strong).any()
    assert not corrupted("dropped_channels", array, 1.0).any()


def test_a_warp_keeps_the_ends_the_order_and_the_channels_together() -> None:
    ramp = np.arange(300.0)[:, None] * [1.0, -2.0]
    for seed in range(10):
        first, second = corrupted("time_warp", ramp, 1.0, seed).T
        assert first[0] == 0 and first[-1] == pytest.approx(299)
        assert (np.diff(first) > 0).all()
        np.testing.assert_allclose(second, -2 * first, rtol=1e-5)


def test_a_warp_changes_the_pace_by_the_octaves_of_its_level() -> None:
    ramp = np.arange(300.0)[:, None]
    for level in (0.2, 0.6):
        spreads = []
        for seed in range(300):
            octaves = np.log2(np.diff(corrupted("time_warp", ramp, level, seed)[:, 0]))
            # At the first and the last step the pace is a knot's own: differences of two normals.
            spreads.append(octaves[0] - octaves[-1])
        assert np.std(spreads) == pytest.approx(2**0.5 * 2 * level, rel=0.15)


def test_a_higher_level_moves_further() -> None:
    ramp = np.arange(300.0)[:, None]
    moved = [
        np.mean([np.abs(corrupted("time_warp", ramp, k / 5, s) - ramp).mean() for s in range(10)])
        for k in range(1, 6)
    ]
    assert moved == sorted(moved) and moved[0] > 1


@pytest.mark.parametrize("name", NAMES)
def test_stored_channels_first_or_as_one_list_or_in_a_file(name: str) -> None:
    array = waves(60)
    found = corrupted(name, array, 0.5)
    np.testing.assert_array_equal(corrupted(name, array.T, 0.5, layout="channels_first"), found)
    single = corrupted(name, array[:, 0], 0.5)
    np.testing.assert_array_equal(single, corrupted(name, array[:, :1], 0.5))
    # A text table has a line a step also where arrays have channels first.
    change = lookup.build("modalities/series/corruptions", name)
    form = Steps(layout="channels_first")
    form.fit([Media("an array", values=array.T)])
    change.fit(form, [])
    lines = "\n".join(",".join(map(repr, row)) for row in array.tolist()).encode()
    read = change(Media("a.csv", data=lines), 0.5, np.random.default_rng(0))
    np.testing.assert_array_equal(form.encode(read), found)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_the_shortest_series(name: str, steps: int) -> None:
    found = corrupted(name, np.arange(2.0 * steps).reshape(steps, 2), 1.0)
    assert found.shape == (steps, 2) and np.isfinite(found).all()
