"""Boxes around what a picture shows, and what that is."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from polymodal.base.arrow import is_list, is_text
from polymodal.base.errors import UserError
from polymodal.base.spelling import is_missing
from polymodal.contract.form import Form
from polymodal.contract.kind import Guess, of, pictured
from polymodal.contract.metric import Metric
from polymodal.contract.placing import Placing
from polymodal.contract.scoring import Family
from polymodal.contract.task import Answers, Array, Judged, Pass
from polymodal.metrics.detection import MOST, Boxes, detection, found
from polymodal.table import boxes as cells_
from polymodal.table import references
from polymodal.table.boxes import Box
from polymodal.table.read import Table
from polymodal.table.values import NEARLY_ALL
from polymodal.tasks import _assigned, _boxes, _labels
from polymodal.tasks._boxes import HEAD, LEFT, SCORE
from polymodal.tasks._detector import Detector

# An answer keeps no box that is less sure.
FAINTEST = 0.01
# Places along a side, by default and at most, and how many of them a box has to choose from.
LEAST, MANY, SPARE = 8, 64, 4
# Which of COCO's overlaps makes a box right, where one figure a row is asked for: a half.
RIGHT = 0


class Detect(Placing):
    """Which boxes a picture has, and of what: as a set, each true one found by one place.

    A cell is a list of boxes [x, y, width, height, class] in pixels of the upright picture, in any
    of the spellings of `table.boxes.listed`; an empty list says that there are none. Each place of
    a grid (`_detector.Detector`) tells a class and a box. The places that are nearest to the true
    boxes, by class, distance and GIoU together (the Hungarian method), learn them, and all others
    that there is nothing: papers "End-to-End Object Detection with Transformers" (Carion et al.
    2020, arXiv 2005.12872), "Focal Loss for Dense Object Detection" (Lin et al. 2017, arXiv
    1708.02002). All modalities are read, so that a question can say which boxes are meant. Boxes
    have no mean: the best model answers alone. Neighbours: `multilabel` tells only what there is.

    Args:
        name: the target's column.
        column: the picture that boxes are in; by default the only one.
        grid: places along each side; 0: as many as leave every box of a training picture some,
            LEAST at least.
        depth: blocks in which places read the modalities' tokens and each other.
        threshold: how sure a box must be to be predicted, 0 to 1. Average precision counts those
            that are less sure too.
    """

    kind = "boxes"
    order = 0
    cells = cells_.CELLS
    nested: ClassVar[bool] = True
    primary = "map"
    averaged: ClassVar[bool] = False
    supports = "how far it has the same boxes"
    chooses = ""

    def __init__(
        self,
        name: str,
        *,
        column: str | None = None,
        grid: int = 0,
        depth: int = 1,
        threshold: float = 0.4,
    ) -> None:
        if not 0 <= grid <= MANY or depth < 1 or not 0 < threshold < 1:
            raise UserError(
                f"grid={grid}, depth={depth}, threshold={threshold} cannot tell '{name}'",
                expected=f"a grid of 0 to {MANY}, a depth of 1 or more, a threshold in (0, 1)",
            )
        self.name, self.column, self.grid = name, column, grid
        self.depth, self.threshold = depth, threshold
        self._odd: Counter[str] = Counter()

    # -- what it reads -------------------------------------------------------------------------

    @classmethod
    def sniff(cls, table: Table, name: str) -> Guess | None:
        """Lists of boxes."""
        data = table.data.column(name)
        cells = (cell for cell in data.to_pylist() if not is_missing(cell))
        if not (is_text(data.type) or is_list(data.type) or pa.types.is_struct(data.type)):
            return None
        read = [cells_.listed(cell) for cell in cells]
        known = [one for one in read if one is not None]
        # One that is broken makes no other kind of the column: a fit names it.
        if not any(known) or len(known) < NEARLY_ALL * len(read):
            return None
        return Guess(cls.kind, f"{sum(map(len, known)):,} boxes in {len(known):,} cells")

    @classmethod
    def labels_of(cls, cells: Sequence[Any]) -> None:
        return None

    @classmethod
    def family(cls) -> Family:
        return Family(
            references.one(lambda cell: _boxes.boxes_of(cell, "reference")), _boxes.scored
        )

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.name, *self.looks_at)

    @property
    def looks_at(self) -> tuple[str, ...]:
        return () if self.column is None else (self.column,)

    @property
    def asks(self) -> Mapping[str, tuple[str, ...]]:
        return {str(self.column): ("gridded",)}

    def introduce(
        self, modalities: Mapping[str, Mapping[str, str]], cells: Callable[[str], Sequence[Any]]
    ) -> None:
        """Find the picture.

        Raises:
            UserError: there is none, or it may be any of several.
        """
        kinds = {column: kind for own in modalities.values() for column, kind in own.items()}
        pictures = [column for column, kind in kinds.items() if kind == pictured()]
        if self.column is None and len(pictures) == 1:
            self.column = pictures[0]
        if self.column not in pictures:
            raise UserError(
                f"It is not clear which picture the boxes of '{self.name}' are in",
                expected=f"one column of the kind {pictured()}, or which of several",
                got=", ".join(pictures) or f"columns {', '.join(kinds) or 'of no kind'}",
                do=f"name it in a recipe: targets: {{{self.name}: {{name: detect, column: ...}}}}"
                if pictures
                else "add the pictures, or name what the target is (`kind`)",
            )

    def fit(self, cells: Sequence[Any], details: Mapping[str, Any] | None = None) -> None:
        """Learn the classes, how large boxes are, and how many there are at most.

        Raises:
            UserError: a cell spells no boxes, a box lies outside of its picture, or there is none
                at all, or too many.
        """
        known = [cell for cell in cells if self.is_known(cell)]
        read = [self._read(cell) for cell in known]
        every = [(sides, box) for sides, boxes in read for box in boxes]
        self._odd = Counter(one for sides, box in every for one in _boxes.odd(box, *sides))
        every = [(sides, box) for sides, box in every if _boxes.is_some(box)]
        classes, counts = _labels.counted(box.label for _, box in every)
        if not classes:
            raise UserError(
                f"Target '{self.name}' has nothing to learn from: no training row has a box",
                expected=f"rows with {cells_.CELLS}",
                got=f"{len(known):,} rows without one",
            )
        most = max(sum(map(_boxes.is_some, boxes)) for _, boxes in read)
        places = self.grid or min(MANY, max(LEAST, math.isqrt(SPARE * most - 1) + 1))
        if most > places**2:
            raise UserError(
                f"A picture of '{self.name}' has {most:,} boxes, more than places to tell them",
                expected=f"at most {places**2:,}",
                do=f"raise `grid` of the task, {MANY} at most, or leave some out",
            )
        shares = [np.array(box[2:4]) / sides for sides, box in every]
        usual = np.median(np.stack(shares).clip(0.01, 0.99), 0).tolist()
        self.state = {
            "column": self.column,
            "classes": classes,
            "counts": counts,
            "usual": usual,
            "places": places,
        }

    @property
    def state(self) -> dict[str, Any]:
        return {
            "column": self.column,
            "classes": self.classes,
            "counts": self.counts,
            "usual": self._usual,
            "places": self.places,
        }

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.column, self._usual = state["column"], list(state["usual"])
        self.classes, self.counts = list(state["classes"]), list(state["counts"])
        self.places = int(state["places"])
        self._known = set(self.classes)
        self.form = _boxes.Targets(self._checked, classes=self.classes)

    def remarks(self) -> list[tuple[str, str]]:
        return _boxes.remarks(self._odd, self.name)

    def is_known(self, cell: Any) -> bool:
        """Whether a row has boxes, or says that there are none, and a picture with a header."""
        if not (isinstance(cell, Mapping) and {*self.columns} <= cell.keys()):
            return not is_missing(cell)  # who asks shows the column's own cell alone
        if self.column is None or is_missing(cell[self.name]) or cell[self.column] is None:
            return False
        try:
            of(pictured()).sides(cell[self.column])
        except UserError:  # it is counted among the pictures that cannot be read
            return False
        return True

    def is_unseen(self, cell: Any) -> bool:
        if not self.is_known(cell):
            return False
        return not {box.label for box in self._read(cell)[1] if _boxes.is_some(box)} <= self._known

    def _read(self, cell: Any) -> tuple[tuple[int, int], list[Box]]:
        """A known cell's width and height, and its boxes."""
        width, height = of(pictured()).sides(cell[self.column])
        boxes = _boxes.boxes_of(cell[self.name], self.name)
        for box in boxes:
            left, top, right, bottom = box.corners
            if _boxes.is_some(box) and (
                left >= width or top >= height or right <= 0 or bottom <= 0
            ):
                raise UserError(
                    f"A box of '{self.name}' lies nowhere in its picture",
                    expected="x, y, width and height in pixels of the picture as it is looked at",
                    got=f"{list(box[:4])} of '{box.label}' in one of {width} x {height}",
                    do="mend it; left, top, right and bottom are other numbers than these",
                )
        return (width, height), boxes

    def _checked(self, cell: Any) -> tuple[tuple[int, int], list[Box]]:
        sides, every = self._read(cell)
        boxes = [box for box in every if _boxes.is_some(box)]
        for box in boxes:
            if box.label not in self._known:
                raise _labels.unseen(self.name, box.label, self.classes, "class")
        return sides, boxes

    # -- learning ------------------------------------------------------------------------------

    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        count, picture = len(self.classes), str(self.column)
        form = forms.get(picture)
        if form is not None and not form.shows_all:
            raise UserError(
                f"Not all of '{picture}' is shown, of which the boxes of '{self.name}' are parts",
                expected="the whole picture, stretched to a square",
                got=f"a form that pads it, or cuts something off: {form.settings}",
                do=f"set modalities.{picture}.form to {{resize: stretch}}, or name a pretrained "
                "model whose processor cuts nothing off",
            )
        return Detector(width, picture, self.places, self.depth, count, self._usual, dropout)

    def loss(self, done: Pass) -> Tensor:
        """See `_assigned.set_loss`; 0 (with gradient) if no row is known."""
        target = done.target
        assert target is not None and target.mask is not None
        logits, places = _labels.in_full(done.output["classes"]), done.output["places"].float()
        rows = target.present
        if not rows.any():
            return (logits.sum() + places.sum()) * 0
        gold = target.data[rows][:, HEAD:].to(places)
        counts = (target.mask[rows].sum(1) - HEAD).tolist()
        return _assigned.set_loss(logits[rows], places[rows], gold, counts)

    # -- answers -------------------------------------------------------------------------------

    def answer(self, done: Pass) -> list[Array]:
        """Each row's boxes `(n, 6)`, surest first, MOST at most: score, class, and left, top, right
        and bottom as shares of the picture."""
        scores = _labels.in_full(done.output["classes"]).sigmoid()
        places = _assigned.corners(done.output["places"].float()).clamp(0, 1)
        classes = scores.shape[-1]
        best, which = scores.flatten(1).topk(min(MOST, scores[0].numel()))
        at = torch.div(which, classes, rounding_mode="floor")
        own = places.gather(1, at.unsqueeze(-1).expand(-1, -1, 4))
        lines = torch.cat([best.unsqueeze(-1), (which % classes).unsqueeze(-1), own], -1)
        every = lines.double().cpu().numpy()
        return [row[row[:, SCORE] >= FAINTEST] for row in every]

    def constant(self, like: Answers) -> list[Array]:
        """No box: none is at the same place in all pictures."""
        return [np.zeros((0, 6)) for _ in like]

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        """Boxes [x, y, width, height, class, score] of the threshold and more in JSON, as shares of
        the picture; `located` tells them in pixels."""
        return {self.name: [cells_.written(self._said(answer)) for answer in answers]}

    def located(
        self, found: dict[str, list[Any]], media: Mapping[str, Sequence[Any]]
    ) -> dict[str, list[Any]]:
        """In pixels of the row's own picture; None where it has none."""
        room, told = of(pictured()), []
        for cell, picture in zip(found[self.name], media[str(self.column)], strict=True):
            try:
                width, height = (0, 0) if picture is None else room.sides(picture)
            except UserError:  # it counts as missing
                width, height = 0, 0
            boxes = _boxes.placed(cells_.listed(cell) or [], width, height)
            told.append(cells_.written(boxes) if width else None)
        return {**found, self.name: told}

    def truth(self, target: Array) -> str:
        true = _boxes.true(target)
        return cells_.written(_rounded(true.places, true.classes, None, self.classes))

    def _said(self, answer: Array) -> list[Box]:
        told = self._sure(answer)
        return _rounded(told.places, told.classes, told.scores, self.classes)

    def _sure(self, answer: Array) -> Boxes:
        """What is predicted: of each place its likeliest class, if it is sure enough."""
        sure = answer[answer[:, SCORE] >= self.threshold]
        _, first = np.unique(sure[:, LEFT:], axis=0, return_index=True)
        return _boxes.told(sure[np.sort(first)])

    # -- measuring -----------------------------------------------------------------------------

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        """See `metrics.detection`."""
        predicted = [_boxes.told(answer) for answer in answers]
        return detection(predicted, [_boxes.true(target) for target in targets])

    def criterion(self, answers: Answers, targets: Answers) -> float:
        """1 - the primary metric, or 1 where that is not defined."""
        metric = self.metrics(answers, targets).get(self.primary)
        return 1 - float(metric.statistic(np.ones((1, len(targets))))[0]) if metric else 1.0

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        """A row is right if all its boxes are predicted, overlapping by half or more, and no other;
        its loss is 1 - F1 of its boxes."""
        said, right, loss = [], np.zeros(len(targets), bool), np.zeros(len(targets))
        for i, (answer, target) in enumerate(zip(answers, targets, strict=True)):
            mine, gold = self._sure(answer), _boxes.true(target)
            hits = int((found(mine, gold)[RIGHT] >= 0).sum())
            every = len(mine.places) + len(gold.places)
            loss[i] = 1 - 2 * hits / every if every else 0.0
            right[i] = 2 * hits == every
            said.append(json.dumps([*mine.classes.tolist(), *mine.places.round(3).tolist()]))
        return Judged(np.array(said, object), right, loss)

    def support(self, answer: Array, answered: Array) -> float:
        """The mean over its sure boxes of how sure the answer is of them; how sure it is that there
        is none, if that was answered."""
        sure, own = self._sure(answered), _boxes.told(answer)
        if not len(sure.places):
            return 1 - float(own.scores.max(initial=0.0))
        taken = found(own, sure)[RIGHT]
        return float(own.scores[taken >= 0].sum()) / len(sure.places)


def _rounded(
    places: Array, codes: Array, scores: Array | None, classes: Sequence[str]
) -> list[Box]:
    sure = None if scores is None else scores.round(4)
    return _boxes.in_words(places.round(6), codes, sure, classes)
