"""Any number of labels a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import expit, logit
from torch import Tensor
from torch.nn import functional as F

from polymodal.base.spelling import is_missing
from polymodal.contract.batch import Field
from polymodal.contract.kind import Guess, worded
from polymodal.contract.metric import Metric
from polymodal.contract.scoring import Build, Family, Sides
from polymodal.contract.supervised import Supervised
from polymodal.contract.task import Answers, Array, Judged, Task
from polymodal.metrics import metrics
from polymodal.table import references, values
from polymodal.table.read import Table
from polymodal.tasks import _decoding, _labels
from polymodal.tasks._forms import Members

# Labels of so many words on average may be texts.
WORDS = 4


class Multilabel(Supervised):
    """Binary cross-entropy of each label; answers are independent probabilities.

    A cell is a list of labels, a JSON list, or a text of labels with a separator between them. An
    empty list means none of the labels; a missing cell or blank text means unknown, unless told.
    Neighbours: `classify` for exactly one label a row.

    Args:
        name: the target's column.
        separator: between the labels of a text, or None to take the one of ; | , that most training
            rows contain.
        empty_is_none: whether a missing cell or blank text means that a row has none of the labels.
    """

    kind = "set"
    order = 2
    primary = "micro_f1"
    supports = "the mean probability of its answers"
    chooses = "log loss"

    def __init__(
        self, name: str, *, separator: str | None = None, empty_is_none: bool = False
    ) -> None:
        self.name, self.separator, self.empty_is_none = name, separator, empty_is_none
        self._left_out: tuple[int, int] = (0, 0)

    @classmethod
    def sniff(cls, table: Table, name: str) -> Guess | None:
        """Lists of labels."""
        listed = _labels.is_listed(table, name)
        return Guess(cls.kind, "lists of labels: any number a row") if listed else None

    @classmethod
    def labels_of(cls, cells: Sequence[Any]) -> list[list[str]]:
        mark = values.separator(cells)
        return [values.members(cell, mark) or [] for cell in cells]

    @classmethod
    def family(cls) -> Family:
        return Family(references.one(lambda cell: cell), _scored)

    def fit(self, cells: Sequence[Any], details: Mapping[str, Any] | None = None) -> None:
        known = [c for c in cells if self.is_known(c)]
        self._left_out = (len(cells) - len(known), len(cells))
        self._between = self.separator or values.separator(known)
        sets = [self._names(cell) for cell in known]
        classes, counts = _labels.counted(label for labels in sets for label in labels)
        if not any(0 < count < len(sets) for count in counts):
            got = f"{len(sets)} rows, all with the labels {', '.join(classes) or '(none)'}"
            raise _labels.nothing_to_learn(self.name, got)
        self.state = {
            "classes": classes,
            "counts": counts,
            "rows": len(sets),
            "separator": self._between,
        }

    @property
    def state(self) -> dict[str, Any]:
        return {
            "classes": self.classes,
            "counts": self.counts,
            "rows": self.rows,
            "separator": self._between,
        }

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.classes, self.counts = list(state["classes"]), list(state["counts"])
        self.rows, self._between = int(state["rows"]), state["separator"]
        self.size = len(self.classes)
        self._known = set(self.classes)
        self.form = Members(self._checked, classes=self.classes, between=self._between)

    def remarks(self) -> list[tuple[str, str]]:
        missing, rows = self._left_out
        length = float(np.mean([len(name.split()) for name in self.classes]))
        if length >= WORDS:
            # Labels come back.
            severity = "info" if sum(self.counts) >= 2 * self.size else "warning"
            what = f"The {self.size:,} labels of '{self.name}' have {length:.0f} words on average"
            advice = f"if they are texts to be written, say so: `kind {self.name}={worded()}`"
            return [(severity, f"{what}: {advice}"), *self._told(missing, rows)]
        return self._told(missing, rows)

    def _told(self, missing: int, rows: int) -> list[tuple[str, str]]:
        """What to say of rows that are left out."""
        if not missing:
            return []
        option = f"targets: {{{self.name}: {{name: multilabel, empty_is_none: true}}}}"
        return [
            (
                "warning",
                f"{missing:,} of {rows:,} rows have an empty '{self.name}' and are left out of "
                "training and of all figures, as if their labels were not known. If empty means "
                f"that a row has none of the labels, say so in a recipe ({option}), or write [] "
                "into these cells",
            )
        ]

    def is_known(self, cell: Any) -> bool:
        return self.empty_is_none or not is_missing(cell)

    def is_unseen(self, cell: Any) -> bool:
        return not is_missing(cell) and not self._names(cell) <= self._known

    def _names(self, cell: Any) -> set[str]:
        """A known cell's labels."""
        parts = [] if is_missing(cell) else values.parts(cell, self._between)
        return {_labels.spelled(p, self.name) for p in parts if not is_missing(p)}

    def _checked(self, cell: Any) -> set[str]:
        """A present cell's labels.

        Raises:
            UserError: one that no training row had.
        """
        labels = self._names(cell)
        for label in labels:
            if label not in self._known:
                raise _labels.unseen(self.name, label, self.classes, "label")
        return labels

    def bias(self) -> Tensor:
        """Log odds of the training frequencies, half a row added to either side."""
        counts = torch.tensor(self.counts, dtype=torch.float32)
        return ((counts + 0.5) / (self.rows - counts + 0.5)).log()

    def loss_of(self, logits: Tensor, target: Field) -> Tensor:
        """Logits and target `(batch, labels)`."""
        logits = _labels.in_full(logits)
        wanted = target.data.to(logits.dtype)
        each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        return _labels.mean_known(each, target.present.unsqueeze(-1).expand_as(each))

    def blended(
        self, teacher: Task, answers: Answers, targets: Answers, share: float
    ) -> Array | None:
        told = _labels.aligned(teacher, answers, self.classes)
        return share * told + (1 - share) * np.asarray(targets, np.float32)

    def answer_of(self, logits: Tensor) -> Tensor:
        return _labels.in_full(logits).sigmoid()

    @property
    def plain_decode(self) -> tuple[str, dict[str, Any]]:
        return "labels", {"classes": self.classes, "between": self._between}

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        """The labels of probability one half or more, written as the training cells were."""
        return _decoding.labels(self.name, answers, self.classes, self._between)

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        return metrics.multilabel(*self._stacked(answers, targets))

    def criterion(self, answers: Answers, targets: Answers) -> float:
        """What validation minimises: the mean log loss over rows and labels."""
        p, y = self._stacked(answers, targets)
        return _labels.average(_labels.surprise(np.where(y > 0.5, p, 1 - p)))

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        p, y = self._stacked(answers, targets)
        given, true = p >= 0.5, y > 0.5
        losses = _labels.surprise(np.where(true, p, 1 - p)).mean(1)
        return Judged(given, (given == true).all(1), losses)

    def report(self, answers: Answers, targets: Answers) -> dict[str, Any]:
        p, y = self._stacked(answers, targets)
        return metrics.classification_report(y, p, self.classes)

    def link(self, answers: Array) -> Array:
        return np.asarray(logit(np.clip(answers, _labels.LEAST, 1 - _labels.LEAST)))

    def unlink(self, linked: Array) -> Array:
        return np.asarray(expit(linked))

    def support(self, answer: Array, answered: Array) -> float:
        """Mean over labels of the probability of there being each or not, as answered."""
        return float(np.where(answered >= 0.5, answer, 1 - answer).mean())

    def _stacked(self, answers: Answers, targets: Answers) -> tuple[Array, Array]:
        shape = (len(targets), self.size)
        return np.asarray(answers).reshape(shape), np.asarray(targets).reshape(shape)


def _scored(sides: Sides) -> tuple[Build, dict[str, Any]]:
    """Predictions of sets of labels from anywhere against their references."""
    gold = _sets(sides.references)
    given = {name: _sets(cells) for name, cells in sides.predictions.items()}

    def classes(names: Sequence[str]) -> list[str]:
        sides = (gold, *(given[name] for name in names))
        return _labels.in_order(label for side in sides for one in side for label in one)

    def build(names: Sequence[str]) -> dict[str, Metric]:
        labels = classes(names)

        def coded(side: Sequence[Sequence[str]]) -> Array:
            return np.array([[label in one for label in labels] for one in map(set, side)], float)

        guesses = np.concatenate([coded(given[name]) for name in names])
        # What only the other system names counts for neither.
        found = metrics.multilabel(guesses, np.tile(coded(gold), (len(names), 1)), absent=np.nan)
        # Labels alone rank nothing.
        return {name: metric for name, metric in found.items() if name != "roc_auc"}

    return build, {"classes": {name: classes([name]) for name in given}}


def _sets(cells: Sequence[Any]) -> list[list[str]]:
    """The labels of each cell; none where it is missing."""
    between = values.separator([cell for cell in cells if cell is not None])
    return [values.members(cell, between) or [] for cell in cells]
