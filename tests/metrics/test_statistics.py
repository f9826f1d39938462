"""Known answers, oracles from scipy, and simulated coverage and error rates.

What is simulated is printed too: `pytest -rP` shows it.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from threadpoolctl import threadpool_limits

from polymodal.base.errors import UserError
from polymodal.contract.metric import Metric
from polymodal.metrics import metrics, statistics

pytestmark = pytest.mark.whole


def mean_of(values: np.ndarray) -> Metric:
    return Metric(lambda w: w @ values / w.sum(1))


def test_interval_is_the_bootstrap_of_the_mean():
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = statistics.interval(mean_of(values), 400, resamples=4000)
    error = values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)


def test_weights_are_multinomial_draws():
    codes = np.arange(6)
    blocks = np.concatenate(list(statistics._resampled(codes, 6, 5000, seed=0)))
    assert (blocks.sum(1) == 6).all()
    assert blocks.mean(0) == pytest.approx(np.ones(6), abs=0.06)
    assert blocks.var(0) == pytest.approx(np.full(6, 5 / 6), abs=0.06)


def test_same_seed_same_interval_whatever_the_block(monkeypatch):
    metric = mean_of(np.random.default_rng(0).random(50))
    first = statistics.interval(metric, 50, resamples=300, seed=3)
    monkeypatch.setattr(statistics, "BLOCK", 50 * 7)
    assert statistics.interval(metric, 50, resamples=300, seed=3) == first
    assert statistics.interval(metric, 50, resamples=300, seed=4) != first


def test_several_metrics_share_their_resamples():
    values = np.random.default_rng(0).random(50)
    both = statistics.intervals({"a": mean_of(values), "b": mean_of(-values)}, 50)
    assert both["a"] == statistics.interval(mean_of(values), 50)
    assert both["b"].low == pytest.approx(-both["a"].high)


def test_few_rows_make_wider_ends():
    assert statistics._tail(10**6) == pytest.approx(0.025, abs=1e-5)
    assert statistics._tail(20) < statistics._tail(100) < 0.025
    alone = statistics.interval(mean_of(np.ones(1)), 1)
    assert alone.value == 1 and np.isnan(alone.low) and np.isnan(alone.high)


def test_resamples_that_do_not_define_the_metric_are_left_out():
    scores = np.array([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6], [0.6, 0.4]])
    auc = metrics.classification(scores, np.array([0, 0, 1, 1]))["roc_auc"]
    found = statistics.interval(auc, 4)
    assert found.value == 1 and found.low == 1 and found.high == 1


def test_clusters_are_drawn_whole():
    values = np.repeat([0.0, 1.0, 2.0, 3.0], 5)
    clusters = np.repeat(["a", "b", "c", "d"], 5)
    found = statistics.interval(mean_of(values), 20, clusters)
    assert found == statistics.interval(mean_of(values[::5]), 4)
    rows = statistics.interval(mean_of(values), 20)
    assert found.high - found.low > 1.5 * (rows.high - rows.low)


def test_missing_clusters_are_an_error():
    with pytest.raises(UserError, match="1 of 3 rows have no group"):
        statistics.interval(mean_of(np.ones(3)), 3, ["a", None, "b"])


def test_paired_difference_uses_the_same_rows():
    a = np.random.default_rng(0).random(200)
    same = statistics.paired_difference(mean_of(a + 0.1), mean_of(a), 200)
    assert same.value == pytest.approx(0.1)
    assert same.low == pytest.approx(0.1) and same.high == pytest.approx(0.1)


def test_mcnemar_known_answer():
    found = statistics.mcnemar(10, 2)
    assert found.exact == pytest.approx(0.0386, abs=5e-5)
    assert found.mid_p == pytest.approx(0.0225, abs=5e-5)
    # Between the tests that reject too often and too seldom: chi-squared, plain and corrected.
    plain, corrected = (stats.chi2.sf((8 - cut) ** 2 / 12, 1) for cut in (0, 1))
    assert (plain, corrected) == pytest.approx((0.0209, 0.0433), abs=5e-5)
    assert plain < found.mid_p < found.exact < corrected
    assert statistics.mcnemar(0, 0).mid_p == 1
    assert statistics.mcnemar(4, 4).exact == 1


def test_mcnemar_of_many_rows_is_as_quick_as_of_few():
    start = time.process_time()
    found = [statistics.mcnemar(60_000, 60_000 - n) for n in range(20)]
    assert time.process_time() - start < 2
    # sqrt(n) of chance: with so many rows the normal approximation is as good as exact.
    assert found[10].mid_p == pytest.approx(stats.chi2.sf(10**2 / (120_000 - 10), 1), abs=1e-4)


def test_what_is_not_defined_has_no_p_value():
    undefined = Metric(lambda w: np.full(len(w), np.nan))
    assert np.isnan(statistics.approximate_randomisation(undefined, 10, resamples=20))


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_exact_is_the_binomial_test(b, c):
    if b + c:
        wanted = stats.binomtest(b, b + c).pvalue
        assert statistics.mcnemar(b, c).exact == pytest.approx(wanted)
        assert statistics.mcnemar(b, c) == statistics.mcnemar(c, b)


def test_mcnemar_mid_p_holds_its_level():
    """Type-I error at nominal 5 %, exactly: rows disagree with chance .2, evenly either way."""
    for rows in (50, 100, 200):
        disagreeing = stats.binom.pmf(np.arange(rows + 1), rows, 0.2)
        errors = [
            sum(
                stats.binom.pmf(b, n, 0.5)
                for b in range(n + 1)
                if statistics.mcnemar(b, n - b).mid_p <= 0.05
            )
            for n in range(rows // 2)
        ]
        level = disagreeing[: rows // 2] @ errors
        print(f"type-I error of mid-p, {rows} rows: {level:.4f}")
        assert level <= 0.055


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_randomisation_agrees_with_scipy(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random(9), rng.random(9) + 0.2
    exact = stats.permutation_test(
        (a, b), lambda x, y: x.mean() - y.mean(), permutation_type="samples", n_resamples=np.inf
    ).pvalue
    both = mean_of(np.concatenate([a, b]))
    assert statistics.approximate_randomisation(both, 9, resamples=4000) == pytest.approx(
        exact, abs=0.04
    )


def test_randomisation_of_a_metric_that_is_no_mean():
    """Entity-like F1: only exchanging whole outputs can test it."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 120)
    good = np.eye(3)[np.where(rng.random(120) < 0.9, y, 0)]
    bad = np.eye(3)[np.where(rng.random(120) < 0.6, y, 0)]

    def p_value(a: np.ndarray, b: np.ndarray) -> float:
        both = metrics.classification(np.concatenate([a, b]), np.concatenate([y, y]))["macro_f1"]
        return statistics.approximate_randomisation(both, 120, resamples=999)

    assert p_value(good, bad) == pytest.approx(0.001)
    assert p_value(good, good) == 1


