"""Which metrics there are for predictions from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from polymodal.base import lookup
from polymodal.base.spelling import canonical, is_missing
from polymodal.contract.metric import Metric
from polymodal.contract.scoring import Build, Cells, Family, Sides
from polymodal.metrics import alignment, captions
from polymodal.metrics import answers as metrics
from polymodal.table import references, values

FEWEST_MOST = "references a row (fewest, most)"


def families() -> dict[str, Family]:
    """Those of answers that no task has, and each task's own, by name."""
    found = {
        "vqa": Family(references.texts, _vqa, several=True, extracts=True),
        "captions": Family(references.texts, _captions, several=True),
        "retrieval": Family(_items, _retrieval, several=True),
    }
    own = {name: lookup.find("tasks", name).family() for name in lookup.names("tasks")}
    return found | {name: one for name, one in own.items() if one is not None}


def _vqa(sides: Sides) -> tuple[Build, dict[str, Any]]:
    given = {name: references.answers(sides, name) for name in sides.predictions}

    def build(names: Sequence[str]) -> dict[str, Metric]:
        guesses = [answer for name in names for answer in given[name]]
        found = metrics.answers(guesses, sides.references * len(names))
        return found if sides.extract is None else found | metrics.failures(guesses)

    annotators = [len(texts) for texts in sides.references]
    return build, {FEWEST_MOST: [min(annotators), max(annotators)]}


def _captions(sides: Sides) -> tuple[Build, dict[str, Any]]:
    compared = {
        name: captions.captions([references.text(cell) or "" for cell in cells], sides.references)
        for name, cells in sides.predictions.items()
    }

    def build(names: Sequence[str]) -> dict[str, Metric]:
        return reduce(captions.Captions.followed_by, [compared[name] for name in names]).metrics()

    counts = [len(texts) for texts in sides.references]
    return build, {FEWEST_MOST: [min(counts), max(counts)], "sacrebleu": captions.version()}


def _retrieval(sides: Sides) -> tuple[Build, dict[str, Any]]:
    lists = {name: _rankings(cells) for name, cells in sides.predictions.items()}
    # As many columns of them as were named, each with a separator of its own.
    columns = [_rankings(cells) for cells in zip(*sides.references, strict=True)]
    right = [set().union(*row) for row in zip(*columns, strict=True)]
    gallery = len(set().union(*right, *(one for ranked in lists.values() for one in ranked)))
    found = {
        name: alignment.found_in(ranked, right, f"row to '{name}'", gallery)
        for name, ranked in lists.items()
    }

    def build(names: Sequence[str]) -> dict[str, Metric]:
        return reduce(alignment.Retrieval.followed_by, [found[name] for name in names]).metrics()

    return build, {name: one.conditions() for name, one in found.items()}


def _items(cells: Cells) -> Cells | None:
    """A row's cells, if any of them names an item."""
    named = [not is_missing(cell) and bool(values.parts(cell, None)) for cell in cells]
    return cells if any(named) else None


def _rankings(cells: Sequence[Any]) -> list[list[str]]:
    between = values.separator([cell for cell in cells if cell is not None])
    return [
        []
        if is_missing(cell)
        else [canonical(item) for item in values.parts(cell, between) if not is_missing(item)]
        for cell in cells
    ]
