"""Matching: whether the modalities of a row belong together, told from pairs that hardly differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.base import lookup
from polymodal.contract.batch import Batch, Field, Outputs
from polymodal.contract.form import Form
from polymodal.contract.metric import Metric
from polymodal.contract.supervised import LinearHead
from polymodal.contract.task import Answers, Array, Judged, Pass
from polymodal.contract.unlabelled import Unlabelled
from polymodal.metrics._weighted import mean

# In an answer's second place, of a row for which there is no other to exchange with.
NONE = -1.0


def negatives(similar: Tensor, same: Tensor, generator: torch.Generator) -> Tensor:
    """For each row another one to take a modality from, drawn from softmax(similarity).

    Args:
        similar: `(rows, rows)`: how alike row i is to the modality of row j.
        same: `(rows, rows)` bool: what must not be taken: equal content, and what is absent. A
            row's own never is.

    Returns:
        `(rows,)` row numbers; -1 where nothing is left to take.
    """
    own = torch.eye(len(same), dtype=torch.bool, device=same.device)
    logits = similar.float().masked_fill(same | own, -torch.inf)
    possible = logits.isfinite().any(1)
    chances = torch.where(possible.unsqueeze(1), logits, 0).softmax(1).cpu()
    drawn = torch.multinomial(chances, 1, generator=generator).squeeze(1).to(same.device)
    return torch.where(possible, drawn, -1)


class Matching(Unlabelled):
    """Binary cross-entropy of rows as they are and of the same with one modality of another row.

    The other row is drawn in the batch, the likelier the more alike it is, and never one whose
    cell is equal. Which modality is exchanged is drawn for every batch. A task beside it that
    compares modalities (`contrastive`) says what is alike; without one the modalities' mean tokens
    do. The fusion has to tell, so it should be one in which modalities meet. A row with nothing to
    exchange says nothing. Answers are the probabilities of the row and of its false copy, or -1.

    Papers: "Align before Fuse" (Li et al. 2021, arXiv 2107.07651); "BLIP" (Li et al. 2022, arXiv
    2201.12086).
    """

    primary = "accuracy"
    chooses = "log loss"
    spoils = True
    mines = True
    needs = "at least two modalities, to be told which belong together"
    supports = "the probability that its modalities belong together"

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def pretrains(cls, kinds: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        return {lookup.name_of(cls): {}} if len(kinds) > 1 else {}

    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        return LinearHead(width, 1, views, dropout, None, None)

    # -- learning ------------------------------------------------------------------------------

    def mined(self, batch: Batch, found: Outputs, generator: torch.Generator) -> Batch:
        """All rows twice: as they are, and with one modality of another row."""
        names, rows = list(batch.inputs), len(batch)
        which = names[int(torch.randint(len(names), (), generator=generator))]
        here = batch.inputs[which].present
        others = torch.stack([batch.inputs[n].present for n in names if n != which] or [here])
        taken = negatives(
            alike(found, names.index(which), names),
            equal(batch.inputs[which]) | ~here.unsqueeze(0),
            generator,
        )
        told = here & others.any(0)
        known = told & (taken >= 0)
        order = torch.cat([torch.arange(rows, device=here.device), taken.clamp(min=0)])
        twice = torch.arange(rows, device=here.device).repeat(2)
        inputs = {
            name: _take(field, order if name == which else twice)
            for name, field in batch.inputs.items()
        }
        data = torch.cat([torch.ones(rows), torch.zeros(rows)]).to(here.device)
        target = Field(data, None, torch.cat([known, known]))
        targets = {name: _take(field, twice) for name, field in batch.targets.items()}
        where = batch.rows[twice.to(batch.rows.device)]
        return replace(batch, inputs=inputs, targets={**targets, self.name: target}, rows=where)

    def loss(self, done: Pass) -> Tensor:
        """Mean over the pairs that can be told; 0 (with gradient) if none can."""
        assert done.target is not None
        logits, target = done.output.float().squeeze(-1), done.target
        each = F.binary_cross_entropy_with_logits(logits, target.data, reduction="none")
        return torch.where(target.present, each, 0).sum() / target.present.sum().clamp(min=1)

    # -- answers and measures ------------------------------------------------------------------

    def answer(self, done: Pass) -> list[Array]:
        """`(2,)` of each row that was given, though twice as many were asked about."""
        assert done.target is not None
        chances = done.output.float().squeeze(-1).sigmoid()
        own, false = chances.unflatten(0, (2, -1))
        known = done.target.present[: len(own)]
        return list(torch.stack([own, torch.where(known, false, NONE)], 1).cpu().numpy())

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        """The probability that a row's modalities belong together."""
        return {self.name: [float(answer[0]) for answer in answers]}

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        found = _pairs(answers)
        rows = np.flatnonzero(found[:, 1] >= 0)
        if not len(rows):
            return {}
        right = (found[rows] > 0.5) == [True, False]
        loss = _loss(found[rows])

        def over(values: Array, better: bool = True) -> Metric:
            return Metric(lambda w: mean(values)(w[:, rows]), better)

        return {
            self.primary: over(right.mean(1)),
            "preferred": over((found[rows, 0] > found[rows, 1]).astype(float)),
            "log_loss": over(loss, False),
        }

    def criterion(self, answers: Answers, targets: Answers) -> float:
        found = _pairs(answers)
        known = found[found[:, 1] >= 0]
        return float(_loss(known).mean()) if len(known) else 0.0

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        found = _pairs(answers)
        false = np.where(found[:, 1] < 0, 0.0, found[:, 1])
        pairs = np.stack([found[:, 0], false], 1)
        return Judged(pairs > 0.5, (pairs[:, 0] > 0.5) & (false < 0.5), _loss(pairs))

    def support(self, answer: Array, answered: Array) -> float:
        return float(answer[0])


