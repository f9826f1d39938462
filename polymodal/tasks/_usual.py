"""What is usual in training texts, and so is said of rows of which nothing can be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from polymodal.contract.writing import Said
from polymodal.metrics.captions import rouge_l
from polymodal.nn.manner import Manner, Text, keeps, mean
from polymodal.nn.tokens import Tokens
from polymodal.tasks._growing import known, weighed

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


def ordered(
    choices: Iterable[str], texts: Sequence[str], nats: Callable[[str], float]
) -> list[str]:
    """Choices: those that are among some texts, in their order, then those of few nats."""
    places = {text: place for place, text in enumerate(texts)}
    return sorted(choices, key=lambda text: (places.get(text, len(texts)), nats(text)))


class Usual:
    """How often pieces come, and the training texts that suit a manner by that.

    Args:
        tokens: of texts.
        counts: the pieces that come, and how often each does.
    """

    def __init__(self, tokens: Tokens, counts: Sequence[Sequence[int]]) -> None:
        self._tokens = tokens
        # Everything may come, though it has not come yet.
        found = np.ones(tokens.count)
        found[counts[0]] += counts[1]
        self._logs = np.log(found / found.sum())

    def nats(self, ids: np.ndarray[Any, Any]) -> float:
        """What pieces `(n,)` cost by how often they come."""
        return -float(self._logs[ids].sum())

    def suiting(self, texts: Sequence[str], manner: Manner) -> list[Text]:
        """Those of some texts that keep to what is asked, in their order, as long as may be; of
        choices all: those that are among the texts, then the likeliest a piece."""
        if manner.choices:
            order = ordered(manner.choices, texts, lambda text: -mean(self._read(text)))
            return [self._read(text) for text in order]
        rule, end = self._tokens.rule(manner), self._tokens.end
        every = [self._read(text, manner.longest) for text in texts]
        return [text for text in every if keeps(rule, text, end)]

    def said(self, texts: Sequence[str], manner: Manner) -> list[Said]:
        """As many of the texts that suit as are asked for, in their order and from the first
        again; none where none suits."""
        found = self.suiting(texts, manner)
        if manner.choices:
            return [weighed(self._tokens, found, 0)]
        told = [known(self._tokens, text, manner.stop) for text in found]
        return [told[i % len(told)] for i in range(manner.samples)] if told else []

    def _read(self, text: str, longest: int | None = None) -> Text:
        """A text of no more than some pieces, its end not counted."""
        ids = self._tokens.numbers(text)
        ended = bool(len(ids)) and bool(ids[-1] == self._tokens.end)
        if longest is not None and len(ids) - ended > longest:
            ids, ended = ids[:longest], False
        return Text(ids[: len(ids) - ended].tolist(), self._logs[ids].tolist(), ended)
