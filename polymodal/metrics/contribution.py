"""What each modality and their combination contribute to one trained model.

A game gives a value to every set of modalities: the metric with only these present, for the empty
set that of always answering the commonest class (the mean, for a number). What the absent ones
were replaced by (a mask, a learned token, a permutation) belongs beside every figure. A model that
was trained with all of them is asked here; whether the data need fusion is `verdict`'s question.

Values may be floats or arrays: a Shapley value is linear in the game, so the Shapley value of
per-row values `(rows,)` is per-row too and its mean is that of the means.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, sqrt
from typing import Any, TypeVar

import numpy as np

from polymodal.contract.metric import Metric
from polymodal.metrics._weighted import Array, ratio
from polymodal.metrics.statistics import Clusters, Interval, bootstrap, exact

Value = TypeVar("Value", float, Array)
Names = frozenset[str]


@dataclass(frozen=True)
class Shape:
    """A model's modalities by SHAPE (arXiv 2205.00302), every figure with its 95 % interval.

    Of an error metric, Shapley values and cooperation are those of its negative: above 0 helps.

    Attributes:
        values: set of modalities -> the metric with only these present.
        shapley: modality -> phi, its share of V(all) - V(none).
        contribution: modality -> phi / |V(all)|.
        cooperation: set of two or more -> C: above 0 they bring more together than one by one,
            below 0 less, repeating each other or not: a perfect AND of .7 and .7 has -.07.
    """

    values: dict[Names, Interval]
    shapley: dict[str, Interval]
    contribution: dict[str, Interval]
    cooperation: dict[Names, Interval]


def subsets(names: Sequence[str]) -> list[Names]:
    """All 2^M sets of modalities, the smaller first."""
    return [frozenset(s) for size in range(len(names) + 1) for s in combinations(names, size)]


def players(game: Mapping[Names, object]) -> list[str]:
    """The modalities of a game, in the order of its sets of one.

    Raises:
        ValueError: a set of modalities has no value.
    """
    names = list(dict.fromkeys(name for key in sorted(game, key=len) for name in key))
    missing = [sorted(key) for key in subsets(names) if key not in game]
    if missing:
        raise ValueError(f"a game of {len(names)} lacks the values of {missing}")
    return names


def shapley(game: Mapping[Names, Value]) -> dict[str, Value]:
    """phi_i = sum over S without i of |S|! (m - |S| - 1)! / m! * [V(S + i) - V(S)].

    Paper: "A value for n-person games" (Shapley 1953).
    """
    names = players(game)
    singles = {name: frozenset([name]) for name in names}
    return {
        name: _worth(game, singles[name], [singles[n] for n in names if n != name])
        for name in names
    }


def cooperation(game: Mapping[Names, Value], members: Collection[str]) -> Value:
    """C_A: what the members are worth as one player, less their worths where each plays alone.

    C_A = phi_A(A merged) - sum over i in A of phi_i(without A's other members); for all of two
    modalities V(12) - V(1) - V(2) + V().

    Args:
        members: two or more of the players.

    Paper: "SHAPE" (Hu et al. 2022, arXiv 2205.00302).
    """
    others = [frozenset([name]) for name in players(game) if name not in members]
    total = _worth(game, frozenset(members), others)
    for name in members:
        total = total - _worth(game, frozenset([name]), others)
    return total


def shape(
    metrics: Mapping[Names, Metric],
    rows: int,
    clusters: Clusters | None = None,
    resamples: int = 2000,
    seed: int = 0,
    walks: Sequence[Sequence[str]] | None = None,
) -> Shape:
    """Shapley values, contributions and cooperation of every set, with bootstrap intervals.

    All are recomputed on each resample, so any metric will do, not only a mean over rows.

    Args:
        metrics: every set of modalities -> the metric over the same `rows` rows.
        rows, clusters, resamples, seed: as for `statistics.bootstrap`.
        walks: `orders` to estimate Shapley values from, where only the sets that they pass have a
            metric; there is no cooperation then. Intervals hold both errors, that of drawing rows
            and that of drawing orders, which are independent.
    """
    names = players(metrics) if walks is None else sorted(walks[0])
    everyone = frozenset(names)
    teams = [] if walks else [team for team in subsets(names) if len(team) > 1]
    sign = 1 if metrics[everyone].greater_is_better else -1

    def figures(weights: Array) -> dict[tuple[str, str | Names], Array]:
        values = {team: metric.statistic(weights) for team, metric in metrics.items()}
        game = {team: sign * value for team, value in values.items()}
        if walks is None:
            phi = shapley(game)
        else:
            phi = dict(zip(names, _gains(game, names, walks).mean(0), strict=True))
        size = np.abs(game[everyone])
        return {
            **{("values", team): value for team, value in values.items()},
            **{("shapley", name): phi[name] for name in names},
            **{("contribution", name): ratio(phi[name], size) for name in names},
            **{("cooperation", team): cooperation(game, team) for team in teams},
        }

    found = bootstrap(figures, rows, clusters, resamples, seed)
    parts: dict[str, dict] = {part: {} for part in Shape.__dataclass_fields__}
    for (part, of), interval in found.items():
        if part == "values":
            interval = exact(interval, metrics[frozenset(of)], rows, clusters)
        parts[part][of] = interval
    if walks is not None:
        plain = {team: sign * value.value for team, value in parts["values"].items()}
        reach = _reach(_gains(plain, names, walks))
        for name, half in zip(names, reach, strict=True):
            parts["shapley"][name] = _wider(parts["shapley"][name], half)
            share = half / abs(plain[everyone]) if plain[everyone] else 0.0
            parts["contribution"][name] = _wider(parts["contribution"][name], share)
    return Shape(**parts)


def orders(names: Sequence[str], pairs: int, seed: int = 0) -> list[list[str]]:
    """Random orders of joining, each followed by its reverse, whose errors tend to the other side.

    A modality's gain on joining, averaged over them, is an unbiased estimate of its Shapley value.

    Args:
        pairs: orders to draw, two or more for an interval.

    Paper: "Sampling Permutations for Shapley Value Estimation" (Mitchell et al. 2022).
    """
    rng = np.random.default_rng(seed)
    drawn = [[names[i] for i in rng.permutation(len(names))] for _ in range(pairs)]
    return [walk for order in drawn for walk in (order, order[::-1])]


def visited(walks: Sequence[Sequence[str]]) -> list[Names]:
    """The sets that form as modalities join in these orders, each once."""
    passed = (frozenset(walk[:i]) for walk in walks for i in range(len(walk) + 1))
    return list(dict.fromkeys(passed))


def perceptual_score(
    score: Callable[[Array], Metric], rows: int, permutations: int = 5, seed: int = 0
) -> Metric:
    """How much of its score a model owes to one modality: what it loses when that is exchanged.

    P = mean over permutations of [V(x) - V(x with the modality's cells permuted)] / V(x), the
    model-normalised form. Of an error, P is negative where the modality helps.

    Args:
        score: `(rows,)` int -> the metric when row i is given the modality's cell of row order[i].
        rows: how many.
        permutations: drawn of the rows.

    Returns:
        A metric over the rows, for `statistics.interval`.

    Paper: "Perceptual Score" (Gat et al. 2021, arXiv 2110.14375).
    """
    rng = np.random.default_rng(seed)
    whole = score(np.arange(rows))
    exchanged = [score(rng.permutation(rows)) for _ in range(permutations)]

    def statistic(weights: Array) -> Array:
        value = whole.statistic(weights)
        without = np.mean([metric.statistic(weights) for metric in exchanged], axis=0)
        return ratio(value - without, value)

    return Metric(statistic)


def emap(scores: Array) -> Array:
    """A model's scores without the interaction of its two modalities, from all pairs of rows.

    f_i = mean_j f(t_i, v_j) + mean_j f(t_j, v_i) - mean_jk f(t_j, v_k). What the model loses by it,
    V(f) - V(f_i), is owed to the interaction; an additive f loses nothing.

    Args:
        scores: `(rows, rows, classes)`: logits for the first modality of row j with the second of
            row k.

    Returns:
        `(rows, classes)`.

    Paper: "Does my multimodal model learn cross-modal interactions?" (Hessel, Lee 2020,
    arXiv 2010.06572).
    """
    return np.asarray(scores.mean(1) + scores.mean(0) - scores.mean((0, 1)))


def additive_projection(
    score: Callable[[Array], Array], rows: int, modalities: int, calls: int, seed: int = 0
) -> Array:
    """`emap` for any number of modalities and a bounded number of forward passes.

    Each call pairs every row's first modality with the others' cells from rows at random
    distances; the sum of one function per modality that is closest to the answers is then read
    off at the true rows. Exact for an additive model, and, for two modalities, equal to `emap`
    at calls = rows.

    Args:
        score: `(modalities, rows)` int -> `(rows, classes)` logits when modality m of the i-th
            answer is the cell of row chosen[m, i].
        calls: from 16 (fewer leave the functions ill determined) to `rows`; `rows` if there are
            fewer.

    Returns:
        `(rows, classes)`.

    Raises:
        ValueError: calls is out of range.
    """
    if not min(16, rows) <= calls <= rows:
        raise ValueError(f"calls must be from {min(16, rows)} to {rows}, got {calls}")
    rng = np.random.default_rng(seed)
    base = rng.permutation(rows)
    # The true rows, all distances 0, come last: few calls must not lean towards them.
    steps = [np.append(1 + rng.permutation(rows - 1), 0)[:calls] for _ in range(modalities - 1)]
    distances = np.stack([np.zeros(calls, int), *steps], 1)
    chosen = base[(np.arange(rows) + distances[..., None]) % rows]
    answers = np.stack([score(rows_of) for rows_of in chosen]).astype(float)
    return _additive_fit(chosen, answers)


def discrepancy_ratio(logits: Mapping[str, Array], targets: Array) -> dict[str, float]:
    """rho of OGM-GE: each modality's summed probability of the right class over the others' mean.

    Args:
        logits: modality -> `(rows, classes)`, the output that it has on its own.
        targets: `(rows,)` class codes.

    Paper: "Balanced Multimodal Learning via On-the-fly Gradient Modulation" (Peng et al. 2022,
    arXiv 2203.15332).
    """
    from scipy.special import softmax

    rows = np.arange(len(targets))
    sums = {name: softmax(out, axis=1)[rows, targets].sum() for name, out in logits.items()}
    return discrepancy(sums)


def discrepancy(right: Mapping[str, float]) -> dict[str, float]:
    """Each modality's likelihood of what is right, over the mean of the others'.

    Above 1 a modality has learned more than the others, and theirs starve. NaN where there is no
    other.
    """
    if len(right) < 2:
        return dict.fromkeys(right, float("nan"))
    total, least = sum(right.values()), np.finfo(float).tiny
    return {
        name: float(own * (len(right) - 1) / max(total - own, least)) for name, own in right.items()
    }


def conditional_utilisation(game: Mapping[Names, Value]) -> dict[str, Value]:
    """u_i = [V(all) - V(all but i)] / |V(all)|: what the model loses without a modality.

    Give an error's negative, so that above 0 helps. NaN where V(all) is 0.

    Paper: "Characterizing and Overcoming the Greedy Nature of Learning in Multi-modal Deep Neural
    Networks" (Wu et al. 2022, arXiv 2202.05306).
    """
    everyone = max(game, key=len)
    names = dict.fromkeys(name for team in sorted(game, key=len) for name in sorted(team))
    whole = game[everyone]
    share: Any = ratio(np.ones(np.shape(whole)), np.abs(whole))[()]
    return {name: (whole - game[everyone - {name}]) * share for name in names}


def gradient_conflict(joint: Array, alone: Array) -> float:
    """Cosine of the joint and a unimodal loss's gradients `(parameters,)` on a shared encoder.

    Below 0 the two pull it apart; NaN if either gradient is zero.

    Paper: "MMPareto" (Wei, Hu 2024, arXiv 2405.17730).
    """
    lengths = np.linalg.norm(joint) * np.linalg.norm(alone)
    return float(np.vdot(joint, alone) / lengths) if lengths > 0 else float("nan")


def mm_shap(tokens: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Each row's share of every modality in the output: sum |phi| of its tokens over that of all.

    The mean over rows is the score of MM-SHAP. It tells how much is used, not how well.

    Args:
        tokens: for each row, modality -> `(tokens,)` Shapley values.

    Returns:
        Modality -> `(rows,)`; NaN in a row whose values are all 0.

    Paper: "MM-SHAP" (Parcalabescu, Frank 2023, arXiv 2212.08158).
    """
    names = list(dict.fromkeys(name for row in tokens for name in row))
    sizes = np.array([[np.abs(row.get(name, ())).sum() for name in names] for row in tokens])
    shares = ratio(sizes, np.broadcast_to(sizes.sum(1, keepdims=True), sizes.shape))
    return dict(zip(names, shares.T, strict=True))


def _gains(
    game: Mapping[Names, Value], names: Sequence[str], walks: Sequence[Sequence[str]]
) -> Array:
    """What every modality adds on joining, a mean over each order and its reverse.

    Args:
        walks: `orders`.

    Returns:
        `(pairs, modalities)`, and the values' own shape behind.
    """
    place = {name: i for i, name in enumerate(names)}
    gains = np.zeros((len(walks) // 2, len(names), *np.shape(game[frozenset()])))
    for number, walk in enumerate(walks):
        for i, name in enumerate(walk):
            joined = game[frozenset(walk[: i + 1])] - game[frozenset(walk[:i])]
            gains[number // 2, place[name]] += joined / 2
    return gains


def _reach(gains: Array) -> Array:
    """Half the 95 % interval of the mean over pairs of orders, by Student's t: `(modalities,)`."""
    from scipy.special import stdtrit

    pairs = len(gains)
    return np.asarray(stdtrit(pairs - 1, 0.975) * gains.std(0, ddof=1) / sqrt(pairs))


def _wider(found: Interval, half: float) -> Interval:
    """An interval with an independent error of its own added, given half the interval of that."""
    low = found.value - np.hypot(found.value - found.low, half)
    high = found.value + np.hypot(found.high - found.value, half)
    return Interval(found.value, float(low), float(high))


def _worth(game: Mapping[Names, Value], player: Names, others: Sequence[Names]) -> Value:
    """Shapley value of a player, who may be several modalities, in the game with the others."""
    total = 0 * game[frozenset()]
    for size in range(len(others) + 1):
        share = 1 / ((len(others) + 1) * comb(len(others), size))
        for chosen in combinations(others, size):
            before: Names = frozenset().union(*chosen)
            total = total + share * (game[before | player] - game[before])
    return total


def _additive_fit(chosen: Array, answers: Array) -> Array:
    """Least squares by backfitting, evaluated at the true rows: `(rows, classes)`.

    Args:
        chosen: `(calls, modalities, rows)` int, in every call and modality each row once.
        answers: `(calls, rows, classes)`.
    """
    calls, modalities, rows = chosen.shape
    mean = answers.mean((0, 1))
    effects = np.zeros((modalities, rows, answers.shape[2]))
    residual = answers - mean
    order = np.argsort(chosen, axis=2)
    step = np.inf
    while step > 1e-10 * np.abs(answers).max():
        step = 0.0
        for m in range(modalities):
            update = residual[np.arange(calls)[:, None], order[:, m]].mean(0)
            residual -= update[chosen[:, m]]
            effects[m] += update
            step = max(step, float(np.abs(update).max()))
    return np.asarray(mean + effects.sum(0))
