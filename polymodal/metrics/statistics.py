"""How sure a figure is, and whether two differ: intervals, paired tests, Holm's correction.

Everything works on `contract.Metric`: a metric that can be computed again on weighted rows. The
bootstrap draws multinomial weights, so a resample is a row of a weight matrix and a metric of
many resamples is a matrix product. With `clusters` (patient, speaker, image) whole clusters are
drawn: rows of one cluster resemble each other, and a bootstrap over rows would be too sure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.metric import Metric

Clusters = Sequence[Hashable] | np.ndarray[Any, Any]
Key = TypeVar("Key", bound=Hashable)

# Weights held at once: 16 MiB, and a metric makes a few copies of them.
BLOCK = 2**21

# Rows drawn in one call: more would not stay in a processor's cache, fewer cost a call each.
DRAWN = 2**16

# What lies beyond either end of a 95 % interval.
LEVEL = 0.025

# Exchanges of a randomisation test of two models, and what the test is called.
EXCHANGES = 2000
RANDOMISATION = "approximate randomisation"


@dataclass(frozen=True)
class Interval:
    """A figure with the ends of its 95 % interval; the ends are NaN if there is only one unit."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class McNemar:
    """Two-sided p-values of McNemar's test; `mid_p` is the one to use, `exact` is conservative."""

    mid_p: float
    exact: float


