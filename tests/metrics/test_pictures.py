"""Peak signal-to-noise ratio and codes in use, by closed forms."""

from __future__ import annotations

import math

import numpy as np

from polymodal.metrics import pictures


def value(metric, rows: int) -> float:
    return float(metric.statistic(np.ones((1, rows)))[0])


def test_psnr_is_of_the_mean_over_all_numbers() -> None:
    metric = pictures.psnr(np.array([12.0 * 25, 0.0]), np.array([12.0, 12.0]))
    assert math.isclose(value(metric, 2), 10 * math.log10(255**2 / 12.5))
    first = metric.statistic(np.array([[2.0, 0.0], [0.0, 1.0]]))
    assert math.isclose(first[0], 20 * math.log10(255 / 5)) and first[1] == np.inf
    assert metric.greater_is_better


def test_codes_in_use_are_of_the_rows_and_no_resample_changes_them() -> None:
    found = pictures.in_use(np.array([[0, 0, 1, 1], [2, 2, 3, 3]]), 8)
    assert value(found["codes_used"], 2) == 0.5
    assert math.isclose(value(found["codes_perplexity"], 2), 4)
    one = pictures.in_use(np.array([[5, 5, 5, 1]]), 8)
    entropy = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert math.isclose(value(one["codes_perplexity"], 1), math.exp(entropy))
    assert found["codes_used"].statistic(np.array([[2.0, 0.0], [1.0, 1.0]])).tolist() == [0.5, 0.5]
