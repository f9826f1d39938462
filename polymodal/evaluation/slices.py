"""Where a fused model errs: rows on which it and the unimodal rivals answer differently.

| slice | rows |
|---|---|
| disagree | the rivals' answers differ from each other |
| harm | fused wrong where a rival is right ("fusion harm") |
| help | fused right where the best single modality is wrong |
| worst | those of the fused model's highest losses |

A label, a set of labels and the tags of a text are right if all of it is. A number is right if it
lies within TOLERANCE standard deviations of the true one, and rivals differ if theirs lie further
apart than that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from polymodal.contract.metric import Metric
from polymodal.contract.task import Task
from polymodal.metrics._weighted import Array, mean
from polymodal.metrics.statistics import Clusters, intervals
from polymodal.table.schema import FUSED

Scores = Sequence[Array]

# Of each slice, and all of the worst.
EXAMPLES = 24
# Of the true values' standard deviation on the same rows.
TOLERANCE = 0.5


@dataclass(frozen=True)
class Judged:
    """One model's answers to rows whose target is known.

    Attributes:
        answers: `(rows,)` or `(rows, labels)`, equal where the same was answered.
        right: `(rows,)` bool.
        loss: `(rows,)` log loss; squared error of a number.
        tolerance: up to this apart two numbers are the same answer; None unless they are numbers.
    """

    answers: Array
    right: Array
    loss: Array
    tolerance: float | None = None


def judged(task: Task, scores: Scores, targets: Scores) -> Judged:
    """Scores and encoded targets of the same rows, all known, to what became of each row."""
    judge = {"category": _category, "set": _set, "number": _number, "tags": _tags}
    return judge[task.kind](task, scores, targets)


def slices(
    models: Mapping[str, Judged],
    best: str | None,
    clusters: Clusters | None = None,
) -> dict[str, dict[str, Any]]:
    """The slices of one target.

    Args:
        models: "fused" and each modality's own model, on the same rows.
        best: the single modality that was best on validation rows; None if there is only one.
        clusters: of the rows, for the intervals.

    Returns:
        Slice -> "rows" (how many), "scores" (model -> accuracy or RMSE within the slice, with its
        95 % interval; nothing for a slice without rows) and "examples" (positions of EXAMPLES rows
        at most, the most telling first).
    """
    fused = models[FUSED]
    rivals = [model for name, model in models.items() if name != FUSED]
    found = {}
    if best is not None:
        rescued = fused.right & ~models[best].right
        harmed = ~fused.right & np.any([rival.right for rival in rivals], axis=0)
        found["disagree"] = (_differ(rivals), fused.loss)
        found["harm"] = (harmed, fused.loss)
        found["help"] = (rescued, models[best].loss)
    worst = np.zeros(len(fused.loss), bool)
    worst[np.argsort(-fused.loss, kind="stable")[:EXAMPLES]] = True
    found["worst"] = (worst, fused.loss)
    described = {}
    for name, (chosen, telling) in found.items():
        rows = np.flatnonzero(chosen)
        order = np.argsort(-telling[rows], kind="stable")[:EXAMPLES]
        described[name] = {
            "rows": len(rows),
            "scores": _scores(models, rows, clusters),
            "examples": rows[order].tolist(),
        }
    return described


def describe(
    task: Task,
    scores: Mapping[str, Scores],
    targets: Scores,
    rows: Array,
    best: str | None,
    clusters: Clusters | None = None,
) -> dict[str, Any]:
    """`slices` of a target from its models' scores, the examples with what was answered.

    Args:
        scores: "fused" and each modality's own model -> scores of the same rows.
        targets: encoded, all known.
        rows: `(rows,)` their numbers in the table.
        best, clusters: as for `slices`.
    """
    models = {name: judged(task, own, targets) for name, own in scores.items()}
    tolerance = models[FUSED].tolerance
    found = slices(models, best, clusters)

    def answer(given: Array) -> Any:
        return task.decode([given])[task.column][0]

    for one in found.values():
        one["examples"] = [
            {
                "row": int(rows[i]),
                "true": _truth(task, targets[i]),
                "answers": {name: answer(own[i]) for name, own in scores.items()},
                "right": [name for name, model in models.items() if model.right[i]],
                "loss": float(models[FUSED].loss[i]),
            }
            for i in one["examples"]
        ]
    return {
        "metric": "accuracy" if tolerance is None else "rmse",
        "tolerance": tolerance,
        "best_single": best,
        "slices": found,
    }


def _scores(
    models: Mapping[str, Judged], rows: Array, clusters: Clusters | None
) -> dict[str, dict[str, float]]:
    if not len(rows):
        return {}
    metrics = {
        name: Metric(mean(model.right[rows].astype(float)))
        if model.tolerance is None
        else _rmse(model.loss[rows])
        for name, model in models.items()
    }
    own = None if clusters is None else np.asarray(clusters)[rows]
    return {name: asdict(span) for name, span in intervals(metrics, len(rows), own).items()}


def _rmse(squares: Array) -> Metric:
    return Metric(lambda w: np.sqrt(mean(squares)(w)), greater_is_better=False)


def _differ(models: Sequence[Judged]) -> Array:
    """`(rows,)` whether any two of the models' answers are apart."""
    first = models[0]
    if first.tolerance is not None:
        return np.asarray(np.ptp([model.answers for model in models], axis=0) > first.tolerance)
    apart = np.any([model.answers != first.answers for model in models], axis=0)
    return np.asarray(apart.reshape(len(first.loss), -1).any(1))


