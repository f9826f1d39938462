"""Shallow encoder of sounds, for fusions that have layers of their own."""

from __future__ import annotations

from typing import final

from polymodal.modalities.audio.forms.mel import Mel
from polymodal.nn.stepwise import WindowEncoder


@final
class Patch(WindowEncoder):
    """Windows of `window` frames to tokens by one linear map, plus their positions.

    Args:
        form: the fitted form.
        width: of the tokens.
        window: frames to a token.
    """

    kind = "audio"
    form = "mel"

    def __init__(self, form: Mel, width: int, *, window: int = 8) -> None:
        super().__init__(form.mels, width, window)
