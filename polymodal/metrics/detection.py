"""Boxes against boxes: how much they overlap, which belong together, and average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polymodal.contract.metric import Metric
from polymodal.metrics._weighted import Array, nanmean, ratio

# COCO's: from which overlap on a box counts as found, at which recalls precision is taken, and how
# many boxes of a picture and class count at most.
OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST = 100
# Weights of resamples that are held at once beside an object each.
_HELD = 2**18


def areas(boxes: Array) -> Array:
    """Areas of boxes `(..., 4)` from left, top, right, bottom."""
    return np.asarray((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))


def overlaps(boxes: Array, others: Array) -> Array:
    """Intersection over union `(n, m)` of boxes `(n, 4)` and `(m, 4)`: left, top, right, bottom;
    0 where both are without an area."""
    one, other = boxes[:, None], others[None]
    inner = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    common = inner.clip(min=0).prod(-1)
    return np.nan_to_num(ratio(common, areas(one) + areas(other) - common))


@dataclass(frozen=True)
class Boxes:
    """The boxes of one picture.

    Attributes:
        places: `(n, 4)`: left, top, right, bottom, in any unit.
        classes: `(n,)` codes.
        scores: `(n,)` of predicted ones, the surer the higher; empty of true ones.
    """

    places: Array
    classes: Array
    scores: Array


def found(predicted: Boxes, true: Boxes, within: Array = OVERLAPS) -> Array:
    """Which true box each predicted one finds, by COCO's rule: `(thresholds, n)`, -1 for none.

    In the order of their scores predicted boxes take, of the true ones of their class that none
    has taken, the one that they overlap most, if that is as much as asked.

    Args:
        within: overlaps that are asked for.
    """
    taken = np.full((len(within), len(true.places)), False)
    mine = np.full((len(within), len(predicted.places)), -1)
    shared = overlaps(predicted.places, true.places)
    shared[predicted.classes[:, None] != true.classes[None]] = -1.0
    asked = np.minimum(within, 1 - 1e-10)
    for i in _counted(predicted):
        if not len(true.places):
            break
        free = np.where(taken, -1.0, shared[i])
        # Of equal overlaps COCO takes the last.
        best = free.shape[1] - 1 - free[:, ::-1].argmax(1)
        fits = np.flatnonzero(free[np.arange(len(within)), best] >= asked)
        mine[fits, i] = best[fits]
        taken[fits, best[fits]] = True
    return mine


def _counted(predicted: Boxes) -> Array:
    """Which of a picture's boxes count, the surest first: MOST of each class."""
    order = np.argsort(-predicted.scores, kind="stable")
    codes = predicted.classes[order]
    rank = np.zeros(len(order), int)
    for code in np.unique(codes):
        own = codes == code
        rank[own] = np.arange(own.sum())
    return order[rank < MOST]


def detection(predicted: Sequence[Boxes], true: Sequence[Boxes]) -> dict[str, Metric]:
    """Mean average precision as COCO has it: over overlaps of .5 to .95, and at .5 and at .75.

    Precision is taken at 101 recalls, each the best at that recall or beyond, and averaged over
    recalls, classes that are somewhere true, and overlaps; of a class 100 boxes of a picture count.
    A resample counts a picture's boxes as often as the picture.

    Args:
        predicted, true: one a row.

    Returns:
        `map`, `map_50`, `map_75`; nothing where there is no true box.
    """
    if not sum(len(one.places) for one in true):
        return {}
    curves = _curves(predicted, true)

    def over(thresholds: Sequence[int]) -> Metric:
        def statistic(w: Array) -> Array:
            each = [_precision(w, own, thresholds) for own in curves]
            return nanmean(np.stack(each, 1))

        return Metric(statistic)

    every = range(len(OVERLAPS))
    return {"map": over(every), "map_50": over([0]), "map_75": over([5])}


@dataclass(frozen=True)
class _Class:
    """One class's boxes of all rows, surest first.

    Attributes:
        true: `(rows,)` how many there are.
        rows: `(n,)` the row of each predicted one.
        right: `(thresholds, n)` whether it finds one.
    """

    true: Array
    rows: Array
    right: Array


def _curves(predicted: Sequence[Boxes], true: Sequence[Boxes]) -> list[_Class]:
    matched = [found(mine, gold) >= 0 for mine, gold in zip(predicted, true, strict=True)]
    kept = [_counted(mine) for mine in predicted]
    rows = np.repeat(np.arange(len(kept)), [len(own) for own in kept])
    scores, classes = (
        np.concatenate([values[own] for values, own in zip(each, kept, strict=True)])
        for each in ([one.scores for one in predicted], [one.classes for one in predicted])
    )
    right = np.concatenate([one[:, own] for one, own in zip(matched, kept, strict=True)], 1)
    order = np.argsort(-scores, kind="stable")
    gold = np.concatenate([one.classes for one in true])
    of = np.repeat(np.arange(len(true)), [len(one.classes) for one in true])
    curves = []
    for code in np.unique(gold):
        own = order[classes[order] == code]
        counts = np.bincount(of[gold == code], minlength=len(true)).astype(float)
        curves.append(_Class(counts, rows[own], right[:, own]))
    return curves


def _precision(w: Array, own: _Class, thresholds: Sequence[int]) -> Array:
    """A class's average precision over some thresholds `(resamples,)`; NaN without a true box."""
    step = max(1, _HELD // max(1, len(own.rows)))
    parts = [
        np.mean([_at(part, own, t) for t in thresholds], 0)
        for part in (w[start : start + step] for start in range(0, len(w), step))
    ]
    return np.concatenate(parts)


def _at(w: Array, own: _Class, threshold: int) -> Array:
    """The same at one threshold.

    Precision is highest where a box is right, so those places alone are looked at: between two of
    them boxes that are wrong count together.
    """
    from scipy.sparse import csr_array

    right = own.right[threshold]
    total = w @ own.true
    places = np.flatnonzero(right)
    if not len(places):
        return np.where(total > 0, 0.0, np.nan)
    # Of each box, how many right ones stand before it: those that are wrong after the last are
    # beyond all places.
    turn = np.cumsum(right) - right
    wrong = np.flatnonzero(~right & (turn < len(places)))
    shape = (w.shape[1], len(places))
    entries = (np.ones(len(wrong)), (own.rows[wrong], turn[wrong]))
    missed = np.asarray(w @ csr_array(entries, shape=shape)).cumsum(1)
    hits = np.take(w, own.rows[places], axis=1).cumsum(1)
    precision = np.nan_to_num(ratio(hits, hits + missed))
    recall = np.nan_to_num(ratio(hits, np.broadcast_to(total[:, None], hits.shape)))
    # The best at a recall or beyond; recall grows from place to place.
    best = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    lines = np.arange(len(w))[:, None]
    reached = np.searchsorted(RECALLS, recall.ravel(), side="right").reshape(recall.shape)
    bins = len(RECALLS) + 1
    counts = np.bincount((lines * bins + reached).ravel(), minlength=len(w) * bins)
    first = counts.reshape(len(w), bins).cumsum(1)[:, :-1]
    ended = np.pad(best, ((0, 0), (0, 1)))
    return np.where(total > 0, ended[lines, first].mean(1), np.nan)
