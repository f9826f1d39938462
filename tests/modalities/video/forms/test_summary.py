"""What moves, and where to, is told by numbers of a fixed vector."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.base.errors import UserError
from polymodal.modalities.video.forms.summary import Summary, _motion, _path, _shifts
from polymodal.table.media import Media


def clip(dx: int, dy: int, seed: int = 0, frames: int = 16) -> np.ndarray:
    """A square of one colour that moves over grey, from anywhere."""
    rng = np.random.default_rng(seed)
    pixels = np.full((frames, 64, 64, 3), 90, np.uint8)
    x, y = rng.integers(20, 40, 2)
    colour = rng.integers(160, 256, 3)
    for i in range(frames):
        pixels[i, y + dy * i // 2 : y + dy * i // 2 + 8, x + dx * i // 2 : x + dx * i // 2 + 8] = (
            colour
        )
    return pixels


def encode(pixels: np.ndarray) -> np.ndarray:
    found = Summary().encode(Media("row 1", values=pixels))
    assert found.shape == (3453,) and found.dtype == np.float32 and np.isfinite(found).all()
    return found


def test_the_whole_frames_shift_is_measured() -> None:
    noise = np.random.default_rng(0).random((32, 32))
    moving = np.stack([np.roll(noise, (2 * i, -3 * i), (0, 1)) for i in range(5)])
    np.testing.assert_allclose(_shifts(moving), [[-3 / 32, 2 / 32]] * 4)
    np.testing.assert_array_equal(_shifts(np.ones((3, 32, 32))), 0)


def test_flow_has_the_direction_of_what_moves() -> None:
    wave = np.sin(np.arange(32) / 3)
    right = np.stack([np.tile(np.sin((np.arange(32) - 0.5 * i) / 3), (32, 1)) for i in range(8)])
    flow = _motion(right)[0][:, 64:96]
    assert 0.3 < np.median(flow[:, :16]) < 0.6 and np.abs(flow[:, 16:]).max() < 0.05
    assert not _motion(np.tile(wave, (4, 32, 1)))[0].any()


def test_the_path_follows_what_is_not_always_there() -> None:
    grey = np.zeros((8, 32, 32))
    for i in range(8):
        grey[i, 4:8, 4 * i : 4 * i + 4] = 1
    course, change = _path(grey)
    assert (np.diff(course[:, 0]) > 0).all() and change[0] > 1
    assert (course[:, 1] < -0.5).all() and abs(change[1]) < 0.1


def test_directions_are_told_apart_by_a_linear_model() -> None:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.preprocessing import StandardScaler

    ways = [(1, 0), (-1, 0), (0, 1), (0, -1)]
    x = np.stack([encode(clip(*ways[i % 4], seed=i)) for i in range(80)])
    y = np.arange(80) % 4
    x = StandardScaler().fit(x[:40]).transform(x).clip(-5, 5)
    assert RidgeClassifier(100).fit(x[:40], y[:40]).score(x[40:], y[40:]) > 0.9


@pytest.mark.parametrize("frames", [1, 2, 3, 40])
def test_clips_of_any_length(frames: int) -> None:
    encode(clip(0, 0, frames=frames))


def test_bad_input_is_the_users_error() -> None:
    with pytest.raises(UserError, match="motion"):
        Summary(frames=1)
    with pytest.raises(UserError, match="no video"):
        Summary().encode(Media("row 1", values=np.zeros((0, 8, 8, 3))))
