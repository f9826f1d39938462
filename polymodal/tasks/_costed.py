"""What tasks share whose answers are sequences: each piece's likelihood is told, and learned by."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from polymodal.contract.task import Answers, Pass, Task
from polymodal.tasks._written import NATS, PLACES


class Costed(Task, ABC):
    """Its head says "nats" `(sequences,)` of each target, "places", how long they are, and "row".

    An answer's first line says what the row's targets cost (`_written.answered`).
    """

    averaged: ClassVar[bool] = False
    told: ClassVar[bool] = True

    def loss(self, done: Pass) -> Tensor:
        """Mean over all pieces of all sequences, their ends included."""
        nats, places = done.output["nats"], done.output["places"]
        mean: Tensor = nats.sum() / places.sum().clamp(min=1)
        return mean

    def likelihood(self, done: Pass) -> Tensor:
        with torch.no_grad():
            nats, places = self.costs(done)
            return torch.exp(-nats / places.clamp(min=1))

    def costs(self, done: Pass) -> tuple[Tensor, Tensor]:
        """What each row's sequences cost, and how many pieces they have."""
        assert done.target is not None
        rows, own = len(done.target.present), done.output
        zeros = torch.zeros(rows, device=own["nats"].device)
        nats = zeros.index_add(0, own["row"], own["nats"].float())
        return nats, zeros.index_add(0, own["row"], own["places"].float())

    def criterion(self, answers: Answers, targets: Answers) -> float:
        """Nats a piece of the targets."""
        heads = np.array([answer[0] for answer in answers]).reshape(len(answers), 4)
        return float(heads[:, NATS].sum() / max(1.0, heads[:, PLACES].sum()))
