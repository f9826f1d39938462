"""The verdict on a run: its fused model against the best rival, in figures and in words."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from polymodal.contract import Metric, Objective
from polymodal.data.collate import Collator
from polymodal.data.prepare import Prepared
from polymodal.evaluate import game
from polymodal.evaluate._shown import Plain, Shown
from polymodal.evaluate._weighted import Array
from polymodal.evaluate.metrics import primary
from polymodal.evaluate.statistics import (
    Clusters,
    approximate_randomisation,
    interval,
    mcnemar,
    paired_difference,
)
from polymodal.evaluate.verdict import Test, verdict_of_metric

if TYPE_CHECKING:
    from polymodal.run import Run

Scores = Sequence[Array]
Against = Literal["single", "constant"]

# The leaderboard's name and role of always giving the same answer, and how it is said.
CONSTANT, SAME = "constant", "always the same answer"

# Exchanges of a randomisation test of two models.
EXCHANGES = 2000
RANDOMISATION = "approximate randomisation"

# Costs are timed on this many rows, in batches like prediction's and one by one.
TIMED, ALONE = 256, 20


def best_single(run: Run, target: str) -> str | None:
    """The modality whose own model validated best; None if no such model was."""
    rivals = _validated(run, target, "rival")
    return max(rivals, key=rivals.__getitem__) if rivals else None


def hardest(run: Run, target: str) -> Against:
    """What validated best of what fusion has to beat: a single modality, or the constant."""
    constant = max(_validated(run, target, CONSTANT).values(), default=-math.inf)
    return "constant" if constant > max(_validated(run, target, "rival").values()) else "single"


def _validated(run: Run, target: str, role: str) -> dict[str, float]:
    """Validation values of the leaderboard's lines of a role, turned so that more is better."""
    return {
        line["name"]: line["value"] if line["greater_is_better"] else -line["value"]
        for line in run.leaderboard
        if line["target"] == target and line["role"] == role
        # Not every metric is defined on every validation table.
        if line["value"] is not None and not math.isnan(line["value"])
    }


def paired_test(
    objective: Objective,
    first: Scores,
    second: Scores,
    targets: Scores,
    clusters: Clusters | None,
    exchanges: int = EXCHANGES,
) -> Test:
    """Whether two models' primary metric differs on the same rows, whose target is known.

    McNemar's mid-p for the accuracy of independent rows, approximate randomisation for all else.
    """
    if clusters is None and objective.primary == "accuracy":
        truth = np.stack(list(targets))
        right = [np.stack(list(one)).argmax(1) == truth for one in (first, second)]
        wins, losses = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
        return Test("McNemar's mid-p", mcnemar(wins, losses).mid_p)
    both = primary(objective, [*first, *second], [*targets, *targets])
    p = approximate_randomisation(both, len(targets), clusters, exchanges)
    return Test(RANDOMISATION, p)


def verdict(
    objective: Objective,
    fused: Scores,
    singles: Mapping[str, Scores],
    best: str,
    against: Against,
    targets: Scores,
    clusters: Clusters | None,
) -> dict[str, Any]:
    """Whether the fused model's gain pays, on rows whose target is known.

    Args:
        fused: scores of the rows.
        singles: modality -> its own model's scores of the same rows.
        best: the modality that validated best.
        against: what the fused model is compared with: that modality, or the constant.
        targets: encoded.

    Returns:
        The fields of `Verdict`, with "p", and test's name under "test"; "metric"; "groups" that the
        rows are in (None: independent); "fused" and
        "single": the values of the fused model and of the best single modality's; "best_single"
        and "against"; "constant": "value", "low", "high" of always the same answer, and "gain",
        the fused model's over it, with its own interval; "stronger": what scores better on these
        rows than the rival that validation chose ("against", "name", "value"), or None.
    """
    constant = game.constant(objective, fused)
    rival = singles[best] if against == "single" else constant
    both = primary(objective, [*fused, *rival], [*targets, *targets])
    test = paired_test(objective, fused, rival, targets, clusters)
    found = verdict_of_metric(both, len(targets), clusters=clusters, test=test)
    described = asdict(found)
    described["test"], described["p"] = found.test.name, found.test.p
    metrics = {name: primary(objective, scores, targets) for name, scores in singles.items()}
    own = primary(objective, fused, targets)
    values = {name: _value(metric, len(targets)) for name, metric in metrics.items()}
    beside = _constant(objective, own, constant, targets, clusters)
    return {
        "metric": objective.primary,
        "groups": None if clusters is None else len(set(clusters)),
        "fused": _value(own, len(targets)),
        "single": values[best],
        "best_single": best,
        "against": against,
        "constant": beside,
        "stronger": _stronger(values, beside["value"], best, against, own.greater_is_better),
        **described,
    }


