"""A network of many members over table cells, on top of a linear model of texts and cells."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.base import deadline
from polymodal.contract import kind
from polymodal.contract.block import Array
from polymodal.contract.form import Form
from polymodal.contract.task import Task
from polymodal.models.experts._ensemble import Ensemble
from polymodal.models.experts._layered import Layered, Work

# Passes over the rows at most, and without a lower held-out loss before it ends.
EPOCHS, PATIENCE = 100, 12
# Steps a pass where rows are few, and rows a step where they are many.
BATCHES = 64
LARGEST = 256
DECAY = 3e-4
# Of the time that it may have.
PART = 0.8
# Epochs without which it is worth nothing.
LEAST = 3


@final
class Tabm(Layered):
    """TabM's parameter-efficient ensemble (`_ensemble.Ensemble`) on top of a linear model.

    What it sees, and what it starts from: `Layered`. It has as many passes over the training rows
    as held-out rows want.

    Args:
        kinds, forms, tasks: as of `Solved`.
        members: networks that share their matrices.
        width, depth: of each one's hidden layers.
        bins: quantile bins a number is cut into.
        embedding: numbers that stand for a feature.
        lr: learning rate of AdamW.
        dropout: of hidden layers.

    """

    # Slower than the others: once a set of modalities, with all that there is to read.
    with_and_without: ClassVar[bool] = False
    # Fewer tell little of what the linear model has not learned.
    least: ClassVar[int] = 1000

    def __init__(
        self,
        kinds: Mapping[str, str],
        forms: Mapping[str, Form],
        tasks: Mapping[str, Task],
        *,
        members: int = 16,
        width: int = 128,
        depth: int = 2,
        bins: int = 16,
        embedding: int = 8,
        lr: float = 2e-3,
        dropout: float = 0.1,
    ) -> None:
        self.members, self.width, self.depth = members, width, depth
        self.bins, self.embedding = bins, embedding
        self.lr, self.dropout = lr, dropout
        super().__init__(kinds, forms, tasks, folds=5, components=30)

    @staticmethod
    def suited(kinds: Mapping[str, str], frozen: Collection[str] = ()) -> list[str]:
        """As of `Layered`, with a modality whose own features it splits: a table."""
        found = Layered.suited(kinds, frozen)
        rooms = kind.kinds()
        own = [n for n in found if rooms[kinds[n]].split and rooms[kinds[n]].scored]
        return found if own else []

    def layer(self, size: int) -> nn.Module:
        return Ensemble(size, self.members, self.width, self.depth, self.bins, self.embedding)

    def learn(self, layer: nn.Module, work: Work) -> None:
        assert isinstance(layer, Ensemble)
        layer.adapt(work.features[: work.problem.rows])
        data = torch.from_numpy(work.features)
        fit, held = work.cut[0]
        # Held-out rows that training rows were folded for are trained on in the end.
        again = bool((held < work.problem.rows).any())
        epochs, weights = self._descend(layer, work, data, fit, held, PART)
        if again and epochs:
            every = np.arange(work.problem.rows)
            _, weights = self._descend(layer, work, data, every, np.arange(0), 1.0, epochs)
        if epochs:
            layer.take(weights)
        else:
            layer.clear()

    def _descend(
        self,
        layer: Ensemble,
        work: Work,
        data: Tensor,
        rows: Array,
        held: Array,
        part: float,
        epochs: int = EPOCHS,
    ) -> tuple[int, dict[str, Tensor]]:
        """Train on some rows.

        Args:
            held: what the number of epochs is chosen on; without any all `epochs` are made.
            part: of the time that is left.

        Returns:
            The epoch that was best, 0 if none was better than the start, and its weights.
        """
        end = time.perf_counter() + part * deadline.left()
        job, k = work.problem, layer.members
        begin = torch.from_numpy(work.begin).float()
        generator = torch.Generator().manual_seed(work.seed)
        weights = layer.start(generator)
        for tensor in weights.values():
            tensor.requires_grad_()
        optimiser = torch.optim.AdamW(weights.values(), self.lr, weight_decay=DECAY)
        size = int(np.clip(len(rows) // BATCHES, 32, LARGEST))

        def loss(own: Array, each: Tensor) -> Tensor:
            """The mean of the members' own losses."""
            logits = (begin[own].unsqueeze(1) + each).flatten(0, 1)
            return job.loss(logits, np.repeat(own, k))

        @torch.no_grad()
        def validated() -> float:
            parts = [
                layer.each(weights, layer.encoded(data[held[i : i + LARGEST]])).mean(1)
                for i in range(0, len(held), LARGEST)
            ]
            return float(job.loss(begin[held] + torch.cat(parts), held))

        best, chosen, kept = validated() if len(held) else np.inf, 0, weights
        for epoch in range(1, epochs + 1):
            begun = time.perf_counter()
            order = rows[torch.randperm(len(rows), generator=generator).numpy()]
            batches = np.array_split(order, -(-len(order) // size))
            for i, batch in enumerate(batches):
                deadline.check()
                if epoch == 1 and i == 2:  # the first one also warms up
                    each = (time.perf_counter() - begun) / 2
                    deadline.refuse(LEAST * each * len(batches) / part)
                given = layer.encoded(data[batch])
                found = loss(batch, layer.each(weights, given, self.dropout, generator))
                optimiser.zero_grad()
                found.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            if not len(held):
                chosen = epoch
                continue
            now = validated()
            if now < best:
                best, chosen = now, epoch
                kept = {name: tensor.detach().clone() for name, tensor in weights.items()}
            seconds = time.perf_counter() - begun
            if epoch - chosen >= PATIENCE or time.perf_counter() + seconds > end:
                break
        return chosen, weights if not len(held) else kept
