"""What is said of rows of which nothing can be read: texts that training rows have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from polymodal.metrics.captions import rouge_l
from polymodal.nn.manner import Manner, Text, keeps, mean
from polymodal.nn.tokens import Tokens

# So many texts at most are kept with a run, of those that come more than once.
KEPT = 64
# So many texts are compared, to find the one that is most like all.
SAMPLE = 200


def commonest(every: Sequence[str]) -> list[str]:
    """The texts that come more than once, the commonest first; where none does, the one that shares
    most words with others."""
    counts = Counter(sorted(every)).most_common(KEPT)
    if often := [text for text, count in counts if count > 1]:
        return often
    sample = every[:: -(-len(every) // SAMPLE)]
    likes = [rouge_l([one] * len(sample), [[other] for other in sample]).sum() for one in sample]
    return [sample[int(np.argmax(likes))]]


def suiting(
    tokens: Tokens, texts: Sequence[str], logs: np.ndarray[Any, Any], manner: Manner
) -> list[Text]:
    """Those of some texts that keep to what is asked; the first of them where none does. Of choices
    all: those that are among the texts, then the likeliest a piece.

    Args:
        texts: the commonest first.
        logs: `(pieces,)`: how likely each piece is by how often it comes.
    """

    def read(text: str) -> Text:
        ids = tokens.numbers(text)
        ended = bool(len(ids)) and bool(ids[-1] == tokens.end)
        return Text(ids[: len(ids) - ended].tolist(), logs[ids].tolist(), ended)

    if manner.choices:
        order = ordered(manner.choices, texts, lambda text: -mean(read(text)))
        return [read(text) for text in order]
    rule, every = tokens.rule(manner), [read(text) for text in texts]
    fit = [text for text in every if keeps(rule, text, tokens.end)]
    return fit or every[:1]


def ordered(
    choices: Iterable[str], texts: Sequence[str], nats: Callable[[str], float]
) -> list[str]:
    """Choices: those that are among some texts, in their order, then those of few nats."""
    places = {text: place for place, text in enumerate(texts)}
    return sorted(choices, key=lambda text: (places.get(text, len(texts)), nats(text)))
