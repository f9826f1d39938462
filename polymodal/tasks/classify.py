"""One class a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from scipy.special import softmax
from torch import Tensor

from polymodal.base.errors import UserError
from polymodal.base.spelling import canonical, is_missing
from polymodal.contract.answers import likeliest
from polymodal.contract.batch import Field
from polymodal.contract.kind import Guess
from polymodal.contract.metric import Metric
from polymodal.contract.scoring import Build, Family, Sides
from polymodal.contract.supervised import Supervised
from polymodal.contract.task import Answers, Array, Judged, Task
from polymodal.metrics import calibration, figures, metrics
from polymodal.metrics.answers import failures
from polymodal.metrics.contribution import discrepancy_ratio
from polymodal.table import numbers, references, values
from polymodal.table.read import Table
from polymodal.tasks import _decoding, _labels
from polymodal.tasks._forms import Code

UNLIKELY = "share of labels that are not the likeliest class of the probabilities beside them"


class Classify(Supervised):
    """Cross-entropy over the classes of the training rows; answers are their probabilities.

    Labels are compared in one spelling, `spelling.canonical`: True and "true" are one class, and so
    are 1, "1" and 1.0. Neighbours: `multilabel` for several labels a row, `regress` for amounts.

    Args:
        name: the target's column.
        class_weights: None, or "balanced": each class weighs rows / (classes * its rows), so that
            all count alike however rare (and probabilities are those of a balanced world).
        smoothing: share of every label's probability that is spread over all classes, in [0, 1).
    """

    kind = "category"
    order = 4
    primary = "accuracy"
    exact = True
    supports = "the probability of its answer"
    chooses = "log loss"
    one_class = True

    def __init__(
        self, name: str, *, class_weights: str | None = None, smoothing: float = 0.0
    ) -> None:
        if class_weights not in (None, "balanced"):
            raise UserError(
                f"Target '{name}' has the unknown class_weights '{class_weights}'",
                expected="class_weights: balanced, or none",
            )
        if not 0 <= smoothing < 1:
            raise UserError(
                f"Target '{name}' has a smoothing of {smoothing}",
                expected="a share from 0 to below 1, such as 0.1",
            )
        self.name = name
        self.class_weights, self.smoothing = class_weights, smoothing

    @classmethod
    def sniff(cls, table: Table, name: str) -> Guess | None:
        """True or false, a few whole numbers, and texts of which most come back."""
        column = table.data.column(name)
        if not _labels.is_plain(table, name):
            return None
        if pa.types.is_boolean(column.type):
            return Guess(cls.kind, "true or false: to classify")
        found = numbers.find(column)
        if found is not None and found.reading.what != "several":
            count = _labels.choices(found.values) if found.reading.what == "number" else 0
            if not count:
                return None
            what = f"only {count} different whole numbers: to classify"
            said = f"; {found.said()}" if found.said() else ""
            details = {"missing": sorted(found.words)} if found.words else {}
            return Guess(cls.kind, f"{what} (`kind {name}=number` to regress){said}", details)
        cells = [cell for cell in column.to_pylist() if cell is not None]
        different = len({values.category(cell) for cell in cells})
        if different > len(cells) / 2 and different > 1:
            return None
        return Guess(cls.kind, f"{different:,} different values: to classify")

    @classmethod
    def family(cls) -> Family:
        return Family(references.one(references.text), _scored, extracts=True)

    def fit(self, cells: Sequence[Any], details: Mapping[str, Any] | None = None) -> None:
        labels = [_labels.spelled(c, self.name) for c in cells if not is_missing(c)]
        classes, counts = _labels.counted(labels)
        if len(classes) < 2:
            got = f"'{classes[0]}' {len(labels)} times" if labels else "no value at all"
            raise _labels.nothing_to_learn(self.name, got)
        self.state = {"classes": classes, "counts": counts}

    @property
    def state(self) -> dict[str, Any]:
        return {"classes": self.classes, "counts": self.counts}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.classes, self.counts = list(state["classes"]), list(state["counts"])
        self.size = len(self.classes)
        self._known = set(self.classes)
        self.form = Code(self._label, classes=self.classes)

    def _label(self, cell: Any) -> str:
        """A present cell's class.

        Raises:
            UserError: one that no training row had.
        """
        label = _labels.spelled(cell, self.name)
        if label not in self._known:
            raise _labels.unseen(self.name, label, self.classes, "class")
        return label

    def is_unseen(self, cell: Any) -> bool:
        return not is_missing(cell) and _labels.spelled(cell, self.name) not in self._known

    def bias(self) -> Tensor | None:
        """Log of the training frequencies; None if balanced weights make all classes alike."""
        if self.class_weights == "balanced":
            return None
        return torch.tensor(self.counts).double().log().log_softmax(0).float()

    def loss_of(self, logits: Tensor, target: Field) -> Tensor:
        """Logits `(batch, classes)`, codes `(batch,)` or probabilities `(batch, classes)`."""
        weights = self._weights()
        return _labels.cross_entropy(logits, target.data, target.present, weights, self.smoothing)

    def _weights(self) -> Tensor | None:
        if self.class_weights is None:
            return None
        counts = torch.tensor(self.counts, dtype=torch.float32)
        return counts.sum() / (self.size * counts)

    def blended(
        self, teacher: Task, answers: Answers, targets: Answers, share: float
    ) -> Array | None:
        own = np.eye(self.size, dtype=np.float32)[_codes(targets)]
        told = _labels.aligned(teacher, answers, self.classes)
        mass = told.sum(1, keepdims=True)
        # A teacher that is sure of a class which is none here says nothing of the others.
        told = np.where(mass > 0, told / np.where(mass > 0, mass, 1), own)
        return np.asarray(share * told + (1 - share) * own, np.float32)

    def answer_of(self, logits: Tensor) -> Tensor:
        return _labels.in_full(logits).softmax(-1)

    def prior(self) -> Array:
        """The classes' shares of the training rows."""
        counts = np.asarray(self.counts, float)
        return counts / counts.sum()

    @property
    def plain_decode(self) -> tuple[str, dict[str, Any]]:
        return "one_class", {"classes": self.classes}

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        return _decoding.one_class(self.name, answers, self.classes)

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        return metrics.classification(self._shares(answers), _codes(targets))

    def criterion(self, answers: Answers, targets: Answers) -> float:
        """What validation minimises: the log loss."""
        return _labels.average(_surprise(self._shares(answers), _codes(targets)))

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        p, y = self._shares(answers), _codes(targets)
        best = likeliest(p)
        return Judged(best, best == y, _surprise(p, y))

    def strangeness(self, answers: Answers, targets: Answers) -> Array:
        """One less the probability of the true class (Sadinle, Lei and Wasserman 2019)."""
        p, y = self._shares(answers), _codes(targets)
        return 1 - np.take_along_axis(p, y[:, None], 1)[:, 0]

    def region(self, answers: Answers, within: Array) -> dict[str, list[Any]]:
        """`name.set`: the likeliest class, and all others that are likely enough."""
        inside = self._inside(answers, within)
        found = [[c for c, own in zip(self.classes, row, strict=True) if own] for row in inside]
        return {f"{self.name}.set": found}

    def extent(self, answers: Answers, within: Array) -> Array:
        """The number of classes."""
        return self._inside(answers, within).sum(1)

    def _inside(self, answers: Answers, within: Array) -> Array:
        """`(rows, classes)` bool."""
        p = self._shares(answers)
        # Rounded as the scores that the limit comes of are.
        strange = (1 - p).astype(np.float32)
        return (strange <= within[:, None]) | (p >= p.max(1, keepdims=True))

    def labels(self, targets: Answers) -> list[str]:
        return [self.classes[code] for code in _codes(targets)]

    def report(self, answers: Answers, targets: Answers) -> dict[str, Any]:
        return metrics.classification_report(_codes(targets), self._shares(answers), self.classes)

    def reliability(
        self, answers: Answers, targets: Answers, clusters: Array | None
    ) -> dict[str, Any]:
        return calibration.described(self._shares(answers), _codes(targets), clusters)

    def figures(self, answers: Answers, targets: Answers) -> dict[str, Any]:
        guessed, codes = likeliest(self._shares(answers)), _codes(targets)
        is_one = guessed >= 0
        return {"confusion": figures.confusion(codes[is_one], guessed[is_one], self.classes)}

    def discrepancy(self, alone: Mapping[str, Answers], targets: Answers) -> dict[str, float]:
        logs = {name: np.log(np.maximum(np.stack(list(p)), 1e-30)) for name, p in alone.items()}
        return discrepancy_ratio(logs, _codes(targets))

    def link(self, answers: Array) -> Array:
        return np.asarray(np.log(np.maximum(answers, _labels.LEAST)))

    def unlink(self, linked: Array) -> Array:
        return np.asarray(softmax(linked, axis=1))

    def support(self, answer: Array, answered: Array) -> float:
        return float(answer[answered.argmax()])

    def _shares(self, answers: Answers) -> Array:
        """Stacked `(rows, classes)`, of no rows too."""
        return np.asarray(answers).reshape(len(answers), self.size)


