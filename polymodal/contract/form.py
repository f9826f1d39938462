"""Form: how one cell becomes one array."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from polymodal.base import lookup


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
        version: raised by hand whenever `encode` changes its answer, so stale caches miss.
    """

    kind: str
    dtype: str
    ragged: bool
    parallel: bool = True
    backbone: str | None = None
    made_of: tuple[Form, ...] = ()
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
