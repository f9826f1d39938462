"""Resampling and cepstra by numpy alone are scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dct
from scipy.signal import resample_poly

from polymodal.modalities.audio.forms import summary
from polymodal.modalities.audio.resample import resampled


@pytest.mark.parametrize(
    ("count", "up", "down"),
    [
        (44_100, 160, 441),
        (4_000, 2, 1),
        (9_000, 1, 3),
        (300, 320, 882),
        (100, 2000, 1999),
        (1, 2, 1),
        (5, 1, 441),
    ],
)
def test_samples_are_those_of_scipy(count, up, down):
    samples = np.random.default_rng(0).normal(size=count).astype(np.float32)
    found = resampled(samples, up, down)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, resample_poly(samples, up, down), atol=3e-6)


def test_the_same_rate_changes_nothing():
    samples = np.linspace(-1, 1, 7, dtype=np.float32)
    np.testing.assert_array_equal(resampled(samples, 3, 3), samples)


def test_cepstra_are_those_of_scipy():
    bands = np.random.default_rng(0).normal(size=(6, 40))
    wanted = dct(bands, norm="ortho")[:, : summary.CEPSTRA]
    np.testing.assert_allclose(bands @ summary._cosines(40), wanted, atol=1e-12)