def test_randomisation_exchanges_clusters_whole():
    a, b = np.repeat([1.0, 1.0], 20), np.repeat([0.0, 0.0], 20)
    both = mean_of(np.concatenate([a, b]))
    alone = statistics.approximate_randomisation(both, 40, resamples=999)
    whole = statistics.approximate_randomisation(both, 40, np.repeat([0, 1], 20), resamples=999)
    assert alone == pytest.approx(0.001)
    assert whole == pytest.approx(0.5, abs=0.06)


def test_holm_known_answer():
    # By hand: .01 * 4, .02 * 3, .03 * 2 raised to what came before, .04 likewise.
    assert statistics.holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([]) == []


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_plain_and_bonferroni(p_values):
    for plain, adjusted in zip(p_values, statistics.holm(p_values), strict=True):
        assert plain <= adjusted <= min(1, len(p_values) * plain) + 1e-12 or adjusted == 1


def test_memory_stays_flat():
    values = np.random.default_rng(0).random(20_000)
    tracemalloc.start()
    statistics.interval(mean_of(values), 20_000, resamples=400)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # all 400 resamples at once would be 64 MB times the copies made of them


def covers(
    what: str,
    draw: Callable[[np.random.Generator], np.ndarray],
    truth: float,
    clusters: np.ndarray | None = None,
    draws: int = 2000,
    resamples: int = 1000,
) -> float:
    """How often the interval of the mean holds the truth, over data sets drawn."""
    hits = 0
    for seed in range(draws // 100):
        rng = np.random.default_rng(seed)
        sets = [draw(rng) for _ in range(100)]
        found = statistics.intervals(
            {str(i): mean_of(values) for i, values in enumerate(sets)},
            len(sets[0]),
            clusters,
            resamples,
            seed,
        )
        hits += sum(each.low <= truth <= each.high for each in found.values())
    print(f"coverage of {what}, {draws} draws: {hits / draws:.4f}")
    return hits / draws


def images(rng: np.random.Generator) -> np.ndarray:
    """5 rows of each of 100 images, intra-class correlation one half."""
    return (rng.normal(size=(100, 1)) + rng.normal(size=(100, 5))).ravel()


def normal(rows: int) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: rng.normal(size=rows)


def test_cluster_coverage_known_answer():
    of_image = np.repeat(np.arange(100), 5)
    plain = covers("rows of 100 images, as rows", images, 0, draws=1000, resamples=500)
    assert plain == pytest.approx(0.734, abs=0.04)
    assert covers("rows of 100 images, as images", images, 0, of_image) >= 0.93


# Two standard errors of 2 000 simulated data sets are .01.
@pytest.mark.parametrize("rows", [100, 300])
def test_coverage_is_nominal(rows):
    assert 0.935 <= covers(f"{rows} normal rows", normal(rows), 0) <= 0.965
    right = covers(f"{rows} right or wrong", lambda rng: (rng.random(rows) < 0.7) * 1.0, 0.7)
    assert 0.935 <= right <= 0.965


def test_coverage_of_few_rows():
    """Plain percentiles cover .927 here."""
    assert 0.935 <= covers("50 normal rows", normal(50), 0) <= 0.965


def test_ten_thousand_resamples_of_ten_thousand_rows():
    values = np.random.default_rng(0).random(10_000)
    start = time.process_time()
    with threadpool_limits(1):
        statistics.interval(mean_of(values), 10_000, resamples=10_000)
    took = time.process_time() - start
    print(f"10 000 resamples of 10 000 rows: {took:.2f} s")
    assert took < 5  # a second on a core of today that has nothing else to do


def test_figures_computed_together():
    values = np.random.default_rng(0).random(50)
    found = statistics.bootstrap(
        lambda w: {("mean", 1): w @ values / w.sum(1), 2: w @ -values / w.sum(1)}, 50
    )
    assert found["mean", 1] == statistics.interval(mean_of(values), 50)
    assert found[2].low == pytest.approx(-found["mean", 1].high)


@pytest.mark.slow
def test_randomisation_holds_its_level():
    rejected = 0
    for trial in range(2000):
        a, b = np.random.default_rng(trial).normal(size=(2, 40))
        both = mean_of(np.concatenate([a, b]))
        rejected += statistics.approximate_randomisation(both, 40, resamples=199) <= 0.05
    print(f"type-I error of approximate randomisation, 40 rows, 2000 draws: {rejected / 2000:.4f}")
    assert rejected / 2000 <= 0.055 + 2 * 0.005  # two standard errors of the simulation


def test_a_value_lies_within_its_interval():
    """Every resample of an absolute mean that is 0 is larger."""
    rows = np.tile([-1.0, 1.0], 50)
    metric = Metric(lambda w: np.abs(w @ rows) / w.sum(1))
    found = statistics.interval(metric, 100)
    assert found.low == found.value == 0 < found.high
    assert np.isnan(statistics.interval(metric, 100, np.zeros(100, int)).low)


@pytest.mark.parametrize(
    ("right", "rows", "low", "high"),
    [(72, 72, 0.9501, 1.0), (0, 72, 0.0, 0.0499), (10, 10, 0.6915, 1.0), (1, 1, 0.025, 1.0)],
)
def test_where_all_rows_agree_a_share_has_its_exact_interval(
    right: int, rows: int, low: float, high: float
) -> None:
    hits = (np.arange(rows) < right).astype(float)
    share = Metric(lambda w: w @ hits / w.sum(1), share=True)
    found = statistics.interval(share, rows)
    assert (found.value, found.low) == (right / rows, pytest.approx(low, abs=1e-4))
    assert found.high == pytest.approx(high, abs=1e-4)


def test_what_is_no_share_and_what_varies_keep_their_interval() -> None:
    hits = np.ones(72)
    error = Metric(lambda w: w @ hits / w.sum(1))
    assert statistics.interval(error, 72).low == 1
    some = Metric(lambda w: w[:, 1:] @ hits[1:] / w.sum(1), share=True)
    assert 0.9 < statistics.interval(some, 72).low < statistics.interval(some, 72).value < 1


def test_of_clusters_each_counts_once_for_the_exact_interval() -> None:
    share = Metric(lambda w: w.sum(1) / w.sum(1), share=True)
    assert statistics.interval(share, 72, np.arange(72) // 6).low == pytest.approx(
        0.025 ** (1 / 12)
    )
