"""A text that a task reads in its own way, such as a decoder's prompt."""

from __future__ import annotations

from typing import final

from polymodal.modalities._spelling import SpellingEncoder


@final
class Spelled(SpellingEncoder):
    """The text itself beside one token: the mean of its bytes' vectors.

    It is for texts that the template of a task that writes names. Neighbours: `ngrams`, where
    nothing reads the text but the fusion.

    Args:
        form: text/spelled.
        width: of the token.
    """

    kind = "text"
    form = "spelled"
