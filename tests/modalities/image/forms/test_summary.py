"""Fixed descriptors: what each part of them answers to."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from polymodal.base.errors import UserError
from polymodal.modalities.image.forms.summary import Summary
from polymodal.table.media import Media

FINE, COARSE, THUMBNAIL = slice(0, 576), slice(576, 720), slice(720, 912)
COLOURS, ASPECT = slice(912, 976), 976


def encode(pixels: np.ndarray) -> np.ndarray:
    encoded = Summary().encode(Media("a", values=pixels))
    assert encoded.shape == (977,) and encoded.dtype == np.float32
    assert np.isfinite(encoded).all()
    return encoded


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)


def test_one_colour_has_no_gradients_and_one_colour() -> None:
    encoded = encode(np.full((40, 40, 3), (255, 0, 0), np.uint8))
    assert (encoded[FINE] == 0).all() and (encoded[COARSE] == 0).all()
    assert np.allclose(encoded[THUMBNAIL].reshape(-1, 3), (1, 0, 0))
    assert encoded[COLOURS].argmax() == 3 * 16 and np.isclose(encoded[COLOURS].sum(), 1)


@pytest.mark.parametrize(("turn", "angle"), [(0, 0), (1, 4.5)])
def test_an_edge_has_its_own_orientation(turn: int, angle: float) -> None:
    step = np.zeros((64, 64), np.uint8)
    step[:, 32:] = 255
    cells = encode(np.rot90(step, turn))[FINE].reshape(8, 8, 9)
    found = cells.sum((0, 1))
    # Across is orientation 0; upright lies between 4 and 5 of 9.
    assert set(np.flatnonzero(found > found.max() / 2)) == ({0} if angle == 0 else {4, 5})


def test_gradients_do_not_depend_on_contrast_much() -> None:
    y, x = np.mgrid[:64, :64]
    wave = np.sin(x / 4) + np.sin(y / 6)
    strong = encode(np.uint8(128 + 60 * wave))
    weak = encode(np.uint8(128 + 30 * wave))
    assert np.abs(strong[FINE] - weak[FINE]).mean() < 0.02


def test_edges_between_colours_of_equal_brightness_are_seen() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, :32], pixels[:, 32:] = (255, 0, 0), (0, 255, 0)
    assert encode(pixels)[FINE].max() > 0.3


def test_mirroring_keeps_the_colours_and_mirrors_the_thumbnail() -> None:
    one, other = encode(picture()), encode(picture()[:, ::-1])
    assert np.allclose(one[COLOURS], other[COLOURS])
    flipped = other[THUMBNAIL].reshape(8, 8, 3)[:, ::-1]
    assert np.allclose(one[THUMBNAIL].reshape(8, 8, 3), flipped, atol=1e-6)


def test_the_aspect_ratio_is_kept() -> None:
    assert encode(np.zeros((20, 80), np.uint8))[ASPECT] == 2
    assert encode(np.zeros((80, 20), np.uint8))[ASPECT] == -2


def test_a_linear_model_tells_shapes_that_move_about() -> None:
    rng = np.random.default_rng(0)

    def draw(label: int) -> np.ndarray:
        y, x = np.mgrid[:48, :48] - rng.integers(16, 32, 2)[:, None, None]
        away = np.hypot(x, y) if label else np.maximum(abs(x), abs(y))
        return np.uint8(np.clip(rng.integers(90, 200) * (away < rng.integers(9, 13)), 0, 255))

    labels = np.arange(120) % 2
    encoded = np.stack([encode(draw(label)) for label in labels])
    fitted = LogisticRegression(max_iter=200).fit(encoded[:80], labels[:80])
    assert fitted.score(encoded[80:], labels[80:]) >= 0.9


def test_a_broken_file_is_the_users_error() -> None:
    with pytest.raises(UserError, match="not an image"):
        Summary().encode(Media("a", data=b"text"))
