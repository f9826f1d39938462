"""Ordinal regression: classes in an order, one score a row, a cumulative link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.base.spelling import canonical, is_missing
from polymodal.contract.batch import Decided, Field, Fused
from polymodal.contract.form import Form
from polymodal.contract.metric import Metric
from polymodal.contract.scoring import Build, Family, Sides
from polymodal.contract.task import Answers, Array, Judged, Pass, Task
from polymodal.table import references

LEAST = 1e-6


class Rank(Form):
    """A level's place in the order."""

    kind, dtype, ragged = "target", "int64", False

    def __init__(self, *, levels: Sequence[str]) -> None:
        self.levels = list(levels)

    def encode(self, cell: Any) -> Array:
        return np.array(self.levels.index(canonical(cell)), np.int64)

    def decode(self, array: Array) -> str:
        return self.levels[int(array)]


class Cumulative(nn.Module):
    """P(level <= k) = sigmoid(threshold k - score), thresholds rising."""

    def __init__(self, width: int, levels: int, dropout: float) -> None:
        super().__init__()
        self.dropout, self.score = nn.Dropout(dropout), nn.Linear(width, 1)
        self.first, self.gaps = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(levels - 2))

    def forward(self, fused: Fused, target: Field | None = None) -> Decided:
        gaps = torch.cat([self.first, F.softplus(self.gaps)])
        return Decided(gaps.cumsum(0) - self.score(self.dropout(fused.pooled)))


class Ordinal(Task):
    """A rating of few levels in the order of their numbers; answers are probabilities.

    Paper: "Regression models for ordinal data" (McCullagh 1980).
    """

    primary = "mean_distance"
    supports = "the probability of its answer"

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def family(cls) -> Family:
        return Family(references.number, _scored)

    def fit(self, cells: Sequence[Any], details: Mapping[str, Any] | None = None) -> None:
        known = [canonical(cell) for cell in cells if not is_missing(cell)]
        levels = sorted(set(known), key=float)
        self.state = {"levels": levels, "counts": [known.count(level) for level in levels]}

    @property
    def state(self) -> dict[str, Any]:
        return {"levels": self.levels, "counts": self.counts}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.levels, self.counts = list(state["levels"]), list(state["counts"])
        self.classes, self.form = self.levels, Rank(levels=self.levels)

    def is_unseen(self, cell: Any) -> bool:
        return not is_missing(cell) and canonical(cell) not in self.levels

    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        return Cumulative(width, len(self.levels), dropout)

    def loss(self, done: Pass) -> Tensor:
        assert done.target is not None
        own = _shares(done.output).gather(1, done.target.data.unsqueeze(1)).squeeze(1)
        losses = torch.where(done.target.present, -own.clamp(min=LEAST).log(), 0)
        return losses.sum() / done.target.present.sum().clamp(min=1)

    def answer(self, done: Pass) -> list[Array]:
        return list(_shares(done.output).cpu().numpy())

    def constant(self, like: Answers) -> list[Array]:
        shares = np.asarray(self.counts, float) / sum(self.counts)
        return [shares for _ in like]

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        return {self.name: [self.levels[int(answer.argmax())] for answer in answers]}

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        if not len(targets):
            return {}
        apart = np.abs(np.stack(list(answers)).argmax(1) - np.stack(list(targets)))
        return {self.primary: Metric(lambda w: w @ apart / w.sum(1), greater_is_better=False)}

    def criterion(self, answers: Answers, targets: Answers) -> float:
        losses = self.judged(answers, targets).loss if len(targets) else np.zeros(1)
        return float(losses.mean())

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        p, y = np.stack(list(answers)), np.stack(list(targets))
        best = p.argmax(1)
        return Judged(best, best == y, -np.log(p[np.arange(len(y)), y].clip(LEAST)))

    def support(self, answer: Array, answered: Array) -> float:
        return float(answer[answered.argmax()])


def _shares(output: Tensor) -> Tensor:
    """Cumulative logits `(batch, levels - 1)` to probabilities `(batch, levels)`."""
    below = output.float().sigmoid()
    ends = torch.zeros_like(below[:, :1]), torch.ones_like(below[:, :1])
    return torch.cat([ends[0], below, ends[1]], 1).diff(dim=1)


def _scored(sides: Sides) -> tuple[Build, dict[str, Any]]:
    """How many levels predictions from anywhere are away."""
    apart = {
        name: np.abs(np.array(cells, float) - sides.references)
        for name, cells in sides.predictions.items()
    }

    def build(names: Sequence[str]) -> dict[str, Metric]:
        found = np.concatenate([apart[name] for name in names])
        return {Ordinal.primary: Metric(lambda w: w @ found / w.sum(1), greater_is_better=False)}

    return build, {}
