"""Boxes against boxes: closed forms, COCO's own figures, and resamples."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.metrics.detection import OVERLAPS, Boxes, detection, found, overlaps

CLASSES = 3


def boxes(places: Any, classes: Any = None, scores: Any = ()) -> Boxes:
    places = np.array(places, float).reshape(-1, 4)
    codes = np.zeros(len(places), int) if classes is None else np.array(classes, int)
    return Boxes(places, codes, np.array(scores, float))


def pictures(rows: int, seed: int) -> tuple[list[Boxes], list[Boxes]]:
    """True boxes of some pictures, and what a fair detector tells of them."""
    rng = np.random.default_rng(seed)
    told, true = [], []
    for _ in range(rows):
        count = rng.integers(0, 6)
        gold = _some(count, rng)
        codes = rng.integers(0, CLASSES, count)
        seen = rng.random(count) < 0.8
        near = gold[seen] + rng.normal(0, 1.5, (seen.sum(), 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        named = np.where(rng.random(seen.sum()) < 0.9, codes[seen], 0)
        more = rng.integers(0, 4)
        places = np.concatenate([near, _some(more, rng)])
        classes = np.concatenate([named, rng.integers(0, CLASSES, more)])
        told.append(boxes(places, classes, rng.permutation(len(places) * 7)[: len(places)] / 99))
        true.append(boxes(gold, codes))
    return told, true


def _some(count: int, rng: np.random.Generator) -> np.ndarray:
    low = rng.uniform(0, 80, (count, 2))
    return np.concatenate([low, low + rng.uniform(5, 20, (count, 2))], 1)


def figures(told: Sequence[Boxes], true: Sequence[Boxes]) -> dict[str, float]:
    ones = np.ones((1, len(true)))
    return {name: float(m.statistic(ones)[0]) for name, m in detection(told, true).items()}


def test_the_known_answer() -> None:
    one, other = boxes([0, 0, 1, 1]).places, boxes([2, 0, 3, 1]).places
    assert overlaps(one, other)[0, 0] == 0
    halves = boxes([0, 0, 2, 1]).places
    assert overlaps(one, halves)[0, 0] == pytest.approx(0.5)
    point = boxes([1, 1, 1, 1]).places
    assert overlaps(point, point)[0, 0] == 0


@given(st.lists(st.integers(0, 20), min_size=8, max_size=8), st.floats(0.1, 9), st.floats(-9, 9))
def test_overlaps_stay_wherever_and_however_large_the_picture_is(
    numbers: list[int], scale: float, move: float
) -> None:
    corners = np.array(numbers, float).reshape(2, 2, 2)
    one, other = (np.concatenate([c.min(0), c.max(0) + 1])[None] for c in corners)
    moved = [places * np.array([scale, 1, scale, 1]) + move for places in (one, other)]
    assert overlaps(*moved)[0, 0] == pytest.approx(overlaps(one, other)[0, 0], abs=1e-6)
    assert overlaps(one, other) == pytest.approx(overlaps(other, one).T)
    assert overlaps(one, one)[0, 0] == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_that_of_coco(seed: int) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    scoring = pytest.importorskip("pycocotools.cocoeval")
    told, true = pictures(40, seed)
    if seed == 2:  # more boxes of a class than count, and before what is right
        many = _some(120, np.random.default_rng(9))
        one = told[0]
        told[0] = Boxes(
            np.concatenate([one.places, many]),
            np.append(one.classes, np.zeros(120, int)),
            np.append(one.scores, 2 + np.arange(120) / 1000),
        )
    gold = coco.COCO()
    annotations = [
        {
            "image_id": i,
            "category_id": int(code),
            "bbox": [*place[:2], *(place[2:] - place[:2])],
            "area": float(np.prod(place[2:] - place[:2])),
            "iscrowd": 0,
        }
        for i, one in enumerate(true)
        for place, code in zip(one.places, one.classes, strict=True)
    ]
    gold.dataset = {
        "images": [{"id": i} for i in range(len(true))],
        "annotations": [{**one, "id": i} for i, one in enumerate(annotations, 1)],
        "categories": [{"id": code, "name": str(code)} for code in range(CLASSES)],
    }
    results = [
        {
            "image_id": i,
            "category_id": int(code),
            "bbox": [*place[:2], *(place[2:] - place[:2])],
            "score": float(score),
        }
        for i, one in enumerate(told)
        for place, code, score in zip(one.places, one.classes, one.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        gold.createIndex()
        theirs = scoring.COCOeval(gold, gold.loadRes(results), "bbox")
        theirs.evaluate()
        theirs.accumulate()
        theirs.summarize()
    assert list(figures(told, true).values()) == pytest.approx(theirs.stats[:3].tolist(), abs=1e-9)


def test_a_resample_counts_a_picture_as_often_as_it_comes() -> None:
    told, true = pictures(12, 5)
    weights = np.random.default_rng(0).integers(0, 3, (4, 12))
    metrics = detection(told, true)
    for drawn in weights:
        # Copies of a picture stand one behind the other, as ties of their boxes do.
        rows = np.repeat(np.arange(12), drawn)
        again = figures([told[i] for i in rows], [true[i] for i in rows])
        for name, metric in metrics.items():
            # Copies tie: precision is taken where all of them count.
            found = float(metric.statistic(drawn[None].astype(float))[0])
            assert found == pytest.approx(again[name], abs=0.03)
    whole = metrics["map"].statistic(weights.astype(float))
    assert whole.tolist() == [metrics["map"].statistic(w[None].astype(float))[0] for w in weights]


def test_what_is_perfect_what_is_missed_and_what_is_not_there() -> None:
    true = [boxes([[0, 0, 10, 10], [20, 20, 30, 30]], [0, 1]), boxes([])]
    perfect = [Boxes(one.places, one.classes, np.ones(len(one.places))) for one in true]
    nothing = [boxes([]), boxes([])]
    assert figures(perfect, true) == {"map": 1, "map_50": 1, "map_75": 1}
    assert figures(nothing, true) == {"map": 0, "map_50": 0, "map_75": 0}
    assert detection(nothing, nothing) == {}
    wrong = [Boxes(one.places, 1 - one.classes, np.ones(len(one.places))) for one in true]
    assert figures(wrong, true)["map"] == 0
    half = [boxes([[0, 0, 10, 10]], [0], [1]), boxes([])]
    assert figures(half, true)["map"] == pytest.approx(0.5)


def test_each_true_box_is_found_once_by_the_surest() -> None:
    true = boxes([[0, 0, 10, 10]])
    twice = boxes([[0, 0, 10, 9], [0, 0, 10, 10]], scores=[0.9, 0.8])
    mine = found(twice, true)
    assert mine.shape == (len(OVERLAPS), 2)
    assert mine[0].tolist() == [0, -1]
    # At .95 the surer one does not overlap enough.
    assert mine[-1].tolist() == [-1, 0]
    assert found(twice, boxes([])).tolist() == [[-1, -1]] * len(OVERLAPS)
