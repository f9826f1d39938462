"""Calibration: agreement with the metric, and null values."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import softmax

from polymodal.metrics import _weighted, calibration, metrics


def case(seed: int, rows: int = 300, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes)) * 2
    cumulative = softmax(logits, 1).cumsum(1)
    return logits, (rng.random((rows, 1)) > cumulative).sum(1).clip(0, classes - 1)


def value(metric, rows: int) -> float:
    return float(metric.statistic(np.ones((1, rows)))[0])


def test_reliability_sums_to_the_ece():
    logits, y = case(0)
    scores = softmax(logits, 1)
    y[:20] = -1
    bins = calibration.reliability(scores, y)
    assert len(bins) == 15 and sum(b.rows for b in bins) == 280
    assert all(b.low < b.confidence <= b.high for b in bins if b.rows)
    assert all(np.isnan(b.confidence) and np.isnan(b.accuracy) for b in bins if not b.rows)
    gaps = sum(b.rows * abs(b.accuracy - b.confidence) for b in bins if b.rows) / 280
    assert gaps == pytest.approx(value(metrics.classification(scores, y)["ece"], 300))


def test_reliability_of_constant_confidence():
    found = calibration.reliability(np.tile([0.8, 0.2], (100, 1)), np.arange(100) % 2)
    full = [b for b in found if b.rows]
    assert len(full) == 1 and full[0].rows == 100
    assert (full[0].confidence, full[0].accuracy) == pytest.approx((0.8, 0.5))


def test_a_calibrated_model_does_not_score_zero():
    confidence = np.random.default_rng(0).uniform(0.5, 1, 200)
    assert calibration.calibrated_ece(confidence) == pytest.approx(0.064, abs=0.004)
    assert calibration.calibrated_ece(np.tile(confidence, 100)) < 0.01


@given(st.data(), st.integers(1, 20), st.sampled_from([np.float32, np.float64]))
def test_ece_is_the_sum_over_bins_and_undefined_without_weight_only(data, rows, kind):
    def drawn(elements, shape=rows):
        return data.draw(hnp.arrays(np.float32, shape, elements=elements))

    confidence = drawn(st.floats(0, 1, width=32)).astype(kind)
    right = drawn(st.sampled_from([0, 1])).astype(float)
    w = drawn(st.one_of(st.just(0), st.floats(0.125, 5, width=32)), (3, rows)).astype(float)
    bins = [
        (confidence > low) & (confidence <= high) | (confidence <= 0) & (low == 0)
        for low, high in pairwise((np.arange(16) / 15).astype(kind))
    ]
    found = _weighted.ece(confidence, right)(w)
    for weights, value in zip(w, found, strict=True):
        if not weights.sum():
            assert np.isnan(value)
            continue
        gaps = [abs((weights * (right - confidence))[own].sum()) for own in bins]
        assert value == pytest.approx(sum(gaps) / weights.sum(), abs=1e-9)


def test_a_confidence_that_is_no_number_leaves_the_ece_undefined():
    """In a resample without its row, too: else the interval would be of other rows."""
    found = _weighted.ece(np.array([np.nan, 0.5]), np.array([1.0, 0.0]))
    assert np.isnan(found(np.array([[1.0, 1.0], [0.0, 1.0]]))).all()
    scores = np.array([[np.nan, 0.5], [0.4, 0.6]])
    assert "ece" not in metrics.classification(scores, np.array([0, 1]))


def test_classwise_ece_by_hand():
    scores = np.tile([0.8, 0.15, 0.05], (100, 1))
    y = np.repeat([0, 1, 2], [50, 40, 10])
    found = calibration.classwise_ece(scores, y)
    assert not found.greater_is_better
    assert value(found, 100) == pytest.approx((0.3 + 0.25 + 0.05) / 3)
    others = np.vstack([scores, scores[:, ::-1]])
    unknown = calibration.classwise_ece(others, np.append(y, [-1] * 100))
    assert value(unknown, 200) == pytest.approx(0.2)


def test_classwise_null_value_is_the_mean_over_classes():
    """Simulated whole: targets drawn from the scores themselves."""
    logits, _ = case(1, rows=400)
    scores = softmax(logits, 1)
    drawn = []
    for seed in range(150):
        pick = np.random.default_rng(seed).random((400, 1)) > scores.cumsum(1)
        y = pick.sum(1).clip(0, 3)
        drawn.append(value(calibration.classwise_ece(scores, y), 400))
    null = np.mean([calibration.calibrated_ece(column) for column in scores.T])
    assert null == pytest.approx(np.mean(drawn), abs=5 * np.std(drawn) / 150**0.5)