def interval(
    metric: Metric,
    rows: int,
    clusters: Clusters | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The metric's value and 95 % bootstrap interval; see `intervals`."""
    return intervals({"": metric}, rows, clusters, resamples, seed)[""]


def intervals(
    metrics: Mapping[str, Metric],
    rows: int,
    clusters: Clusters | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Values and 95 % bootstrap intervals of several metrics on the same resamples.

    Args: as for `bootstrap`, with name -> metric over the same `rows` rows.
    """
    found = bootstrap(
        lambda weights: {name: metric.statistic(weights) for name, metric in metrics.items()},
        rows,
        clusters,
        resamples,
        seed,
    )
    return {name: exact(span, metrics[name], rows, clusters) for name, span in found.items()}


def exact(found: Interval, metric: Metric, rows: int, clusters: Clusters | None = None) -> Interval:
    """A share's interval where all rows agree, which no resample can tell: Clopper and Pearson's.

    Of 72 rows that are all right it is [.95, 1]. Others stay as they are. Of clusters each counts
    once.

    Paper: "The Use of Confidence or Fiducial Limits" (Clopper, Pearson 1934).
    """
    if not metric.share or found.value not in (0.0, 1.0):
        return found
    _, units = _units(rows, clusters)
    reach = LEVEL ** (1 / units) if units else 0.0
    if found.value == 1:
        return Interval(1.0, reach, 1.0)
    return Interval(0.0, 0.0, 1 - reach)


def bootstrap(
    figures: Callable[[np.ndarray[Any, Any]], Mapping[Key, np.ndarray[Any, Any]]],
    rows: int,
    clusters: Clusters | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[Key, Interval]:
    """Values and 95 % intervals of figures that are computed together from one set of weights.

    The ends are percentiles, taken further out for few units by Student's t ("expanded
    percentile": Hesterberg, "What Teachers Should Know About the Bootstrap", 2015), since plain
    percentiles are too narrow under 100 units. A resample on which a figure is not defined
    (no positive row, for example) is left out of that figure's percentiles.

    Args:
        figures: weights `(resamples, rows)` -> name -> `(resamples,)`.
        rows: how many.
        clusters: each row's cluster, or None where rows are independent.
        resamples: how many.
        seed: equal seeds draw equal resamples, whatever the figures.

    Raises:
        UserError: `clusters` has missing values.
    """
    codes, units = _units(rows, clusters)
    plain = figures(np.ones((1, rows)))
    if not plain:
        return {}
    drawn: dict[Key, list[np.ndarray[Any, Any]]] = {name: [] for name in plain}
    for weights in _resampled(codes, units, resamples, seed):
        for name, values in figures(weights).items():
            drawn[name].append(values)
    ends = _ends(np.stack([np.concatenate(blocks) for blocks in drawn.values()]), _tail(units))
    found = {}
    for name, (low, high) in zip(drawn, ends, strict=True):
        if units < 2:
            low = high = math.nan
        value = float(plain[name][0])
        # A figure that every resample makes larger, as small calibration errors, is its own end.
        found[name] = Interval(value, min(float(low), value), max(float(high), value))
    return found


def paired_difference(
    metric_a: Metric,
    metric_b: Metric,
    rows: int,
    clusters: Clusters | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The 95 % interval of metric_a - metric_b, both on the same rows and the same resamples."""
    difference = Metric(lambda w: metric_a.statistic(w) - metric_b.statistic(w))
    return interval(difference, rows, clusters, resamples, seed)


def mcnemar(b: int, c: int) -> McNemar:
    """McNemar's test on the rows where exactly one of two classifiers is right.

    Args:
        b: rows that only the first gets right.
        c: rows that only the second gets right.

    Paper: "The McNemar test for binary matched-pairs data" (Fagerland 2013) recommends mid-p.
    """
    from scipy.stats import binom

    chance = min(b, c), b + c, 0.5
    point, twice_tail = float(binom.pmf(*chance)), 2 * float(binom.cdf(*chance))
    return McNemar(mid_p=min(1.0, twice_tail - point), exact=min(1.0, twice_tail))


def approximate_randomisation(
    metric: Metric,
    rows: int,
    clusters: Clusters | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> float:
    """Two-sided p-value that two systems differ, by exchanging their outputs at random.

    p = (1 + #{|D*| >= |D|}) / (resamples + 1), where D* is the difference after each row's (or
    cluster's) two outputs were exchanged with probability one half.
    NaN where the rows do not define the metric.
    Paper: "More accurate tests for the statistical significance of result differences" (Yeh 2000).

    Args:
        metric: over 2 * `rows` rows: the first system's outputs, then the second's for the same
            rows, with the same targets (`task.metrics([*a, *b], [*targets, *targets])`).
        rows: how many rows each system was given.
        clusters: each row's cluster, exchanged as a whole, or None.
        resamples: R.
        seed: of the exchanges.
    """
    codes, units = _units(rows, clusters)
    rng = np.random.default_rng(seed)

    def difference(swap: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        first = np.concatenate([~swap, swap], 1).astype(float)
        return metric.statistic(first) - metric.statistic(1 - first)

    observed = abs(difference(np.zeros((1, rows), bool))[0])
    if math.isnan(observed):
        return math.nan
    # Equal differences may come out of their sums in different orders unequal in the last digits.
    least = observed - 1e-9 * max(observed, 1e-3)
    extreme = 0
    for count in _blocks(resamples, 2 * rows):
        swap = rng.random((count, units)) < 0.5
        extreme += int((np.abs(difference(swap[:, codes])) >= least).sum())
    return (1 + extreme) / (resamples + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given.

    Rejecting where the adjusted value is at most 5 % keeps the chance of any false rejection at
    5 %, whatever the dependence. Paper: "A simple sequentially rejective multiple test
    procedure" (Holm 1979).
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def _units(rows: int, clusters: Clusters | None) -> tuple[np.ndarray[Any, Any], int]:
    """Each row's unit of resampling as a code, and how many units there are."""
    if clusters is None:
        return np.arange(rows), rows
    found = codes(clusters)
    return found, int(found.max(initial=-1)) + 1


def codes(clusters: Clusters) -> np.ndarray[Any, Any]:
    """Each row's cluster as a number from 0.

    Raises:
        UserError: some are missing.
    """
    missing = sum(c is None or c != c for c in clusters)
    if missing:
        raise UserError(
            f"{missing} of {len(clusters)} rows have no group, so no interval can respect them",
            expected="a value in every cell of the group column",
            do="fill the missing groups in (a value of its own for each), or leave `group` out",
        )
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(c, len(known)) for c in clusters], dtype=np.intp)


def _resampled(
    codes: np.ndarray[Any, Any], units: int, resamples: int, seed: int
) -> Iterator[np.ndarray[Any, Any]]:
    """Blocks `(n, rows)` of how often each row was drawn; their size changes nothing."""
    rng = np.random.default_rng(seed)
    identity = units == len(codes)
    several = max(1, DRAWN // max(1, units))
    for count in _blocks(resamples, len(codes)):
        drawn = np.empty((count, units))
        for start in range(0, count, several):
            part = drawn[start : start + several]
            # Numbers of their own for each resample's units, so that one call counts them all.
            chosen = rng.integers(0, units, part.shape) + units * np.arange(len(part))[:, None]
            part[:] = np.bincount(chosen.ravel(), minlength=part.size).reshape(part.shape)
        yield drawn if identity else drawn[:, codes]


def _blocks(resamples: int, rows: int) -> Iterator[int]:
    size = max(1, BLOCK // rows)
    for start in range(0, resamples, size):
        yield min(size, resamples - start)


def _ends(values: np.ndarray[Any, Any], tail: float) -> np.ndarray[Any, Any]:
    """`(figures, 2)` percentiles of values `(figures, resamples)`, of those that are defined."""
    ends = np.full((len(values), 2), math.nan)
    whole = ~np.isnan(values).any(1)
    shares = [tail, 1 - tail]
    if whole.any():
        ends[whole] = np.quantile(values[whole], shares, axis=1).T
    for i in np.flatnonzero(~whole):
        if len(defined := values[i][~np.isnan(values[i])]):
            ends[i] = np.quantile(defined, shares)
    return ends


def _tail(units: int) -> float:
    """The share of resamples to leave out on each side; .025 for many units."""
    from scipy.special import ndtr, stdtrit

    if units < 2:
        return 0.025
    return float(ndtr(math.sqrt(units / (units - 1)) * stdtrit(units - 1, 0.025)))