def _constant(
    objective: Objective,
    own: Metric,
    constant: Scores,
    targets: Scores,
    clusters: Clusters | None,
) -> dict[str, Any]:
    """The constant's value with its interval, and the fused model's gain over it.

    Args:
        own: the fused model's metric.
    """
    metric, rows = primary(objective, constant, targets), len(targets)
    first, second = (own, metric) if own.greater_is_better else (metric, own)
    gain = paired_difference(first, second, rows, clusters)
    return {**asdict(interval(metric, rows, clusters)), "gain": asdict(gain)}


def _stronger(
    singles: Mapping[str, float], constant: float, best: str, against: Against, greater: bool
) -> dict[str, Any] | None:
    """The best of the rivals that score better than the one compared with."""
    values = {("single", name): value for name, value in singles.items()}
    values["constant", CONSTANT] = constant
    sign = 1 if greater else -1
    bar = sign * values["single", best] if against == "single" else sign * constant
    better = {who: value for who, value in values.items() if sign * value > bar}
    if not better:
        return None
    kind, name = max(better, key=lambda who: sign * better[who])
    return {"against": kind, "name": name, "value": better[kind, name]}


def _value(metric: Metric, rows: int) -> float:
    return float(metric.statistic(np.ones((1, rows)))[0])


def cost(run: Run, prepared: Sequence[Prepared], names: Iterable[str]) -> dict[str, float]:
    """Parameters, rows a second in batches, and milliseconds for one row, of members together.

    Reading and decoding of the cells is not in it: it is the same work for every model.
    """
    members = [run.members[name] for name in names]
    total = len(prepared[0])
    rows = np.arange(min(TIMED, total))
    collators = [Collator({m: prepared[i] for m, i in t.forms.items()}, {}) for t in members]

    def seconds(rows: Array) -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            for member, collator in zip(members, collators, strict=True):
                member.module(collator(rows).inputs)
        return time.perf_counter() - start

    for member in members:
        member.module.cpu().eval()
    seconds(rows)
    batch = min(seconds(rows) for _ in range(3))
    single = float(np.median([seconds(rows[i % len(rows)][None]) for i in range(ALONE)]))
    return {
        "parameters": sum(member.facts["parameters"] for member in members),
        "rows_per_second": len(rows) / batch,
        "latency_ms": 1e3 * single,
    }


def composition(run: Run, target: str) -> dict[str, dict[str, Any]]:
    """The fused model's members: their share in it and the modalities that they read."""
    return {
        name: {"share": share, "modalities": list(run.members[name].spec.modalities)}
        for name, share in run.weights["fused"][target].items()
    }


ANSWERS = {
    "pays": "Fusion pays",
    "does not pay": "Fusion does not pay",
    "undecided": "Whether fusion pays is undecided",
}


def headline(shown: Shown, *at: str) -> str:
    """The answer in a few words.

    Args:
        at: where the verdict is in the document.
    """
    found = shown.at(*at)
    little = found["answer"] == "pays" and found["high"] < found["least"]
    # "Does not pay" holds all the more against a stronger rival.
    doubted = found["answer"] == "pays" and found["untrained"]
    return (
        ANSWERS[found["answer"]]
        + (f", but by less than {shown.number(*at, 'least')}" if little else "")
        + (", against the rivals that were trained" if doubted else "")
    )


