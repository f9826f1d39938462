"""Corrupted sounds: how loud the noise is, how much is cut and how much is silent."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import pytest
import soundfile

from polymodal.base import lookup
from polymodal.table.media import Media

RATE = 8000


def corrupted(name: str, samples: Any, level: float, seed: int = 0) -> np.ndarray[Any, Any]:
    change = lookup.build("modalities/audio/corruptions", name)
    found = change(Media("a sound", values=samples), level, np.random.default_rng(seed)).values
    assert found.dtype == np.float32 and found.shape == samples.shape
    return np.asarray(found)


def tone(count: int = 20_000) -> np.ndarray[Any, Any]:
    return np.asarray(0.2 * np.sin(np.arange(count) * 0.3) + 1e-4, np.float32)


def test_noise_is_as_loud_as_its_level_says() -> None:
    loud = np.sqrt(np.mean(tone().astype(float) ** 2))
    for level in (0.1, 1 / 3, 1.0):
        noise = corrupted("noise", tone(), level) - tone()
        assert noise.std() == pytest.approx(3 * level * loud, rel=0.02)
        assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.03  # white
    assert not corrupted("noise", np.zeros(100, np.float32), 1.0).any()


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_clipping_cuts_its_share_of_the_samples(level: float) -> None:
    samples = np.random.default_rng(1).normal(size=10_001).astype(np.float32)
    found = corrupted("clipping", samples, level)
    cut = found != samples
    assert cut.mean() == pytest.approx(level, abs=0.001)
    assert len(np.unique(np.abs(found[cut]))) == 1
    assert (np.sign(found) == np.sign(samples)).all()
    assert np.abs(found[~cut]).max() <= np.abs(found[cut]).min()


@pytest.mark.parametrize("level", [0.1, 0.5, 1.0])
def test_dropped_spans_are_their_share_of_the_sound(level: float) -> None:
    found = corrupted("dropped_spans", tone(), level)
    silent = found == 0
    assert silent.mean() == pytest.approx(level)
    np.testing.assert_array_equal(found[~silent], tone()[~silent])
    spans = silent.reshape(50, -1)
    np.testing.assert_array_equal(spans.all(1), spans.any(1))


def test_what_is_silent_at_one_level_is_silent_at_every_higher_one() -> None:
    masks = [corrupted("dropped_spans", tone(), k / 10, seed=5) == 0 for k in range(1, 11)]
    for weak, strong in itertools.pairwise(masks):
        assert not (weak & ~strong).any()


@pytest.mark.parametrize("name", ["noise", "clipping", "dropped_spans"])
def test_a_file_keeps_its_rate_and_length(name: str) -> None:
    stereo = np.stack([tone(), -0.5 * tone()], 1)
    file = io.BytesIO()
    soundfile.write(file, stereo, RATE, format="WAV", subtype="FLOAT")
    change = lookup.build("modalities/audio/corruptions", name)
    found = change(Media("a file", data=file.getvalue()), 0.4, np.random.default_rng(0))
    samples, rate = soundfile.read(io.BytesIO(found.data), dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(samples, corrupted(name, stereo.mean(1), 0.4), atol=1e-7)
