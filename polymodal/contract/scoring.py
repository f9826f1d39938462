"""Predictions from anywhere against references: what a family of metrics is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from polymodal.contract.metric import Metric

Cells = list[Any]
# Names of systems -> metrics over all their rows, one system's after the other's. Any may be asked
# for alone, and two together for a test that exchanges their rows.
Build = Callable[[Sequence[str]], dict[str, Metric]]
# Finds the answer in a text; None where there is none.
Extractor = Callable[[str], str | None]


@dataclass(frozen=True)
class Sides:
    """What is compared: rows that have a reference.

    Attributes:
        predictions: system -> cells, None where there is no prediction.
        probabilities: system -> class -> cells of its column "system=class".
        references: what the family's `parse` made of each row's reference cells.
        extract: finds answers in the predictions, or None: each prediction is an answer.
    """

    predictions: Mapping[str, Cells]
    probabilities: Mapping[str, Mapping[str, Cells]]
    references: Cells
    extract: Extractor | None


class Family(NamedTuple):
    """Metrics of one kind of answer.

    Attributes:
        parse: a row's reference cells -> its reference, or None if it has none.
        build: Sides -> Build, and what a reader of the figures must know.
        several: whether there may be more than one reference column.
        extracts: whether answers may be extracted from free text.
    """

    parse: Callable[[Cells], Any]
    build: Callable[[Sides], tuple[Build, dict[str, Any]]]
    several: bool = False
    extracts: bool = False