def sentence(shown: Shown, *at: str) -> str:
    """What the answer rests on, and what else it takes to read it rightly."""
    found = shown.at(*at)
    single = f"the best single modality ({shown.text(*at, 'best_single')})"
    rival = f"{shown.number(*at, 'single')} of {single}"
    if found["against"] == "constant":
        rival = (
            f"{shown.number(*at, 'constant', 'value')} of {SAME}, which validated better than "
            f"{single}, here at {shown.number(*at, 'single')}"
        )
    groups = f" in {shown.number(*at, 'groups')} groups" if found["groups"] else ""
    # Of so many exchanges none was as far apart.
    least = found["test"] == RANDOMISATION and found["p"] <= 1 / (EXCHANGES + 1)
    words = [
        f"{found['metric']} {shown.number(*at, 'fused')} against {rival}: gain "
        f"{_gain(shown, *at, key='gain')}, p {'≤' if least else '='} {shown.number(*at, 'p')} "
        f"({found['test']}) on {shown.number(*at, 'rows')} rows{groups}."
    ]
    if found["untrained"]:
        names = ", ".join(shown.text(*at, "untrained", i) for i in range(len(found["untrained"])))
        words.append(
            f"No model of its own was trained for {names}, which might be a stronger rival."
        )
    if found["answer"] == "pays" and found["high"] < found["least"]:
        words.append(
            f"The gain is proven, and all of its interval lies below the smallest gain worth "
            f"having, {shown.number(*at, 'least')}."
        )
    if found["answer"] == "undecided" and found["rows_needed"] is not None:
        words.append(f"About {shown.number(*at, 'rows_needed')} rows would decide.")
    stronger = found["stronger"]
    if stronger is not None:
        name = SAME if stronger["against"] == "constant" else shown.text(*at, "stronger", "name")
        words.append(
            f"On these rows {name} scores better than that rival, which validation chose: "
            f"{shown.number(*at, 'stronger', 'value')}."
        )
    # Missing figures are None in a page's document.
    value, low = found["constant"]["value"], found["constant"]["gain"]["low"]
    known = value is not None and not math.isnan(value)
    if found["against"] == "single" and known and not (low is not None and low > 0):
        words.append(
            f"The fused model is not shown to be better than {SAME} "
            f"({shown.number(*at, 'constant', 'value')}): gain "
            f"{_gain(shown, *at, 'constant', 'gain')}."
        )
    return " ".join(words)


def _gain(shown: Shown, *at: str, key: str = "value") -> str:
    """A gain and, where it has a width, its interval."""
    span = shown.interval(*at, signed=True)
    return f"{shown.number(*at, key, signed=True)} {span}".rstrip()


def made_of(shown: Shown, *at: str) -> str:
    """What the fused model is made of.

    Args:
        at: where the target's `composition` is in the document.
    """
    members = shown.at(*at)
    sets = [set(member["modalities"]) for member in members.values()]
    parts = [f"{shown.number(*at, name, 'share')} {shown.name(name)}" for name in members]
    words = f"The fused model is the weighted mean of {', '.join(parts)}."
    if len(members) == 1:
        words = f"The fused model is {shown.name(next(iter(members)))} alone."
    if len(set.union(*sets)) == 1:
        return f"{words} It reads one modality, {shown.name(*sets[0])}: nothing is fused."
    if max(map(len, sets)) == 1:
        words += " Each of these reads one modality: only their answers are averaged."
    return words


def text(found: Mapping[str, Any]) -> str:
    """The verdict for a terminal."""
    shown = Plain(found)
    fused, single = (found["cost"][who]["latency_ms"] for who in ("fused", "single"))
    return (
        f"{headline(shown)}: {sentence(shown)} One row takes {fused / single:.1f} times as long "
        f"as with {found['best_single']} alone."
    )
