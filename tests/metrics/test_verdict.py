"""The rule by cases, its rates of error by simulation, and the tests it rests on.

What is simulated is printed too: `pytest -rP` shows it.
"""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest

from polymodal.contract.metric import Metric
from polymodal.metrics import metrics, statistics
from polymodal.metrics._weighted import Array, mean
from polymodal.metrics.statistics import Clusters, mcnemar
from polymodal.metrics.verdict import Test as PairedTest
from polymodal.metrics.verdict import Verdict, verdict_of_metric

pytestmark = pytest.mark.whole


def verdict_of_values(
    fused: Array,
    rival: Array,
    *,
    greater_is_better: bool = True,
    clusters: Clusters | None = None,
    least: float | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Verdict:
    """The verdict on a metric that is a mean over rows.

    Right-or-wrong values of independent rows are tested by McNemar's mid-p, others by approximate
    randomisation.

    Args:
        fused: `(rows,)` the fused model's values (1 where right, an absolute error, ...).
        rival: `(rows,)` the rival's on the same rows.
        clusters, least, resamples, seed: as for `verdict_of_metric`.
        greater_is_better: False for errors.
    """
    both = Metric(mean(np.concatenate([fused, rival]).astype(float)), greater_is_better)
    test = None
    if clusters is None and np.isin([fused, rival], (0, 1)).all():
        wins, losses = int((fused > rival).sum()), int((fused < rival).sum())
        test = PairedTest("mid-p", mcnemar(wins, losses).mid_p)
    return verdict_of_metric(
        both,
        len(fused),
        clusters=clusters,
        least=least,
        test=test,
        resamples=resamples,
        seed=seed,
    )


@cache
def of_counts(
    wins: int, losses: int, rows: int, least: float | None = None, resamples: int = 1000
) -> Verdict:
    """Accuracy where only the fused model is right in `wins` rows, only the single in `losses`."""
    fused, single = np.zeros(rows), np.zeros(rows)
    fused[:wins] = 1
    single[wins : wins + losses] = 1
    return verdict_of_values(fused, single, least=least, resamples=resamples)


def answers(rows: int, disagreeing: float, gain: float, draws: int = 2000) -> Counter[str]:
    """Shares of the answers over test sets drawn at a true gain."""
    chances = [(disagreeing + gain) / 2, (disagreeing - gain) / 2, 1 - disagreeing]
    drawn = np.random.default_rng(0).multinomial(rows, chances, draws)
    found = Counter(
        of_counts(int(wins), int(losses), rows, resamples=400).answer for wins, losses, _ in drawn
    )
    return shares(found, f"gain {gain:.3f}, d {disagreeing:.3f}, {rows} rows")


def shares(found: Counter[str], of: str) -> Counter[str]:
    draws = found.total()
    each = Counter({answer: count / draws for answer, count in found.items()})
    spelled = ", ".join(f"{answer} {share:.4f}" for answer, share in sorted(each.items()))
    print(f"{of}, {draws} draws: {spelled}")
    return each


@pytest.mark.parametrize(
    ("wins", "losses", "rows", "answer"),
    [
        (60, 20, 1000, "pays"),
        (20, 60, 1000, "does not pay"),
        (10, 10, 1000, "does not pay"),
        (0, 0, 1000, "does not pay"),
        (60, 50, 1000, "undecided"),
        (30, 30, 300, "undecided"),
        (0, 0, 300, "undecided"),  # a gain of 2 points could have met none of 300 rows
        (2, 30, 300, "does not pay"),  # but a proven harm needs no such care
        (4, 0, 1000, "does not pay"),
    ],
)
def test_the_rule(wins, losses, rows, answer):
    assert of_counts(wins, losses, rows).answer == answer


def test_what_it_states():
    found = of_counts(60, 20, 1000)
    assert found.gain == pytest.approx(0.04)
    error = np.sqrt((0.08 - 0.04**2) / 1000)
    assert found.low == pytest.approx(0.04 - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(0.04 + 1.96 * error, abs=0.15 * error)
    assert found.test == ("mid-p", statistics.mcnemar(60, 20).mid_p)
    assert (found.least, found.rows, found.rows_needed) == (0.02, 1000, None)


def test_a_low_above_zero_is_not_enough():
    """Four wins of four: the bootstrap is sure, McNemar's test is not."""
    found = of_counts(4, 0, 100)
    assert found.low > 0 and found.test.p > 0.05
    assert found.answer == "undecided"


def test_a_smaller_least_is_harder_to_exclude():
    assert of_counts(10, 10, 1000, least=0.005).answer == "undecided"
    assert of_counts(60, 50, 1000, least=0.05).answer == "does not pay"


def test_a_useless_modality_is_told_at_a_thousand_rows():
    found = answers(1000, disagreeing=0.02, gain=0)
    assert found["does not pay"] >= 0.95
    assert found["pays"] <= 0.055 / 2 + 0.007  # two standard errors of the simulation


@pytest.mark.parametrize(("rows", "disagreeing"), [(100, 0.2), (300, 0.1)])
def test_a_gain_that_is_none_hardly_ever_pays(rows, disagreeing):
    assert answers(rows, disagreeing, gain=0)["pays"] <= 0.055 / 2 + 0.007


@pytest.mark.parametrize(("rows", "disagreeing"), [(400, 0.02), (600, 0.04)])
def test_a_useful_one_is_hardly_ever_dismissed(rows, disagreeing):
    """A true gain of exactly `least`, the hardest, where it rests on the fewest rows."""
    assert answers(rows, disagreeing, gain=0.02)["does not pay"] <= 0.055


@pytest.mark.parametrize(
    ("wins", "losses", "rows", "answer"),
    [
        (14, 6, 200, "pays"),
        (12, 6, 60, "pays"),
        (4, 0, 100, "pays"),  # the fewest wins that may come out as proven
        (4, 0, 5, "pays"),
        (3, 1, 6, "pays"),
        (2, 2, 200, "does not pay"),
    ],
)
def test_power_at_the_rows_recommended(wins, losses, rows, answer):
    pilot = of_counts(wins, losses, rows)  # that saw exactly the truth
    assert pilot.answer == "undecided" and rows < pilot.rows_needed < 1000
    gain, disagreeing = (wins - losses) / rows, (wins + losses) / rows
    assert answers(pilot.rows_needed, disagreeing, gain)[answer] >= 0.8


def of_patients(won: np.ndarray, resamples: int) -> Verdict:
    """The verdict where the fused model wins `won` of each patient's 5 rows; below 0 it loses."""
    fused, single = ((np.arange(5) < sign * won[:, None]).ravel() * 1.0 for sign in (1, -1))
    clusters = np.arange(len(won)).repeat(5)
    return verdict_of_values(fused, single, clusters=clusters, resamples=resamples)


@pytest.mark.slow
def test_a_gain_that_is_none_hardly_ever_pays_in_clusters():
    rng = np.random.default_rng(0)
    found = [of_patients(rng.choice([-5, -2, 0, 0, 2, 5], 100), 400) for _ in range(1000)]
    level = np.mean([each.test.p <= 0.05 for each in found])
    covered = np.mean([each.low <= 0 <= each.high for each in found])
    print(f"100 clusters of 5, no gain: p <= .05 in {level:.4f}, interval covers {covered:.4f}")
    pays = shares(Counter(each.answer for each in found), "100 clusters of 5, no gain")["pays"]
    assert pays <= 0.055 / 2 + 0.01  # two standard errors of the simulation
    assert level <= 0.055 + 0.014
    assert 0.93 <= covered <= 0.965


@pytest.mark.slow
def test_power_at_the_rows_recommended_in_clusters():
    truth = np.repeat([5, 2, -5, 0], [7, 3, 3, 17])
    pilot = of_patients(truth, 4000)  # that saw exactly the truth
    assert pilot.answer == "undecided"
    count = round(pilot.rows_needed / 5)
    assert 100 < count < 150
    rng = np.random.default_rng(0)
    found = Counter(of_patients(rng.choice(truth, count), 400).answer for _ in range(1000))
    gain = f"gain {pilot.gain:.3f}, {count} clusters of 5"
    assert shares(found, gain)["pays"] >= 0.8


@pytest.mark.slow
def test_errors_of_no_difference_hardly_ever_pay():
    """Skewed errors of 100 rows, by approximate randomisation."""
    rng = np.random.default_rng(0)
    found = Counter(
        verdict_of_values(
            *rng.exponential(size=(2, 100)), greater_is_better=False, resamples=400
        ).answer
        for _ in range(1000)
    )
    assert shares(found, "exponential errors, 100 rows, no gain")["pays"] <= 0.055 / 2 + 0.01


def test_rows_to_exclude_a_gain():
    pilot = of_counts(100, 100, 1000)  # no gain seen, d = .2
    assert pilot.answer == "undecided"
    assert pilot.rows_needed == pytest.approx((1.96 + 1) ** 2 * 0.2 / 0.02**2, rel=0.1)
    assert of_counts(0, 0, 100).rows_needed == 400


@pytest.mark.parametrize(("rows", "clusters"), [(3, None), (30, 10)])
def test_a_handful_never_is_enough(rows, clusters):
    """All were won: the interval has no width, and no number of rows follows from it."""
    of = None if clusters is None else np.repeat(np.arange(3), clusters)
    found = verdict_of_values(np.ones(rows), np.zeros(rows), clusters=of)
    assert found.low == found.high == 1 and found.answer == "undecided"
    assert found.rows_needed == 100 * (clusters or 1)


def test_what_is_decided_needs_no_rows():
    for wins, losses in ((900, 0), (0, 900), (10, 10)):
        found = of_counts(wins, losses, 1000)
        assert found.answer != "undecided" and found.rows_needed is None


def test_values_that_are_no_counts_are_randomised():
    rng = np.random.default_rng(0)
    fused, single = rng.random(500), rng.random(500) + 0.3
    found = verdict_of_values(fused, single, greater_is_better=False, resamples=500)
    assert found.answer == "pays" and found.gain == pytest.approx((single - fused).mean())
    assert found.test.name == "approximate randomisation" and found.test.p == pytest.approx(1 / 501)
    assert found.least == pytest.approx(0.02 * single.mean())
    turned = verdict_of_values(single, fused, greater_is_better=False, resamples=500)
    assert turned.answer == "does not pay" and turned.gain == pytest.approx(-found.gain)
    better = verdict_of_values(fused, single, resamples=500)
    assert better.answer == "does not pay" and better.least == 0.02


def test_clusters_are_resampled_and_exchanged_whole():
    of_patient = np.repeat(np.arange(40), 25)
    wins, losses = (np.isin(of_patient, range(*ends)) * 1.0 for ends in ((0, 8), (8, 11)))
    rows = verdict_of_values(wins, losses)
    whole = verdict_of_values(wins, losses, clusters=of_patient)
    assert rows.answer == "pays" and rows.test.p < 1e-9
    assert whole.answer == "undecided"
    # 8 patients against 3, each way as likely: the sign test, exactly.
    assert whole.test.p == pytest.approx(statistics.mcnemar(8, 3).exact, abs=0.03)
    assert whole.high - whole.low > 4 * (rows.high - rows.low)
    # No difference at all, but in 40 patients only: 8 / .02 = 400 would do.
    none = verdict_of_values(wins, wins, clusters=of_patient)
    assert none.answer == "undecided" and none.rows_needed == 400 * 25


def test_of_any_metric():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 400)
    good, bad = (
        np.eye(3)[np.where(rng.random(400) < share, y, rng.integers(0, 3, 400))]
        for share in (0.9, 0.6)
    )

    def both(a: np.ndarray, b: np.ndarray) -> dict:
        return metrics.classification(np.concatenate([a, b]), np.concatenate([y, y]))

    ones = np.ones((1, 400))
    f1 = [metrics.classification(s, y)["macro_f1"].statistic(ones)[0] for s in (good, bad)]
    found = verdict_of_metric(both(good, bad)["macro_f1"], 400, resamples=300)
    assert found.answer == "pays" and found.gain == pytest.approx(f1[0] - f1[1])
    loss = verdict_of_metric(both(good, bad)["log_loss"], 400, resamples=300)
    assert loss.answer == "pays" and loss.gain > 0
    accuracy = verdict_of_metric(both(bad, good)["accuracy"], 400, resamples=300)
    right = [(s.argmax(1) == y) * 1.0 for s in (bad, good)]
    same = verdict_of_values(*right, resamples=300)
    assert accuracy.answer == same.answer == "does not pay"
    assert (accuracy.low, accuracy.high) == pytest.approx((same.low, same.high))


def test_nothing_to_measure_with():
    one = verdict_of_values(np.ones(1), np.zeros(1))
    assert one.answer == "undecided" and one.rows_needed is None
    perfect = verdict_of_values(np.zeros(50), np.zeros(50), greater_is_better=False)
    assert perfect.answer == "undecided" and perfect.rows_needed is None
