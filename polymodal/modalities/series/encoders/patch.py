"""Shallow encoder of series, for fusions that have layers of their own."""

from __future__ import annotations

from typing import final

from polymodal.modalities.series.forms.steps import Steps
from polymodal.nn.stepwise import WindowEncoder


@final
class Patch(WindowEncoder):
    """Windows of `window` steps to tokens by one linear map, plus their positions.

    Args:
        form: the fitted form.
        width: of the tokens.
        window: steps to a token.
    """

    kind = "series"
    form = "steps"

    def __init__(self, form: Steps, width: int, *, window: int = 4) -> None:
        super().__init__(form.channels, width, window)
