"""Networks of one set of modalities, with and without models trained elsewhere: who comes first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from polymodal.contract.recipe import Member, Modality
from polymodal.fitting.learner import Pace
from polymodal.fitting.twins import behind
from polymodal.prepared.targets import cells, prepared
from polymodal.table.read import read
from polymodal.tasks.classify import Classify

ROWS = np.arange(40)


@pytest.fixture(scope="module")
def job() -> Any:
    table = read({"y": ["a", "b"] * 20})
    task = Classify("y")
    task.fit(cells(task, table))
    return SimpleNamespace(tasks={"y": task}, targets={"y": prepared(task, cells(task, table))})


def member(name: str, **read: str | None) -> Member:
    return Member(name=name, modalities={n: Modality(pretrained=path) for n, path in read.items()})


SEEN, HEARD = member("photo", photo=None), member("sound", sound=None)
FROZEN = member("sound (M)", sound="hub/m")
RAW, MIXED = member("raw", photo=None, sound=None), member("mixed", photo=None, sound="hub/m")
ALL = [SEEN, HEARD, FROZEN, RAW, MIXED]
PACES = {"raw": Pace(0.1, 100, 10), "mixed": Pace(0.05, 100, 10)}


def said(right: float) -> dict[str, list[np.ndarray[Any, Any]]]:
    """Answers that give the true class this probability."""
    return {"y": [np.array([right, 1 - right] if i % 2 == 0 else [1 - right, right]) for i in ROWS]}


@pytest.mark.parametrize(
    ("raw", "frozen", "waits"),
    [(0.6, 0.9, RAW), (0.9, 0.6, MIXED), (0.5, 0.5, MIXED), (0.5, 0.505, MIXED)],
)
def test_the_better_readings_network_comes_first(job, raw, frozen, waits) -> None:
    """Where both tell the same, the one that reads the cells themselves."""
    scores = {"photo": said(0.7), "sound": said(raw), "sound (M)": said(frozen)}
    assert behind([RAW, MIXED], ALL, job, scores, ROWS, PACES) == [waits]
    assert behind([MIXED, RAW], ALL, job, scores, ROWS, PACES) == [
        waits if max(raw, frozen) > 0.51 else RAW
    ]


def test_who_costs_little_or_has_no_twin_does_not_wait(job) -> None:
    scores = {"photo": said(0.7), "sound": said(0.6), "sound (M)": said(0.9)}
    cheap = {**PACES, "mixed": Pace(0.02, 100, 10)}
    assert behind([RAW, MIXED], ALL, job, scores, ROWS, cheap) == []
    assert behind([RAW], ALL, job, scores, ROWS, PACES) == []
    assert behind([RAW, MIXED], ALL, job, scores, ROWS, {"raw": PACES["raw"]}) == []
    assert behind([RAW, member("x", photo=None)], ALL, job, scores, ROWS, PACES) == []
