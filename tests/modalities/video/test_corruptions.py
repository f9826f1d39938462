"""Frames are frozen at their rate, black before the first one kept."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from polymodal.modalities.video.corruptions.dropped_frames import DroppedFrames
from polymodal.modalities.video.forms.frames import Frames
from polymodal.table.media import Media


def corrupted(clip: Any, level: float, seed: int = 0, frames: int = 200) -> np.ndarray[Any, Any]:
    change = DroppedFrames()
    change.fit(Frames(frames=frames), [])
    found = change(Media("a clip", values=clip), level, np.random.default_rng(seed)).values
    return np.asarray(found)


def numbered(frames: int = 200) -> np.ndarray[Any, Any]:
    """Every frame holds its number, from 1."""
    numbers = np.arange(1, frames + 1, dtype=np.uint8)
    return np.broadcast_to(numbers[:, None, None, None], (frames, 8, 8, 3)).copy()


@pytest.mark.parametrize("level", [0.25, 0.6])
def test_frames_are_dropped_at_their_rate(level: float) -> None:
    shares = []
    for seed in range(10):
        shown = corrupted(numbered(), level, seed)[:, 0, 0, 0].astype(int)
        kept = shown == np.arange(1, 201)
        shares.append(1 - kept.mean())
        # Each frame is the last one kept; what comes before the first of them is black.
        last = np.maximum.accumulate(np.where(kept, np.arange(1, 201), 0))
        np.testing.assert_array_equal(shown, last)
    assert np.mean(shares) == pytest.approx(level, abs=0.03)


def test_a_frame_dropped_at_one_level_is_dropped_at_every_higher_one() -> None:
    numbers = np.arange(1, 201)
    masks = [corrupted(numbered(), k / 10)[:, 0, 0, 0] != numbers for k in range(1, 11)]
    for weak, strong in itertools.pairwise(masks):
        assert not (weak & ~strong).any()
    assert masks[-1].all() and not corrupted(numbered(), 1.0).any()


def test_the_form_takes_the_frames_it_would_have_taken() -> None:
    form = Frames(frames=6, size=8, resize="stretch")
    clean = form.encode(Media("a clip", values=numbered(50)))[:, 0, 0, 0]
    found = corrupted(numbered(50), 0.5, frames=6)
    assert len(found) == 6
    shown = form.encode(Media("a clip", values=found))[:, 0, 0, 0]
    assert set(shown.tolist()) <= {0, *clean.tolist()}
    kept = shown == clean
    assert 0 < kept.sum() < 6


def test_large_frames_are_made_smaller_alike() -> None:
    clip = np.full((3, 300, 600, 3), 7, np.uint8)
    assert corrupted(clip, 0.1).shape == (3, 112, 224, 3)
