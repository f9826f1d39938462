"""Shallow encoder of sounds, for fusions that have layers of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.audio.forms.mel import Mel
from polymodal.nn.masked import Windows


class Patch(Encoder):
    """Windows of `window` frames to tokens by one linear map, plus their positions.

    Args:
        form: the fitted form.
        width: of the tokens.
        window: frames to a token.
    """

    kind: ClassVar[str] = "audio"
    form: ClassVar[str] = "mel"

    def __init__(self, form: Mel, width: int, *, window: int = 8) -> None:
        super().__init__()
        self.windows = Windows(form.mels, width, window)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.windows.scale.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, frames, mels)` -> Tokens `(batch, ceil(frames / window), width)`."""
        tokens: Tokens = self.windows(field)
        return tokens
