"""Metrics as functions of row weights, so that thousands of resamples are matrix products.

Every builder takes scores and encoded targets of the same rows and returns name -> Metric. Rows
whose target is missing count nothing, whatever their weight; if all are missing there is no
metric. A metric that the rows do not define (the area under the curve of one class, R2 of a
constant) is left out. All equal scikit-learn's with `sample_weight`; a class that a resample
misses altogether drops out of its macro averages, as if the rows themselves were repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from polymodal.contract.answers import likeliest
from polymodal.contract.metric import Metric
from polymodal.contract.task import Task
from polymodal.metrics import _weighted as weighted
from polymodal.metrics._weighted import Array, mean, nanmean, ratio


def primary(task: Task, scores: Sequence[Array], targets: Sequence[Array]) -> Metric:
    """The metric that models are chosen by; NaN for all weights where the rows do not define it.

    Args:
        scores, targets: of the rows, as `Task.metrics` takes them.
    """
    undefined = Metric(lambda w: np.full(len(w), np.nan))
    return task.metrics(scores, targets).get(task.primary, undefined)


def decisions(predicted: Array, targets: Array, classes: int) -> dict[str, Metric]:
    """accuracy, macro_f1, weighted_f1 and balanced_accuracy (mean recall) of one class a row.

    Args:
        predicted: `(rows,)` class codes; negative where there is no answer, which is wrong.
        targets: `(rows,)` class codes, negative where missing.
        classes: how many there are.
    """
    known = targets >= 0
    if not known.any():
        return {}
    predicted, y = predicted[known].astype(np.intp), targets[known].astype(np.intp)
    right = (predicted == y).astype(float)
    answered = (predicted >= 0).astype(float)
    hits = weighted.class_sums(y, classes, right)
    gold = weighted.class_sums(y, classes)
    guessed = weighted.class_sums(predicted.clip(min=0), classes, answered)

    def f1(w: Array) -> Array:
        return ratio(2 * hits(w), gold(w) + guessed(w))

    return weighted.measured(
        known,
        {
            "accuracy": Metric(mean(right), share=True),
            "macro_f1": Metric(lambda w: nanmean(f1(w))),
            "weighted_f1": Metric(lambda w: ratio(np.nansum(f1(w) * gold(w), 1), w.sum(1))),
            "balanced_accuracy": Metric(lambda w: nanmean(ratio(hits(w), gold(w)))),
        },
    )


def classification(scores: Array, targets: Array) -> dict[str, Metric]:
    """Metrics of one class a row: `decisions` for the likeliest class, and of the probabilities.

    roc_auc and average_precision (of the second of two classes; the mean of one-vs-rest for more),
    log_loss (probabilities kept their type's precision away from 0 and 1), ece (15 bins of equal
    width).

    Args:
        scores: `(rows, classes)` probabilities.
        targets: `(rows,)` class codes, negative where missing.
    """
    predicted, classes = likeliest(scores), scores.shape[1]
    found = decisions(predicted, targets, classes)
    known = targets >= 0
    if not known.any():
        return found
    scores, y = scores[known], targets[known].astype(np.intp)
    right = (predicted[known] == y).astype(float)
    edge = np.finfo(scores.dtype).eps
    own = scores[np.arange(len(y)), y].clip(edge, 1 - edge).astype(float)
    asked = [1] if classes == 2 else range(classes)
    rankings = [weighted.ranking(scores[:, k], y == k) for k in asked]
    return found | weighted.measured(
        known,
        {
            "roc_auc": Metric(weighted.macro([weighted.roc_auc(r) for r in rankings])),
            "average_precision": Metric(
                weighted.macro([weighted.average_precision(r) for r in rankings])
            ),
            "log_loss": Metric(mean(-np.log(own)), greater_is_better=False),
            "ece": Metric(weighted.ece(scores.max(1), right), greater_is_better=False),
        },
    )


def regression(values: Array, targets: Array) -> dict[str, Metric]:
    """rmse, mae and r2 of predicted values `(rows,)`; targets `(rows,)` are NaN where missing."""
    known = ~np.isnan(targets)
    if not known.any():
        return {}
    y = targets[known].astype(float)
    error = values[known] - y
    # Centred first, or the variance of large values would drown in rounding.
    y = y - y.mean()
    squared = mean(error**2)

    def r2(w: Array) -> Array:
        return 1 - ratio(squared(w), mean(y**2)(w) - mean(y)(w) ** 2)

    return weighted.measured(
        known,
        {
            "rmse": Metric(lambda w: np.sqrt(squared(w)), greater_is_better=False),
            "mae": Metric(mean(np.abs(error)), greater_is_better=False),
            "r2": Metric(r2),
        },
    )


def multilabel(scores: Array, targets: Array, absent: float = 0.0) -> dict[str, Metric]:
    """micro_f1, macro_f1 (of all labels), roc_auc, subset_accuracy.

    A label is predicted at a probability of one half or more; roc_auc is the mean over the labels
    that have one. Figures per label are in `classification_report`.

    Args:
        scores: `(rows, labels)` probabilities.
        targets: `(rows, labels)` 0 or 1, negative in rows where missing.
        absent: F1 of a label that is neither in targets nor predicted; NaN leaves it out.
    """
    known = np.asarray((targets >= 0).all(1))
    if not known.any():
        return {}
    scores, y = scores[known], targets[known] > 0.5
    predicted = scores >= 0.5
    hits = (predicted & y).astype(float)
    total = predicted.astype(float) + y
    exact = (predicted == y).all(1).astype(float)
    rankings = [weighted.ranking(s, t) for s, t in zip(scores.T, y.T, strict=True)]

    def f1(w: Array) -> Array:
        return np.nan_to_num(ratio(2 * (w @ hits), w @ total), nan=absent)

    return weighted.measured(
        known,
        {
            "micro_f1": Metric(lambda w: ratio(2 * (w @ hits.sum(1)), w @ total.sum(1))),
            "macro_f1": Metric(lambda w: nanmean(f1(w))),
            "roc_auc": Metric(weighted.macro([weighted.roc_auc(r) for r in rankings])),
            "subset_accuracy": Metric(mean(exact), share=True),
        },
    )


def tagging(
    predicted: Sequence[Array], targets: Sequence[Array], classes: Sequence[str]
) -> dict[str, Metric]:
    """Metrics of one tag a word; a resampled row is a whole text.

    token_accuracy; token_f1 (the mean over tags, like `macro_f1`) and, if there is an O tag,
    token_f1_without_o (the mean over the other tags); for IOB2 tags entity_f1, entity_precision
    and entity_recall of strict spans: an entity counts if its type, start and end are all right.

    Args:
        predicted: each row's `(words,)` tag codes. Words that it is too short for count as wrong.
        targets: each row's `(words,)` tag codes; negative where missing, empty for a missing row.
        classes: the tags.
    """
    known = np.array([bool((target >= 0).any()) for target in targets])
    if not known.any():
        return {}
    pairs = [pair for pair in zip(predicted, targets, strict=True) if (pair[1] >= 0).any()]
    gold = [np.where(target >= 0, target, -1) for _, target in pairs]
    guesses = [_aligned(guess, target) for guess, target in pairs]
    tags = _tag_counts(guesses, gold, len(classes))
    hits, total = tags[:, 0], tags[:, 1] + tags[:, 2]
    others = [i for i, name in enumerate(classes) if name != "O"]

    def f1(w: Array) -> Array:
        return ratio(2 * (w @ hits), w @ total)

    found = {
        "token_accuracy": Metric(lambda w: ratio(w @ hits.sum(1), w @ tags[:, 2].sum(1))),
        "token_f1": Metric(lambda w: nanmean(f1(w))),
    }
    if len(others) < len(classes):
        found["token_f1_without_o"] = Metric(lambda w: nanmean(f1(w)[:, others]))
    if is_iob2(classes):
        found |= _entity_metrics(guesses, gold, classes)
    return weighted.measured(known, found)


def is_iob2(tags: Sequence[str]) -> bool:
    """Whether tags mark entities: at least one begins (B-) or continues (I-) one."""
    return any(tag.startswith(("B-", "I-")) for tag in tags)


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Strict IOB2 entities as (type, first word, last word + 1).

    An entity starts at B-X and goes on through I-X of its own type; any other I-X is in none.
    """
    found = set()
    start = None
    for i, tag in enumerate([*tags, "O"]):
        if start is not None and tag != "I-" + tags[start][2:]:
            found.add((tags[start][2:], start, i))
            start = None
        if tag.startswith("B-"):
            start = i
    return found