def _codes(targets: Answers) -> Array:
    return np.asarray(targets, np.int64).reshape(len(targets))


def _surprise(p: Array, y: Array) -> Array:
    """Log loss of each row."""
    return _labels.surprise(np.take_along_axis(p, y[:, None], 1)[:, 0]) if len(y) else np.zeros(0)


def _scored(sides: Sides) -> tuple[Build, dict[str, Any]]:
    """Predictions of classes from anywhere against their references."""
    given = {name: references.answers(sides, name) for name in sides.predictions}
    if sides.extract is not None:
        # "b" and "Yes", found in a sentence, are the classes "B" and "yes".
        cased = {label.casefold(): label for label in sides.references}
        cased |= {label: label for label in sides.references}
        given = {
            name: [a and cased.get(a, cased.get(a.casefold(), a)) for a in found]
            for name, found in given.items()
        }
    shares = {
        name: _probabilities(columns, sides.references, name)
        for name, columns in sides.probabilities.items()
        if columns
    }

    def classes(names: Sequence[str]) -> list[str]:
        named = (label for name in names for label in given[name] if label is not None)
        return _labels.in_order([*sides.references, *named])

    def build(names: Sequence[str]) -> dict[str, Metric]:
        codes = _labels.codes(classes(names))
        target = np.array([codes[label] for label in sides.references] * len(names))
        guessed = np.array([codes[label] for name in names for label in given[name]])
        found = metrics.decisions(guessed, target, len(codes) - 1)
        # Rankings of other classes are not compared.
        if all(name in shares and [*shares[name]] == [*shares[names[0]]] for name in names):
            scores = np.concatenate([np.stack([*shares[name].values()], 1) for name in names])
            codes = _labels.codes([*shares[names[0]]])
            target = np.array([codes[label] for label in sides.references] * len(names))
            found = metrics.classification(scores, target) | found
        if sides.extract is None:
            return found
        return found | failures([label for name in names for label in given[name]])

    conditions: dict[str, Any] = {"classes": {name: classes([name]) for name in given}}
    if shares:
        conditions[UNLIKELY] = {name: _unlikely(given[name], one) for name, one in shares.items()}
    return build, conditions


