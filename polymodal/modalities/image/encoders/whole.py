"""A picture for a decoder that looks at pictures by itself."""

from __future__ import annotations

from typing import final

from polymodal.modalities._spelling import SpellingEncoder


@final
class Whole(SpellingEncoder):
    """The picture itself beside one token: the mean of its pixels' vectors, by brightness.

    It is for pictures that a vision-language model is given. Neighbours: all others, where a model
    of pictures of its own sees them.

    Args:
        form: image/whole.
        width: of the token.
    """

    kind = "image"
    form = "whole"
