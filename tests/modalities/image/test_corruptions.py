"""Corrupted pictures: how strong, how much, and the same as elsewhere."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import pytest
from PIL import Image

from polymodal.base import lookup
from polymodal.table.media import Media

LEVELS = (0.2, 0.4, 0.6, 0.8, 1.0)


def corrupted(name: str, pixels: Any, level: float, seed: int = 0) -> np.ndarray[Any, Any]:
    change = lookup.build("modalities/image/corruptions", name)
    found = change(Media("a picture", values=pixels), level, np.random.default_rng(seed)).values
    assert found.dtype == np.uint8
    return np.asarray(found)


def grey(side: int = 200) -> np.ndarray[Any, Any]:
    return np.full((side, side, 3), 128, np.uint8)


def photo() -> np.ndarray[Any, Any]:
    """Smooth and sharp parts, all brightnesses, not square."""
    y, x = np.mgrid[:60, :90]
    waves = np.stack([np.sin(x / 9), np.cos(y / 5), np.sign(np.sin((x + y) / 20))], -1)
    return np.asarray(np.rint(127.5 + 127.5 * waves), np.uint8)


def distance(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    return float(np.mean((a.astype(float) - b) ** 2))


@pytest.mark.parametrize("name", ["noise", "blur", "occlusion", "jpeg"])
def test_a_higher_level_is_further_from_the_picture(name: str) -> None:
    far = [distance(corrupted(name, photo(), level), photo()) for level in LEVELS]
    assert far[0] > 0 and far == sorted(far) and len(set(far)) == len(LEVELS)


def test_noise_has_the_deviation_that_its_level_says() -> None:
    for level in (0.05, 0.1, 0.2):  # where nothing is clipped
        difference = corrupted("noise", grey(), level) - 128.0
        assert difference.std() == pytest.approx(127.5 * level, rel=0.01)
        assert abs(difference.mean()) < 0.3
    # Of a normal number, the share beyond one standard deviation.
    assert (corrupted("noise", grey(), 1.0) == 255).mean() == pytest.approx(0.159, abs=0.005)


def test_noise_grows_in_place() -> None:
    weak, strong = (corrupted("noise", grey(), level) - 128.0 for level in (0.1, 0.2))
    np.testing.assert_allclose(strong, 2 * weak, atol=1.5)


def test_blur_spreads_a_point_by_its_deviation() -> None:
    point = np.zeros((99, 99, 3), np.uint8)
    point[49] = 255  # a line across, so that enough is left of it after rounding
    for level in (0.2, 0.5):
        profile = corrupted("blur", point, level)[:, 50, 0].astype(float)
        spread = np.sum(profile * (np.arange(99) - 49) ** 2) / profile.sum()
        assert spread**0.5 == pytest.approx(9.9 * level, rel=0.05)


def test_blur_leaves_a_plain_picture() -> None:
    np.testing.assert_array_equal(corrupted("blur", grey(40), 1.0), grey(40))


@pytest.mark.parametrize("level", [0.1, 0.37, 0.8, 1.0])
def test_occlusion_covers_its_share_with_one_rectangle(level: float) -> None:
    white = np.full((120, 200, 3), 255, np.uint8)
    for seed in range(8):
        covered = (corrupted("occlusion", white, level, seed) == 128).all(2)
        assert covered.mean() == pytest.approx(level, abs=0.01)
        rows, columns = covered.any(1), covered.any(0)
        np.testing.assert_array_equal(covered, np.outer(rows, columns))
        assert np.ptp(np.flatnonzero(rows)) + 1 == rows.sum()


def test_what_is_covered_at_one_level_is_covered_at_every_higher_one() -> None:
    white = np.full((50, 70, 3), 255, np.uint8)
    for seed in range(5):
        masks = [corrupted("occlusion", white, k / 40, seed) == 128 for k in range(1, 41)]
        for weak, strong in itertools.pairwise(masks):
            assert not (weak & ~strong).any()


@pytest.mark.parametrize(("level", "quality"), [(0.1, 86), (0.5, 48), (1.0, 1)])
def test_jpeg_is_what_pillow_stores(level: float, quality: int) -> None:
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, "JPEG", quality=quality)
    np.testing.assert_array_equal(corrupted("jpeg", photo(), level), np.asarray(Image.open(file)))


def test_large_pictures_are_corrupted_at_a_modest_size() -> None:
    large = np.full((400, 800, 3), 128, np.uint8)
    found = corrupted("noise", large, 0.1)
    assert found.shape == (112, 224, 3)
    assert found.std() == pytest.approx(12.75, rel=0.03)


def test_a_file_is_corrupted_as_its_pixels_are() -> None:
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, "PNG")
    change = lookup.build("modalities/image/corruptions", "noise")
    found = change(Media("a file", data=file.getvalue()), 0.3, np.random.default_rng(0))
    np.testing.assert_array_equal(found.values, corrupted("noise", photo(), 0.3))
    assert found.label == "a file"