def classification_report(targets: Array, scores: Array, classes: Sequence[str]) -> dict[str, Any]:
    """Precision, recall, F1 and support per class and averaged, as scikit-learn's report.

    Args:
        targets: `(rows,)` class codes, or `(rows, labels)` 0 or 1; negative where missing.
        scores: `(rows, classes)` probabilities.
        classes: their names.

    Returns:
        {"classes": {name: figures}, "micro": figures, "macro": figures, "weighted": figures}, with
        figures = {"precision", "recall", "f1", "support"}. Of single-label classes, those that
        occur in neither targets nor predictions are left out; micro is then the accuracy.
    """
    if targets.ndim == 1:
        known = targets >= 0
        kinds = np.arange(len(classes))
        true = targets[known, None] == kinds
        guessed = likeliest(scores[known])[:, None] == kinds
        shown = (true | guessed).any(0)
    else:
        known = np.asarray((targets >= 0).all(1))
        true, guessed = targets[known] > 0.5, scores[known] >= 0.5
        shown = np.ones(len(classes), bool)
    counts = np.stack([(true & guessed).sum(0), guessed.sum(0), true.sum(0)], 1)[shown]
    per_class = [_figures(*count) for count in counts]
    names = [name for name, show in zip(classes, shown, strict=True) if show]
    support = counts[:, 2]
    return {
        "classes": dict(zip(names, per_class, strict=True)),
        "micro": _figures(*counts.sum(0)),
        "macro": _averaged(per_class, np.ones(len(per_class)), support),
        "weighted": _averaged(per_class, support, support),
    }