def _probabilities(
    columns: Mapping[str, Sequence[Any]], wanted: Sequence[str], name: str
) -> dict[str, Array]:
    """Probabilities `(rows,)` of each class, in the order of classes."""
    spelled = [canonical(label) for label in columns]
    lacking = sorted(set(wanted) - set(spelled))
    if lacking or len(set(spelled)) < len(spelled):
        raise UserError(
            f"The columns '{name}=CLASS' are not one for each class",
            expected="probabilities of every class that the references name, each once",
            got=f"none for {', '.join(lacking[:5])}" if lacking else ", ".join(columns),
            do="add, rename or remove these columns",
        )
    cells = dict(zip(spelled, columns.values(), strict=True))
    found = {
        label: np.array([references.number([cell]) for cell in cells[label]], float)
        for label in _labels.in_order(cells)
    }
    shares = np.stack([*found.values()], 1)
    wrong = ~((shares >= 0).all(1) & (np.abs(shares.sum(1) - 1) < 0.01))
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(
            f"The columns '{name}={next(iter(found))}', ... are no probabilities",
            expected="numbers from 0 that add up to 1 in each row",
            got=str(shares[row].tolist())[:80],
            do="rename or remove these columns",
        )
    return found


def _unlikely(labels: Sequence[str | None], shares: Mapping[str, Array]) -> float:
    """Which part of the labels another class is likelier than."""
    most = np.stack([*shares.values()]).max(0)
    named = [(row, label) for row, label in enumerate(labels) if label is not None]
    unlike = [label not in shares or shares[label][row] < most[row] for row, label in named]
    return sum(unlike) / max(1, len(unlike))