def alike(found: Outputs, which: int, names: Sequence[str]) -> Tensor:
    """How alike each row's other modalities are to each row's modality number `which`.

    `(rows, rows)`: by the vectors of a task that compares modalities, times its scale; else by the
    cosines of the modalities' mean tokens.
    """
    assert found.fused is not None
    vectors, scale = torch.stack([found.fused.own[name].mean() for name in names], 1), 1.0
    vectors = F.normalize(vectors.float(), dim=-1)
    for output in found.logits.values():
        compared = output.get("vectors") if isinstance(output, dict) else None
        if compared is not None and compared.shape[1] == len(names):
            vectors, scale = compared, output["scale"][0]
    rest = [i for i in range(len(names)) if i != which]
    asking = vectors[:, rest].sum(1)
    return scale * asking @ vectors[:, which].T


def equal(field: Field) -> Tensor:
    """`(rows, rows)` bool: which rows have the same content."""
    data = field.data.flatten(1)
    if field.mask is not None:
        within = field.mask.view(*field.mask.shape, *[1] * (field.data.dim() - 2))
        data = torch.where(within, field.data, 0).flatten(1)
        data = torch.cat([data, field.mask.to(data.dtype)], 1)
    # Equal rows have equal bits, whatever they stand for: NaN is as much a content as any.
    keys = np.ascontiguousarray(data.cpu().numpy())
    _, codes = np.unique(keys.view(np.uint8).reshape(len(keys), -1), axis=0, return_inverse=True)
    found = torch.from_numpy(codes.reshape(-1)).to(field.data.device)
    return found.unsqueeze(0) == found.unsqueeze(1)


def _take(field: Field, rows: Tensor) -> Field:
    mask = None if field.mask is None else field.mask[rows]
    return Field(field.data[rows], mask, field.present[rows])


def _pairs(answers: Answers) -> Array:
    return np.asarray(answers, float).reshape(-1, 2)


def _loss(pairs: Array) -> Array:
    """`(rows,)` mean binary cross-entropy of a pair `(rows, 2)` of a true and a false row."""
    own, false = pairs.clip(1e-7, 1 - 1e-7).T
    return np.asarray(-(np.log(own) + np.log1p(-false)) / 2)
