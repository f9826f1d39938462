"""The verdict on a run: its fused model against the best rival, in figures."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import torch

from polymodal.base.devices import device_of, wait
from polymodal.contract.answers import CONSTANT
from polymodal.contract.metric import Metric
from polymodal.contract.task import Answers, Task
from polymodal.metrics import doubts
from polymodal.metrics._weighted import Array
from polymodal.metrics.doubts import Doubt
from polymodal.metrics.metrics import primary
from polymodal.metrics.statistics import (
    EXCHANGES,
    RANDOMISATION,
    Clusters,
    approximate_randomisation,
    interval,
    mcnemar,
    paired_difference,
)
from polymodal.metrics.verdict import Test, verdict_of_metric
from polymodal.prepared.collate import Collator
from polymodal.prepared.prepare import Prepared
from polymodal.run.run import Run
from polymodal.table.schema import FUSED

Against = Literal["single", "constant"]

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


def doubted(run: Run, task: Task, rivals: Collection[str]) -> list[Doubt]:
    """What speaks against a verdict on one target: models that time has cut, or never were.

    Args:
        rivals: the modalities that have a model of their own.
    """
    # Words can be tagged only where they are read.
    able = list(run.schema.modalities()) if task.words is None else [task.words]
    if not run.attempts:
        return [Doubt("rival", "none", name) for name in able if name not in rivals]
    return doubts.doubts(doubts.read(run.attempts), able, run.weights[FUSED][task.name])


def evenly(run: Run, target: str) -> dict[str, float] | None:
    """Shares of a fused model with no more tries than its rivals; None where it had no more."""
    lines = [one for one in run.leaderboard if one["target"] == target and one["role"] == "fused"]
    shares = lines[0].get("evenly") if lines else None
    return None if shares == run.weights[FUSED][target] else shares


def unfused(run: Run, target: str) -> dict[str, Any] | None:
    """Why the fused model reads one modality; None where it reads several.

    Returns:
        "reads": that modality; "value": what the fused model validated at; "joint": the best model
        of several modalities, and "joint_value", what it validated at, or None; "skipped": why
        there is none.
    """
    read = {name for n in run.weights[FUSED][target] for name in run.members[n].spec.modalities}
    if len(read) > 1:
        return None
    lines = [one for one in run.leaderboard if one["target"] == target]
    value = next((one["value"] for one in lines if one["role"] == "fused"), None)
    joint = {one["name"]: one for one in run.attempts if len(one["modalities"]) > 1}
    # The leaderboard has each role's best first.
    best = next((one for one in lines if one["role"] == "member" and one["name"] in joint), None)
    return {
        "reads": next(iter(read)),
        "value": value,
        "joint": None if best is None else best["name"],
        "joint_value": None if best is None else best["value"],
        "skipped": next((one["skipped"] for one in joint.values() if one["skipped"]), ""),
    }


def missing(run: Run, unlabelled: bool = False) -> dict[str, Any]:
    """Why there is no verdict.

    Args:
        unlabelled: whether the task has no labels.

    Returns:
        "why": "unlabelled", "one modality", "no rivals" (none was planned), "skipped" or "not
        validated";
        "models": name and reason of those that were skipped.
    """
    alone = [one for one in run.attempts if len(one["modalities"]) == 1]
    lost = [[one["name"], one["skipped"]] for one in alone if one["skipped"]]
    why = "not validated"
    if unlabelled:
        why = "unlabelled"
    elif len(run.schema.modalities()) == 1:
        why = "one modality"
    elif not alone:
        why = "no rivals"
    elif len(lost) == len(alone):
        why = "skipped"
    return {"why": why, "models": lost}


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
    task: Task,
    first: Answers,
    second: Answers,
    targets: Answers,
    clusters: Clusters | None,
    exchanges: int = EXCHANGES,
) -> Test:
    """Whether two models' primary metric differs on the same rows, whose target is known.

    McNemar's mid-p for the share that is right of independent rows, approximate randomisation for
    all else.
    """
    if clusters is None and task.exact:
        right = [task.judged(one, targets).right for one in (first, second)]
        wins, losses = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
        return Test("McNemar's mid-p", mcnemar(wins, losses).mid_p)
    both = primary(task, [*first, *second], [*targets, *targets])
    p = approximate_randomisation(both, len(targets), clusters, exchanges)
    return Test(RANDOMISATION, p)


def verdict(
    task: Task,
    fused: Answers,
    singles: Mapping[str, Answers],
    best: str,
    against: Against,
    targets: Answers,
    clusters: Clusters | None,
    *,
    doubted: Sequence[Doubt] = (),
    evenly: Answers | None = None,
    unfused: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Whether the fused model's gain pays, on rows whose target is known.

    Args:
        fused: scores of the rows.
        singles: modality -> its own model's scores of the same rows.
        best: the modality that validated best.
        against: what the fused model is compared with: that modality, or the constant.
        targets: encoded.
        doubted: what speaks against an answer, whatever the rows say.
        evenly: scores of a fused model with no more tries than its rivals had, if it had more.
        unfused: `unfused`: why there is nothing to judge.

    Returns:
        The fields of `Verdict`, with "p", and test's name under "test"; "by_rows": the answer that
        the rows alone would give; "doubts" that leave it undecided; "evenly": the gain of a fused
        model with no more tries than its rivals had, or None; "unfused", with which the answer is
        "nothing fused"; "metric"; "groups" that the rows are in (None: independent); "fused" and
        "single": the values of the fused model and of the best single modality's; "best_single"
        and "against"; "constant": "value", "low", "high" of always the same answer, and "gain",
        the fused model's over it, with its own interval; "stronger": what scores better on these
        rows than the rival that validation chose ("against", "name", "value"), or None.
    """
    constant = task.constant(fused)
    rival = singles[best] if against == "single" else constant
    both = primary(task, [*fused, *rival], [*targets, *targets])
    test = paired_test(task, fused, rival, targets, clusters)
    found = verdict_of_metric(both, len(targets), clusters=clusters, test=test)
    reasons, even = list(doubted), None
    if found.answer == "pays" and evenly is not None:
        both = primary(task, [*evenly, *rival], [*targets, *targets])
        test = paired_test(task, evenly, rival, targets, clusters)
        other = verdict_of_metric(both, len(targets), clusters=clusters, test=test)
        even = {"value": other.gain, "low": other.low, "high": other.high}
        if other.answer != "pays":
            reasons.append(Doubt("rival", "tries", best))
    described = asdict(found)
    described |= {
        "by_rows": found.answer,
        "answer": "nothing fused" if unfused else doubts.tempered(found.answer, reasons),
        # It is not rows that are lacking.
        "rows_needed": None if reasons or unfused else found.rows_needed,
        "doubts": [] if unfused else [asdict(doubt) for doubt in reasons],
        "evenly": even,
        "unfused": unfused,
    }
    described["test"], described["p"] = found.test.name, found.test.p
    metrics = {name: primary(task, scores, targets) for name, scores in singles.items()}
    own = primary(task, fused, targets)
    values = {name: _value(metric, len(targets)) for name, metric in metrics.items()}
    beside = _constant(task, own, constant, targets, clusters)
    return {
        "metric": task.primary,
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
    task: Task,
    own: Metric,
    constant: Answers,
    targets: Answers,
    clusters: Clusters | None,
) -> dict[str, Any]:
    """The constant's value with its interval, and the fused model's gain over it.

    Args:
        own: the fused model's metric.
    """
    metric, rows = primary(task, constant, targets), len(targets)
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
                place = device_of(member.module)
                member.module(collator(rows).to(place).inputs)
                wait(place)
        return time.perf_counter() - start

    seconds(rows)
    batch = min(seconds(rows) for _ in range(3))
    single = float(np.median([seconds(rows[i % len(rows)][None]) for i in range(ALONE)]))
    return {
        "parameters": sum(member.facts["parameters"] for member in members),
        "rows_per_second": len(rows) / batch,
        "latency_ms": 1e3 * single,
    }
