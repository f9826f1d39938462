"""Form: how one cell becomes one array."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from polymodal.base import lookup


@dataclass(frozen=True)
class Ids:
    """Of an integer form `(length, columns)` whose column 0 says which word or piece it is.

    A position is hidden by -1 in column 0 and 0 in the columns that tell of it too. One with 0 in
    column 1 is a mark of the form's own, which is never hidden.

    Attributes:
        size: ids lie in [0, size); None: they are hashes, too many for a layer with one output
            each.
        limit: positions at most; None: any number.
        separator: the id of the mark that ends a text; None: there is none.
        telling: the columns beside the first that tell which word it is.
    """

    size: int | None
    limit: int | None = None
    separator: int | None = None
    telling: tuple[int, ...] = ()


@dataclass(frozen=True)
class Patches:
    """How an array is cut into parts that neighbours do not give away when they are hidden.

    Attributes:
        sides: of a patch, along the array's first axes.
        channels: numbers at each place beyond those axes; 1 if there is no other axis.
        share: of all patches that is usually hidden.
        apart: whether channels are amounts of different units, not to be compared.
        tube: whether what is hidden at one step of the first axis is hidden at all.
    """

    sides: tuple[int, ...]
    channels: int = 1
    share: float = 0.75
    apart: bool = False
    tube: bool = False


@dataclass(frozen=True)
class Slots:
    """Where a column stands in a joint form's array: `array[start:stop]`.

    Attributes:
        name: the column's.
        kind: "number", "category" or "set".
        codes: for a category how many codes it has, the 0 of missing and unseen included; else 0.
    """

    name: str
    kind: str
    start: int
    stop: int
    codes: int = 0


@dataclass(frozen=True)
class Marginals:
    """What training rows hold of each column of a joint form, one column at a time.

    Attributes:
        slots: the columns in the form's array.
        mean, deviation: `(d,)` of numbers; 0 and 1 elsewhere.
        sample: `(n, d)`: n cells of each column, which no row need have held together.
    """

    slots: Sequence[Slots]
    mean: np.ndarray[Any, Any]
    deviation: np.ndarray[Any, Any]
    sample: np.ndarray[Any, Any]


class Form(ABC):
    """How one cell becomes one array: decoded, resized, resampled, hashed, tokenised.

    `encode` is pure: the same cell gives the same array in any process, so results are cached by
    content and `fingerprint`. What has to be learned from training rows (a tokenizer, a
    vocabulary) is learned in `fit` and kept in `state`, JSON-able, so that a run needs no pickle.

    Attributes are the class's, or the object's where options decide them:
        kind: folder under `modalities/`.
        dtype: numpy dtype of what `encode` returns.
        ragged: True if the first axis varies from cell to cell.
        parallel: whether `encode` may run in worker processes (not if it holds a large model).
        backbone: what of the pretrained model that its option `path` names a run takes along:
            "settings" (tokenizer, processor, configuration) or "weights" too; None: it has none.
        made_of: the forms whose arrays it joins (`contract.beside`), each prepared on its own.
        beyond: what is said of cells that `was_truncated`, with the form's name for {form}.
        ids: how its positions are words or pieces of a text; None where they are not.
        patches: how it can be hidden in parts; None where it cannot. Known after `fit`.
        features: numbers at each step of arrays `(steps, features)`; None of others. Known after
            `fit`.
        marginals: of a joint form what training rows hold; None of others. Known after `fit`.
        timed: whether its first axis is time.
        shows_all: whether its array is a whole picture, stretched to a square.
        seen_by: path of the model that has seen its cells for a decoder that looks at them; None:
            none has.
        version: raised by hand whenever `encode` changes its answer, so stale caches miss.
    """

    kind: str
    dtype: str
    ragged: bool
    parallel: bool = True
    backbone: str | None = None
    made_of: tuple[Form, ...] = ()
    timed: ClassVar[bool] = False
    shows_all: bool = False
    seen_by: str | None = None
    beyond: ClassVar[str] = "is too long for {form}: cut off"
    version: ClassVar[int] = 1

    def fit(self, cells: Iterable[Any]) -> None:
        """Learn from the training rows' present cells."""

    @property
    def state(self) -> dict[str, Any]:
        """What `fit` learned, JSON-able."""
        return {}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        """Restore what `fit` learned."""

    @property
    def ids(self) -> Ids | None:
        return None

    @property
    def patches(self) -> Patches | None:
        return None

    @property
    def features(self) -> int | None:
        return None

    @property
    def marginals(self) -> Marginals | None:
        return None

    @property
    def notes(self) -> list[str]:
        """What `fit` learned that people should know: each completes "cells of the column ..."."""
        return []

    @abstractmethod
    def encode(self, cell: Any) -> np.ndarray[Any, Any]:
        """One cell to one array of `dtype`: `(length, ...)` if ragged, else always one shape.

        Args:
            cell: for text a string (or a list of words); for media a `table.media.Media`;
                for a joint kind a mapping of column name to value, None where missing.

        Raises:
            UserError: the cell cannot be decoded; the message names what is wrong with it.
        """

    def decode(self, array: np.ndarray[Any, Any]) -> Any:
        """The cell that an array stands for, of a form that can be undone; others have none."""
        raise NotImplementedError(f"{type(self).__name__} cannot be undone")

    def unlearned(self, cells: Callable[[str], Sequence[Any]]) -> dict[str, list[int]]:
        """Rows with a value that says nothing to this form, because training rows did not have it.

        Args:
            cells: gives a column's cells of all rows.

        Returns:
            Column -> its rows; without those that have none.
        """
        return {}

    def choices(self) -> Mapping[str, Sequence[str]]:
        """Column -> the names that it knows of its cells, of columns whose cells are names."""
        return {}

    def open(self) -> None:
        """Have ready what every cell needs; UserError if it cannot be had, which no cell is at
        fault for."""

    def was_truncated(self, cell: Any) -> bool:
        """Whether `encode` leaves out the end of this cell, which is long for this form."""
        return False

    @staticmethod
    def suggest(cells: Iterable[Any]) -> dict[str, Any]:
        """Options that suit a sample of the cells; {} where the defaults suit any."""
        return {}

    def encode_many(self, cells: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        """Several cells at once; worth overriding where a model runs faster on batches."""
        return [self.encode(cell) for cell in cells]

    @property
    def fingerprint(self) -> str:
        """Equal exactly when `encode` gives equal answers: part of every cache key."""
        described = [type(self).__module__, self.version, self.settings, self.state]
        return hashlib.blake2b(json.dumps(described).encode(), digest_size=16).hexdigest()

    @property
    def settings(self) -> dict[str, Any]:
        """The options this form was built with (its keyword-only parameters), JSON-able."""
        return lookup.chosen(self)


def plain(forms: Iterable[Form]) -> Iterator[Form]:
    """The forms, and for one that is made of others those."""
    for form in forms:
        yield from form.made_of or (form,)