def _category(task: Task, scores: Scores, targets: Scores) -> Judged:
    p, y = np.stack(list(scores)), np.stack(list(targets))
    answers = p.argmax(1)
    return Judged(answers, answers == y, _surprise(p[np.arange(len(y)), y]))


def _set(task: Task, scores: Scores, targets: Scores) -> Judged:
    p, y = np.stack(list(scores)), np.stack(list(targets)) > 0.5
    answers = p >= 0.5
    return Judged(answers, (answers == y).all(1), _surprise(np.where(y, p, 1 - p)).mean(1))


def _number(task: Task, scores: Scores, targets: Scores) -> Judged:
    answers, y = np.stack(list(scores))[:, 0].astype(float), in_unit(task, targets)
    error, tolerance = answers - y, TOLERANCE * float(y.std())
    return Judged(answers, np.abs(error) <= tolerance, error**2, tolerance)


def _tags(task: Task, scores: Scores, targets: Scores) -> Judged:
    classes = task.state["classes"]
    answers = np.array(task.decode(scores)[task.column], object)
    right, loss = np.zeros(len(targets), bool), np.zeros(len(targets))
    for i, (answer, p, y) in enumerate(zip(answers, scores, targets, strict=True)):
        known = np.flatnonzero(y >= 0)
        tags = json.loads(answer)
        right[i] = all(k < len(tags) and tags[k] == classes[y[k]] for k in known)
        # Words beyond the scores were never seen.
        seen = known[known < len(p)]
        own = np.zeros(len(known), p.dtype)
        own[: len(seen)] = p[seen, y[seen]]
        loss[i] = _surprise(own).mean()
    return Judged(answers, right, loss)


def _surprise(own: Array) -> Array:
    """Log loss of the true answers' probabilities, finite where one is 0."""
    return np.asarray(-np.log(own.clip(np.finfo(own.dtype).eps)), float)


def in_unit(task: Task, targets: Scores) -> Array:
    """Encoded numbers `(rows,)` in their own unit."""
    own = np.stack(list(targets)).astype(float)
    return np.asarray(own * task.state["scale"] + task.state["mean"])


def _truth(task: Task, target: Array) -> Any:
    """An encoded target as `Task.decode` would write it."""
    if task.kind == "tags":
        names = [task.state["classes"][code] if code >= 0 else None for code in target]
        return json.dumps(names, ensure_ascii=False)
    if task.kind == "number":
        return float(in_unit(task, [target])[0])
    sure = target if task.kind == "set" else np.arange(task.size) == target
    return task.decode([np.asarray(sure, float)])[task.column][0]
