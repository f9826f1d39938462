"""Unlabelled: a task that learns from the inputs themselves, and needs no column of labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import nn

from polymodal.contract.batch import Field
from polymodal.contract.form import Form
from polymodal.contract.task import Answers, Array, Task


class Nothing(Form):
    """The target of a row where there is none to read: an array without a number."""

    kind, dtype, ragged = "target", "float32", False

    def encode(self, cell: Any) -> Array:
        return np.zeros(0, np.float32)

    def decode(self, array: Array) -> None:
        return None


class Adapting(nn.Module, ABC):
    """A head that learns from training rows before the first step, as encoders do.

    Attributes:
        modality: whose fields it learns from.
    """

    modality: str

    @abstractmethod
    def adapt(self, fields: Iterable[Field]) -> None:
        """Set buffers from training batches."""


class Unlabelled(Task):
    """What is to be found out stands in the inputs: hidden by `spoil`, or in how they go together.

    One that reads input columns (for a vocabulary, say) names them in `columns`, and learns from
    their cells in `fit`. Answers of several models have no mean.
    """

    averaged: ClassVar[bool] = False
    form: Form = Nothing()

    @property
    def columns(self) -> tuple[str, ...]:
        return ()

    def fit(self, cells: Sequence[Any], details: Mapping[str, Any] | None = None) -> None:
        """Nothing is learned from cells that are none."""

    @property
    def state(self) -> dict[str, Any]:
        return {}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        """Nothing was."""

    def constant(self, like: Answers) -> list[Array]:
        return [np.zeros_like(answer) for answer in like]
