"""Predictor: whatever answers from fields, however it has learned to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import ClassVar

from torch import nn

from polymodal.contract.batch import Field, Outputs, Tokens
from polymodal.contract.form import Form


class Predictor(nn.Module, ABC):
    """Fields of some modalities to the outputs of some targets, in two steps.

    What `encode` makes of the modalities can be kept, exchanged between rows and left out before
    `fuse` answers from it: all that measures modalities works so.

    Attributes:
        names: the modalities that it reads.
        targets: the tasks that it answers.
        read_in: modality -> the form that it reads it in, for tasks that hide something.
        embeds: True if its tokens are vectors that rows can be compared by, and its outputs have
            `fused`; False if they are contributions to the answer.
        batch_size: rows that are answered at once, fewer where they are long.
    """

    names: list[str]
    targets: list[str]
    read_in: Mapping[str, Form]
    embeds: ClassVar[bool]
    batch_size: ClassVar[int] = 256

    @abstractmethod
    def encode(self, inputs: Mapping[str, Field]) -> dict[str, Tokens]:
        """Each modality by itself; absent rows leave without a real position."""

    @abstractmethod
    def fuse(
        self,
        tokens: Mapping[str, Tokens],
        absent: Collection[str] = (),
        targets: Mapping[str, Field] | None = None,
        tasks: Collection[str] | None = None,
    ) -> Outputs:
        """Answers from encoded tokens, as if the modalities in `absent` were missing.

        Args:
            targets: in training: a head that generates is taught by them.
            tasks: which are to be answered; others may be. All by default.
        """

    def forward(
        self,
        inputs: Mapping[str, Field],
        targets: Mapping[str, Field] | None = None,
        tasks: Collection[str] | None = None,
    ) -> Outputs:
        """Fields to answers; no shape in it depends on data, so that it can be exported."""
        return self.fuse(self.encode(inputs), (), targets, tasks)

    def numbers(self) -> int:
        """How many numbers it has learned or holds: of a solver's they are buffers."""
        held = sum(getattr(module, "held", 0) for module in self.modules())
        return held + sum(tensor.numel() for tensor in self.state_dict().values())
