"""Shallow encoder of seriess, for fusions that have layers of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.series.forms.steps import Steps
from polymodal.nn.masked import Windows


class Patch(Encoder):
    """Windows of `window` steps to tokens by one linear map, plus their positions.

    Args:
        form: the fitted form.
        width: of the tokens.
        window: steps to a token.
    """

    kind: ClassVar[str] = "series"
    form: ClassVar[str] = "steps"

    def __init__(self, form: Steps, width: int, *, window: int = 4) -> None:
        super().__init__()
        self.windows = Windows(form.channels, width, window)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.windows.scale.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, steps, channels)` -> Tokens `(batch, ceil(steps / window), width)`."""
        tokens: Tokens = self.windows(field)
        return tokens