def report_text(report: dict[str, Any]) -> str:
    """A `classification_report` as an aligned table of plain text."""
    lines = {**report["classes"], **{f"({k})": report[k] for k in ("micro", "macro", "weighted")}}
    width = max(len(name) for name in lines)
    rows = [f"{'':<{width}}  precision  recall      f1  support"]
    for name, line in lines.items():
        figures = f"{line['precision']:9.4f}  {line['recall']:6.4f}  {line['f1']:6.4f}"
        rows.append(f"{name:<{width}}  {figures}  {line['support']:7d}")
    return "\n".join(rows)


def _aligned(predicted: Array, target: Array) -> Array:
    """Predicted codes for exactly the target's words: -1 where none was made or none is asked."""
    out = np.full(len(target), -1)
    out[: len(predicted)] = predicted[: len(target)]
    return np.where(target >= 0, out, -1)


def _tag_counts(guesses: Sequence[Array], gold: Sequence[Array], classes: int) -> Array:
    """`(rows, 3, classes)`: right, predicted and true words of each tag."""
    counts = np.zeros((len(gold), 3, classes))
    for row, (guess, true) in enumerate(zip(guesses, gold, strict=True)):
        for kind, codes in enumerate((true[guess == true], guess, true)):
            counts[row, kind] = np.bincount(codes[codes >= 0], minlength=classes)
    return counts


def _entity_metrics(
    guesses: Sequence[Array], gold: Sequence[Array], classes: Sequence[str]
) -> dict[str, Metric]:
    names = [*classes, "O"]  # the code -1, unknown, is in no entity
    sides = [[entities([names[i] for i in codes]) for codes in side] for side in (guesses, gold)]
    counts = [[len(p & t), len(p), len(t)] for p, t in zip(*sides, strict=True)]
    hits, guessed, true = np.array(counts, dtype=float).T
    return {
        "entity_f1": Metric(lambda w: ratio(2 * (w @ hits), w @ (guessed + true))),
        # 0, as F1 is, for a model that finds no entity at all.
        "entity_precision": Metric(lambda w: np.nan_to_num(ratio(w @ hits, w @ guessed))),
        "entity_recall": Metric(lambda w: ratio(w @ hits, w @ true)),
    }


def _figures(hits: float, guessed: float, true: float) -> dict[str, float]:
    """Precision, recall and F1 from counts; 0 where there is nothing to divide by."""
    return {
        "precision": float(hits / guessed) if guessed else 0.0,
        "recall": float(hits / true) if true else 0.0,
        "f1": float(2 * hits / (guessed + true)) if guessed + true else 0.0,
        "support": int(true),
    }


def _averaged(per_class: list[dict[str, float]], weights: Array, support: Array) -> dict[str, Any]:
    names = ("precision", "recall", "f1")
    total = weights.sum() or 1.0
    means = {k: float(sum(weights * [c[k] for c in per_class]) / total) for k in names}
    return {**means, "support": int(support.sum())}
