"""What tasks share whose target column others may read: it is hidden from themselves."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import replace

import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Field
from polymodal.contract.form import Form
from polymodal.contract.task import Task


class Hidden(Task, ABC):
    """A task whose targets may stand in a column that other tasks of the model read.

    Attributes:
        column: an option: where targets stand, if not in the column of the task's name.
        hidden: the modality that is this column; None: no model reads it.
    """

    column: str | None
    hidden: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column or self.name,)

    @property
    def spoils(self) -> bool:  # type: ignore[override]
        return self.hidden is not None

    def hide(self, modalities: Mapping[str, Mapping[str, str]]) -> None:
        """Find the modality that is hidden.

        Args:
            modalities: as of `introduce`.
        """
        column = self.column or self.name
        self.hidden = next((name for name, own in modalities.items() if column in own), None)
        if self.hidden is not None and len(modalities[self.hidden]) > 1:
            raise UserError(
                f"The column '{column}' cannot be hidden from '{self.name}' alone",
                expected="a column that is read by itself, such as a text or a picture",
                got=f"one of the columns of '{self.hidden}', which are read together",
                do=f"let no task read it: name the target '{column}'",
            )

    def spoil(self, batch: Batch, forms: Mapping[str, Form], generator: torch.Generator) -> Batch:
        """No row has the target's own modality."""
        if self.hidden not in batch.inputs:
            return batch
        own = batch.inputs[self.hidden]
        gone = Field(own.data, own.mask, torch.zeros_like(own.present))
        return replace(batch, inputs={**batch.inputs, self.hidden: gone})
