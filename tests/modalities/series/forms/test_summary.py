from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.base.errors import UserError
from polymodal.modalities.series.forms.summary import BANDS, CORRELATED, LAGS, QUANTILES, Summary
from polymodal.table.media import Media

SHAPE = 17 + len(QUANTILES)


def encode(x: np.ndarray[Any, Any], **options: Any) -> np.ndarray[Any, Any]:
    form = Summary(layout="steps_first", **options)
    media = Media("a", values=x)
    form.fit([media])
    found = form.encode(media)
    assert found.shape == (form.size,) and found.dtype == np.float32
    return found


@given(st.integers(1, 60), st.integers(1, 5), st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_one_size_for_any_length(steps: int, channels: int, slices: int) -> None:
    x = np.random.default_rng(steps).normal(size=(steps, channels))
    assert np.isfinite(encode(x, slices=slices)).all()
    # A flat channel divides by zero nowhere.
    assert np.isfinite(encode(np.full_like(x, 0.1), slices=slices)).all()


def test_levels_and_course() -> None:
    found = encode(np.array([[2.0], [4.0], [6.0], [8.0]]))
    assert found[:5].tolist() == [5, 2, 8, 2, 8]  # mean, least, most, first, last
    np.testing.assert_allclose(found[5:10], np.quantile([2, 4, 6, 8], QUANTILES))
    assert found[10] == pytest.approx(3)  # from the middle to an end, on a straight line
    assert found[11] == pytest.approx(1 / 3)  # one of three steps crosses the mean
    assert found[12:17] == pytest.approx([5**0.5, 6, 2, 2, 0])
    assert found[17:21] == pytest.approx(np.log([5**0.5, 6, 2, 2]))


def test_autocorrelation_and_octaves_of_a_wave() -> None:
    wave = np.sin(2 * np.pi * (np.arange(64) + 0.5) / 8)[:, None]  # 1/8 of a cycle a step
    found = encode(wave)
    by_lag = dict(zip(LAGS, found[SHAPE : SHAPE + len(LAGS)], strict=True))
    assert by_lag[2] == pytest.approx(0, abs=0.03)
    assert by_lag[4] == pytest.approx(-60 / 64, abs=0.03)
    assert by_lag[8] == pytest.approx(56 / 64, abs=0.03)
    octaves = found[SHAPE + len(LAGS) :][:BANDS]
    assert octaves[1] == pytest.approx(0, abs=0.01)  # (1/8, 1/4] is the second octave down
    assert np.delete(octaves, 1) == pytest.approx(np.log(0.001), abs=0.01)


def test_correlations_of_channels() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    found = encode(np.column_stack([x[:, 0], -2 * x[:, 0] + 1, x[:, 1]]))
    expected = np.corrcoef(x.T)[0, 1]
    assert found[-4:-1] == pytest.approx([-1, expected, -expected], abs=1e-5)
    assert found[-1] == pytest.approx(np.log(50))


def test_many_channels_have_no_pairs() -> None:
    few = encode(np.random.default_rng(0).normal(size=(9, CORRELATED)))
    many = encode(np.random.default_rng(0).normal(size=(9, CORRELATED + 1)))
    one = len(encode(np.random.default_rng(0).normal(size=(9, 1)))) - 1
    assert len(few) == CORRELATED * one + CORRELATED * (CORRELATED - 1) // 2 + 1
    assert len(many) == (CORRELATED + 1) * one + 1


def test_options() -> None:
    assert Summary(slices=4).fingerprint != Summary().fingerprint
    with pytest.raises(UserError):
        Summary(slices=0)
