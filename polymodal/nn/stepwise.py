"""Encoders that kinds with numbers in time share: of fixed descriptors, and of windows of steps."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable
from typing import Any

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.nn.masked import Descriptors, Windows


class DescriptorEncoder(Encoder, ABC):
    """Fixed descriptors, standardised, to one token by a small network.

    Args:
        form: fitted; its `size` is how many descriptors there are.
        width: of the token.
        hidden: units of the hidden layer.
        dropout: of the descriptors and of the hidden layer.
    """

    def __init__(self, form: Any, width: int, *, hidden: int = 128, dropout: float = 0.3) -> None:
        super().__init__()
        self.descriptors = Descriptors(form.size, width, hidden, dropout)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.descriptors.scale.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, size)` -> Tokens `(batch, 1, width)`."""
        tokens: Tokens = self.descriptors(field)
        return tokens


class WindowEncoder(Encoder, ABC):
    """Windows of steps to tokens by one linear map, plus their positions: for fusions that have
    layers of their own.

    Args:
        channels: numbers a step.
        width: of the tokens.
        window: steps to a token.
    """

    def __init__(self, channels: int, width: int, window: int) -> None:
        super().__init__()
        self.windows = Windows(channels, width, window)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.windows.scale.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, steps, channels)` -> Tokens `(batch, ceil(steps / window), width)`."""
        tokens: Tokens = self.windows(field)
        return tokens
