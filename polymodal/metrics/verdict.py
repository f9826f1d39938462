"""Whether fusing modalities pays: the fused model against its best rival.

Rivals are each single modality's own model, trained without the others, and the constant: always
the same answer. The best must be chosen on validation rows: the best of several on the test rows
themselves is too good by luck, and the gain over it too small.

The rule, with [low, high] the 95 % interval of the gain:

- **pays** if low > 0 and p <= .05. A proven gain pays however small; whether it is worth what the
  fusion costs is for whoever reads both figures.
- **does not pay** if high < 0 and p <= .05, or if high < least, the smallest gain worth having,
  on at least 8 / least rows (clusters, where rows come in clusters). Not having proven a gain is
  no evidence against one, so a gain of `least` itself has to be excluded. With fewer rows it would
  come to fewer than 8 of them, too few for a bootstrap to exclude: it might well have met none.
- **undecided** otherwise, with the rows that would decide.

How often it errs, d being the share of rows that exactly one of the two models gets right: without
any gain it says "pays" in 2.5 % of cases; with a true gain of `least` or more, whatever d, it says
"does not pay" in at most 4.2 % (2.5 % where d is large). Both are bought with rows: without a gain
"does not pay" comes out in 95 % of cases from (1.96 + 1.96)^2 d / least^2 = 15 d / least^2 rows on.
That is why `least` is 2 points by default: 1 000 rows are enough up to d = .026, more than a
useless modality makes a sound fusion change its mind about; for 1 point they would be only up to
d = .0065. A modality that does harm is found out with fewer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from polymodal.contract.metric import Metric
from polymodal.metrics._weighted import Array
from polymodal.metrics.statistics import (
    Clusters,
    Interval,
    approximate_randomisation,
    interval,
)

Answer = Literal["pays", "does not pay", "undecided"]

# The smallest gain worth having: of a score, absolute; of an error, of the rival's.
LEAST = 0.02
# In how many units a gain of `least` must show before its absence counts.
LEAST_UNITS = 8
# Ends of a 95 % interval in standard errors, and 80 % power beyond one of them (.842 by the normal
# curve; more, because counts have steps and a small pilot's interval may be a little too narrow).
REACH, POWER = 1.96, 1.0
# Rows (clusters) from which on both hold: fewer have no interval to be relied on, and one that is
# estimated from still fewer may be of no width at all.
FEWEST = 100


class Test(NamedTuple):
    """A two-sided p-value and the test that it is of."""

    name: str
    p: float


@dataclass(frozen=True)
class Verdict:
    """What fusion gained over its rival, and what that means.

    Attributes:
        answer: "pays", "does not pay" or "undecided".
        gain: in the metric's units, above 0 where fusion is better (also of an error).
        low: lower end of its 95 % interval.
        high: upper end.
        test: of there being no difference.
        least: the smallest gain worth having, in the metric's units.
        rows: measured.
        rows_needed: where undecided, the rows in all with which the observed gain would give an
            answer with 80 % chance, in clusters like these; None where no number would, and where
            there is an answer already.
    """

    answer: Answer
    gain: float
    low: float
    high: float
    test: Test
    least: float
    rows: int
    rows_needed: int | None


def verdict_of_metric(
    both: Metric,
    rows: int,
    *,
    clusters: Clusters | None = None,
    least: float | None = None,
    test: Test | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Verdict:
    """The verdict on any metric.

    Args:
        both: over 2 * `rows` rows: the fused model's outputs, then the rival's for the same rows,
            with the same targets.
        rows: how many each was given.
        clusters: each row's cluster, or None where rows are independent.
        least: the smallest gain worth having, in the metric's units; by default LEAST, for an
            error times the rival's.
        test: of the difference; by default approximate randomisation.
        resamples: of the bootstrap and the randomisation.
        seed: of both.
    """
    sign = 1 if both.greater_is_better else -1

    def fused(weights: Array) -> Array:
        return both.statistic(np.concatenate([weights, np.zeros_like(weights)], 1))

    def rival(weights: Array) -> Array:
        return both.statistic(np.concatenate([np.zeros_like(weights), weights], 1))

    gain = interval(Metric(lambda w: sign * (fused(w) - rival(w))), rows, clusters, resamples, seed)
    if test is None:
        p = approximate_randomisation(both, rows, clusters, resamples, seed)
        test = Test("approximate randomisation", p)
    scale = 1.0 if both.greater_is_better else float(rival(np.ones((1, rows)))[0])
    if least is None:
        least = LEAST * scale
    units = rows if clusters is None else len(set(clusters))
    # A perfect rival leaves no error to gain on, and `least` is 0.
    least_rows = rows * LEAST_UNITS * scale / (units * least) if least > 0 else math.nan
    proven = test.p <= 0.05
    answer: Answer = "undecided"
    if gain.low > 0 and proven:
        answer = "pays"
    elif (gain.high < 0 and proven) or (gain.high < least and rows >= least_rows):
        answer = "does not pay"
    return Verdict(
        answer,
        gain.value,
        gain.low,
        gain.high,
        test,
        least,
        rows,
        _rows_needed(gain, rows, units, least, least_rows) if answer == "undecided" else None,
    )


def _rows_needed(
    gain: Interval, rows: int, units: int, least: float, least_rows: float
) -> int | None:
    """For the answer that is nearer: a gain proven, or a gain of `least` excluded."""
    error = (gain.high - gain.low) / (2 * REACH)
    pays = gain.value >= least - gain.value
    apart = gain.value if pays else least - gain.value
    if math.isnan(error + least_rows):
        return None
    needed = rows * ((REACH + POWER) * error / apart) ** 2
    return math.ceil(max(needed, rows * FEWEST / units, 0 if pays else least_rows))
