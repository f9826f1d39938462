"""What tasks share that name what stands at places of a row: its word, its cluster."""

from __future__ import annotations

import zlib
from abc import ABC
from typing import Any

import numpy as np

from polymodal.contract.metric import Metric
from polymodal.contract.task import Answers, Array, Judged
from polymodal.contract.unlabelled import Unlabelled
from polymodal.metrics import summed

# What an answer's columns are.
PLACE, TRUTH, GUESS, LOG = range(4)


class Named(Unlabelled, ABC):
    """An answer is `(places, 4)`: the place, the true id there, the likeliest one, the logarithm of
    the true one's probability."""

    primary = "accuracy"
    supports = "the share of places at which it says the same"

    # -- answers and measures ------------------------------------------------------------------

    def constant(self, like: Answers) -> list[Array]:
        """The frequencies of the very ids that are asked for: no constant could do better."""
        truths = np.concatenate([np.zeros(0), *(answer[:, TRUTH] for answer in like)])
        ids, counts = np.unique(truths, return_counts=True)
        logs = np.log(counts / max(1, len(truths)))
        found = []
        for answer in like:
            own = answer.copy()
            if len(own):
                own[:, GUESS] = ids[counts.argmax()]
                own[:, LOG] = logs[np.searchsorted(ids, own[:, TRUTH])]
            found.append(own)
        return found

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        """How surprising a row's words are: nats a word; None where nothing was asked."""
        return {self.name: [-float(a[:, LOG].mean()) if len(a) else None for a in answers]}

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        """Accuracy, that of always the commonest id, what is gained over it, and perplexity."""
        counts = np.array([len(answer) for answer in answers], float)
        if not counts.sum():
            return {}
        truths = np.concatenate([answer[:, TRUTH] for answer in answers])
        ids, of = np.unique(truths, return_counts=True)
        common = ids[of.argmax()]
        right = np.array([(a[:, TRUTH] == a[:, GUESS]).sum() for a in answers], float)
        usual = np.array([(a[:, TRUTH] == common).sum() for a in answers], float)
        nats = np.array([-a[:, LOG].sum() for a in answers])
        return {
            "accuracy": summed.mean(right, counts),
            "majority": summed.mean(usual, counts),
            "over_majority": summed.mean(right - usual, counts),
            "perplexity": summed.perplexity(nats, counts),
        }

    def criterion(self, answers: Answers, targets: Answers) -> float:
        """Nats a place."""
        count = sum(len(answer) for answer in answers)
        return -sum(float(answer[:, LOG].sum()) for answer in answers) / max(1, count)

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        """A row is right if most of its places are."""
        right = [len(a) > 0 and float(np.mean(a[:, TRUTH] == a[:, GUESS])) > 0.5 for a in answers]
        nats = [-float(a[:, LOG].mean()) if len(a) else 0.0 for a in answers]
        told = np.array([zlib.crc32(a[:, GUESS].tobytes()) for a in answers], float)
        return Judged(told, np.array(right, bool), np.array(nats))

    def support(self, answer: Array, answered: Array) -> float:
        if len(answer) != len(answered) or not len(answer):
            return 0.0
        return float(np.mean(answer[:, GUESS] == answered[:, GUESS]))
