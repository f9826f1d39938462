"""Cells that a task reads as text, such as a decoder's prompt."""

from __future__ import annotations

from typing import final

from polymodal.modalities._spelling import SpellingEncoder


@final
class Spelled(SpellingEncoder):
    """The cells' text itself beside one token: the mean of its bytes' vectors.

    It is for tables of which the template of a task that writes names a column. Neighbours: `mlp`,
    where numbers are to be computed with.

    Args:
        form: table/spelled.
        width: of the token.
    """

    kind = "table"
    form = "spelled"
