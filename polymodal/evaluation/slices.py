"""Where a fused model errs: rows on which it and the unimodal rivals answer differently.

| slice | rows |
|---|---|
| disagree | the rivals' answers differ from each other |
| harm | fused wrong where a rival is right ("fusion harm") |
| help | fused right where the best single modality is wrong |
| worst | those of the fused model's highest losses |

What is right, and how far apart answers of numbers may lie and be the same, the task says
(`Task.judged`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from polymodal.contract.coded import said
from polymodal.contract.metric import Metric
from polymodal.contract.task import Answers, Judged, Task
from polymodal.metrics._weighted import Array, mean
from polymodal.metrics.statistics import Clusters, intervals
from polymodal.table.schema import FUSED

# Of each slice, and all of the worst.
EXAMPLES = 24


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
        Slice, where it is not empty by definition -> "rows" (how many), "scores" (model -> accuracy
        or RMSE within the slice, with its 95 % interval; nothing for a slice without rows) and
        "examples" (positions of EXAMPLES rows at most, the most telling first).
    """
    fused = models[FUSED]
    rivals = [model for name, model in models.items() if name != FUSED]
    found = {}
    if best is not None:
        rescued = fused.right & ~models[best].right
        harmed = ~fused.right & np.any([rival.right for rival in rivals], axis=0)
        # What is empty by definition says nothing: one rival cannot disagree, and a fused model
        # that answers as a rival does neither harms nor helps where that one is the only rival.
        if len(rivals) > 1:
            found["disagree"] = (_differ(rivals), fused.loss)
        if any(_differ([fused, rival]).any() for rival in rivals):
            found["harm"] = (harmed, fused.loss)
        if _differ([fused, models[best]]).any():
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
    scores: Mapping[str, Answers],
    targets: Answers,
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
    models = {name: task.judged(own, targets) for name, own in scores.items()}
    tolerance = models[FUSED].tolerance
    found = slices(models, best, clusters)

    def answer(given: Array) -> Any:
        return said(task, given)

    for one in found.values():
        one["examples"] = [
            {
                "row": int(rows[i]),
                "true": task.truth(targets[i]),
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
        name: Metric(mean(model.right[rows].astype(float)), share=True)
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
