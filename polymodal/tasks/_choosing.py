"""What tasks share that tell which of a few ways a row was spoiled in."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.contract.batch import Decided, Field, Fused
from polymodal.contract.metric import Metric
from polymodal.contract.task import Answers, Array, Judged, Pass
from polymodal.contract.unlabelled import Unlabelled
from polymodal.metrics import summed
from polymodal.tasks._patchwise import Reader

# A probability is kept this far from 0 where its logarithm is taken.
LEAST = 1e-12


class Chosen(nn.Module):
    """Logits `(batch, size)` from one look at a row's tokens."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, fused: Fused, target: Field | None = None) -> Decided:
        return Decided(self.reader(fused, [1])[:, 0])


class Choosing(Unlabelled, ABC):
    """Cross-entropy over ways `(batch,)` int64 in the target; a row that has none counts nothing.

    An answer is `(size + 1,)`: each way's probability, and the true one's number, -1 for none.
    """

    spoils = True
    primary = "accuracy"
    supports = "the probability of its answer"

    @property
    def ways(self) -> Sequence[str]:
        """What the ways are called, in order."""
        raise NotImplementedError

    def loss(self, done: Pass) -> Tensor:
        target = done.target
        assert target is not None
        logits = done.output.float()
        each = F.cross_entropy(logits, target.data.clamp(min=0), reduction="none")
        return torch.where(target.present, each, 0).sum() / target.present.sum().clamp(min=1)

    def answer(self, done: Pass) -> list[Array]:
        assert done.target is not None
        truth = torch.where(done.target.present, done.target.data, -1)
        shares = done.output.detach().double().softmax(1)
        return list(torch.cat([shares, truth.unsqueeze(1).double()], 1).cpu().numpy())

    # -- answers and measures ------------------------------------------------------------------

    def constant(self, like: Answers) -> list[Array]:
        """All ways alike: they are drawn so."""
        size = len(self.ways)
        return [np.append(np.full(size, 1 / size), answer[-1]) for answer in like]

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        """The way that is likeliest, and whether it was so."""
        ways = self.ways
        said = [ways[int(answer[:-1].argmax())] if answer[-1] >= 0 else None for answer in answers]
        return {self.name: said}

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        """Accuracy, that of chance, and the log loss, of rows that were spoiled."""
        right, known, nats = self._sums(answers)
        if not known.sum():
            return {}
        return {
            "accuracy": summed.mean(right, known),
            "chance": summed.mean(known / len(self.ways), known),
            "log_loss": summed.mean(nats, known, greater_is_better=False),
        }

    def criterion(self, answers: Answers, targets: Answers) -> float:
        _, known, nats = self._sums(answers)
        return float(nats.sum() / max(1, known.sum()))

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        right, _, nats = self._sums(answers)
        said = np.array([answer[:-1].argmax() for answer in answers], float)
        return Judged(said, right > 0, nats)

    def support(self, answer: Array, answered: Array) -> float:
        return float(answer[answered[:-1].argmax()])

    def _sums(self, answers: Answers) -> tuple[Array, Array, Array]:
        """`(rows,)` each: right, known, log loss; 0 where nothing is known."""
        if not len(answers):
            return np.zeros(0), np.zeros(0), np.zeros(0)
        stacked = np.stack(list(answers))
        truth = stacked[:, -1].astype(int)
        known = truth >= 0
        shares, at = stacked[:, :-1], truth.clip(min=0)
        nats = -np.log(shares[np.arange(len(at)), at].clip(LEAST))
        right = known & (shares.argmax(1) == at)
        return right.astype(float), known.astype(float), np.where(known, nats, 0)
