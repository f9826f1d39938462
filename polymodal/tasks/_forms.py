"""How target cells become arrays, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from polymodal.contract.form import Form
from polymodal.tasks import _decoding

Array = np.ndarray[Any, Any]
# A cell to what it names: a label, a number, labels.
Reader = Callable[[Any], Any]


class Code(Form):
    """One label as its code `()`.

    Args:
        read: a present cell to its label; UserError for one that was not in training.
        classes: what codes stand for.
    """

    kind, dtype, ragged = "target", "int64", False

    def __init__(self, read: Reader, *, classes: Sequence[str]) -> None:
        self.read, self.classes = read, list(classes)
        self._codes = {name: code for code, name in enumerate(self.classes)}

    def encode(self, cell: Any) -> Array:
        return np.array(self._codes[self.read(cell)], np.int64)

    def decode(self, array: Array) -> str:
        return self.classes[int(array)]


class Amount(Form):
    """A number in standard deviations from the training mean, `()`.

    Args:
        read: a present cell to its number.
    """

    kind, dtype, ragged = "target", "float32", False

    def __init__(self, read: Reader, *, mean: float, scale: float) -> None:
        self.read, self.mean, self.scale = read, mean, scale

    def encode(self, cell: Any) -> Array:
        return np.array((self.read(cell) - self.mean) / self.scale, np.float32)

    def decode(self, array: Array) -> float:
        return float(array.astype(float) * self.scale + self.mean)


class Members(Form):
    """Any number of labels as 0 and 1, `(labels,)`.

    Args:
        read: a present cell to its labels; UserError for one that was not in training.
        between: separates the labels of a text; None: they are a JSON list.
    """

    kind, dtype, ragged = "target", "float32", False

    def __init__(self, read: Reader, *, classes: Sequence[str], between: str | None) -> None:
        self.read, self.classes, self.between = read, list(classes), between

    def encode(self, cell: Any) -> Array:
        labels = self.read(cell)
        return np.array([name in labels for name in self.classes], np.float32)

    def decode(self, array: Array) -> str:
        """The labels at one half or more, written as the training cells were."""
        return _decoding.listed(array, self.classes, self.between)


class Codes(Form):
    """One label a word as codes `(words,)`, -1 for a word without one.

    Args:
        read: a present cell to its labels, None for an unknown one.
        write: labels to a cell.
    """

    kind, dtype, ragged = "target", "int64", True

    def __init__(
        self, read: Reader, write: Callable[[list[str | None]], str], *, classes: Sequence[str]
    ) -> None:
        self.read, self.write, self.classes = read, write, list(classes)
        self._codes: dict[str | None, int] = {name: i for i, name in enumerate(self.classes)}
        self._codes[None] = -1

    def encode(self, cell: Any) -> Array:
        return np.array([self._codes[label] for label in self.read(cell)], np.int64)

    def decode(self, array: Array) -> str:
        return self.write([self.classes[code] if code >= 0 else None for code in array])
