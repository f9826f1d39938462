"""Named tensors with masks: what flows from the collator to the tasks.

All are pytrees, so that `torch.export` and whatever else flattens a call's arguments takes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree


@dataclass
class Field:
    """One modality of a batch, as its form prepared it.

    Attributes:
        data: `(batch, ...)` for a form of fixed shape, `(batch, length, ...)` padded with zeros
            for a ragged one.
        mask: `(batch, length)` bool, True where a position is real; None for a fixed shape.
        present: `(batch,)` bool, False where the row lacks this modality altogether.
    """

    data: Tensor
    mask: Tensor | None
    present: Tensor

    def masked(self) -> Field:
        """The same without a real position in rows that lack the modality."""
        if self.mask is None:
            return self
        return Field(self.data, self.mask & self.present.unsqueeze(1), self.present)

    def to(self, device: torch.device | str) -> Field:
        mask = None if self.mask is None else self.mask.to(device, non_blocking=True)
        data = self.data.to(device, non_blocking=True)
        return Field(data, mask, self.present.to(device, non_blocking=True))


@dataclass
class Tokens:
    """What an encoder returns: `values (batch, length, width)`, `mask (batch, length)` bool.

    A row without the modality has no True in its mask. Values under a False mask are zero and
    never change a result.

    Attributes:
        spelled: `(batch, bytes)` uint8, padded with zeros: the row's text or picture itself, for a
            task that reads it in its own way; None of what is read by its encoder alone.
    """

    values: Tensor
    mask: Tensor
    spelled: Tensor | None = None

    def take(self, rows: Tensor) -> Tokens:
        """Some rows `(n,)`, in that order."""
        spelled = None if self.spelled is None else self.spelled[rows]
        return Tokens(self.values[rows], self.mask[rows], spelled)

    def mean(self) -> Tensor:
        """Mean over the real positions, `(batch, width)`; zeros where there are none."""
        weight = self.mask.unsqueeze(-1).to(self.values.dtype)
        return (self.values * weight).sum(1) / weight.sum(1).clamp(min=1)

    def present(self) -> Tensor:
        """`(batch,)` bool: which rows have at least one real position."""
        return self.mask.any(1)


@dataclass
class Fused:
    """What a fusion returns.

    Attributes:
        pooled: `(batch, width)`, one vector a row; zeros where every modality is absent.
        tokens: the modalities' tokens after fusion, same lengths and masks as came in.
        views: per-modality vectors `(batch, width)` for a fusion of decisions: each gets heads of
            its own and the decisions are combined by `weights`. Empty for a fusion of features.
        weights: `(batch, modalities)` in the order of `tokens`, how much each counted, where the
            fusion has such a thing; rows sum to 1 over the present modalities.
        own: each modality's tokens as its encoder made them, before any fusion and whatever
            modality dropout hides from that; a model fills it in.
    """

    pooled: Tensor
    tokens: dict[str, Tokens]
    views: dict[str, Tensor] = field(default_factory=dict)
    weights: Tensor | None = None
    own: dict[str, Tokens] = field(default_factory=dict)


@dataclass
class Batch:
    """Rows of a table on their way through a model.

    Attributes:
        inputs: modality name -> Field.
        targets: task name -> its encoded target, present where it is known; empty at prediction
            time.
        rows: `(batch,)` int64, the row numbers in the table.
    """

    inputs: dict[str, Field]
    targets: dict[str, Field]
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device | str) -> Batch:
        inputs = {name: value.to(device) for name, value in self.inputs.items()}
        targets = {name: value.to(device) for name, value in self.targets.items()}
        return Batch(inputs, targets, self.rows)


class Decided(NamedTuple):
    """What a task's head returns.

    Attributes:
        output: logits `(batch, size)`, or whatever else its task's `loss` and `answer` read.
        views: modality -> that modality's own output, from a fusion of decisions; else empty.
    """

    output: Any
    views: Mapping[str, Any] = {}


@dataclass
class Outputs:
    """What a model returns.

    Attributes:
        logits: task name -> its head's output: `(batch, size)` of a supervised one, or `(batch,
            length, size)` where words are labelled.
        fused: the fusion's result with its intermediates, for diagnostics; None from an expert.
        views: task -> modality -> that modality's own output, from a fusion of decisions, which
            trains each by its own loss; empty otherwise.
    """

    logits: Mapping[str, Any]
    fused: Fused | None = None
    views: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


for _one in (Field, Tokens, Fused, Batch, Outputs):
    # The name is what a saved program knows the class by.
    pytree.register_dataclass(_one, serialized_type_name=f"polymodal.{_one.__name__}")
