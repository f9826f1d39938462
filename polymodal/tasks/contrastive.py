"""Contrastive: modalities of one row lie near each other, those of different rows apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Decided, Field, Fused, Tokens
from polymodal.contract.form import Form
from polymodal.contract.metric import Metric
from polymodal.contract.task import Answers, Array, Judged, Pass
from polymodal.contract.unlabelled import Unlabelled
from polymodal.metrics.alignment import Retrieval, ranks, unit

# The similarities' scale of CLIP (at the start and at most) and of SigLIP, with its bias.
START, MOST = 1 / 0.07, 100.0
SIGMOID_START, SIGMOID_BIAS = 10.0, -10.0
CUTOFFS = (1, 5, 10)


def info_nce(x: Tensor, y: Tensor, scale: Tensor | float) -> Tensor:
    """Mean of the cross-entropies of the rows and of the columns of `scale * x @ y.T`.

    Args:
        x, y: `(rows, size)` unit vectors of two modalities of the same rows.

    Paper: "Learning Transferable Visual Models From Natural Language Supervision" (Radford et al.
    2021, arXiv 2103.00020).
    """
    logits = scale * x @ y.T
    own = torch.arange(len(x), device=x.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def sigmoid(x: Tensor, y: Tensor, scale: Tensor | float, bias: Tensor | float) -> Tensor:
    """Minus the log-likelihood of every pair being one row's or not, over the rows.

    Args:
        x, y: as of `info_nce`.

    Paper: "Sigmoid Loss for Language Image Pre-Training" (Zhai et al. 2023, arXiv 2303.15343).
    """
    logits = scale * x @ y.T + bias
    signs = 2 * torch.eye(len(x), dtype=logits.dtype, device=x.device) - 1
    return -F.logsigmoid(signs * logits).sum() / len(x)


class Projections(nn.Module):
    """Each modality's mean token to a unit vector by a layer of its own; the scale of all pairs."""

    def __init__(
        self, names: Sequence[str], width: int, size: int, scale: float, bias: float | None
    ) -> None:
        super().__init__()
        self.names = list(names)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, size, bias=False)) for _ in names
        )
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.bias = None if bias is None else nn.Parameter(torch.tensor(bias))

    def forward(self, fused: Fused, target: Field | None = None) -> Decided:
        """Tensors with a row of the batch each: see `Contrastive`."""
        own = [fused.own[name] for name in self.names]
        vectors = torch.stack(
            [self._unit(layer, tokens) for layer, tokens in zip(self.layers, own, strict=True)], 1
        )
        present = torch.stack([tokens.present() for tokens in own], 1)
        scale = self.log_scale.clamp(max=math.log(MOST)).exp()
        found = {
            "vectors": torch.where(present.unsqueeze(-1), vectors, 0),
            "present": present,
            "scale": scale.expand(len(present)),
        }
        if self.bias is not None:
            found["bias"] = self.bias.expand(len(present))
        return Decided(found)

    def _unit(self, layer: nn.Module, tokens: Tokens) -> Tensor:
        vectors: Tensor = layer(tokens.mean())
        return F.normalize(vectors.float(), dim=-1)


class Contrastive(Unlabelled):
    """Of each pair of modalities, every row's two vectors are to find each other in the batch.

    The loss is the mean over all pairs of modalities that some rows of the batch have; a row that
    lacks one of a pair says nothing about that pair. Its head gives `vectors (batch, modalities,
    size)`, zeros where a modality is absent, `present (batch, modalities)`, and the learned scale
    and bias `(batch,)`. Answers are the vectors, `(modalities, size)` a row, times the root of the
    scale. Validation minimises the mean logarithm of the rank at which a row's own is found.

    Args:
        rule: "info_nce" (CLIP's) or "sigmoid" (SigLIP's, which needs no large batch).
        size: of the vectors.
        modalities: those to compare; none: all that the model reads.
        chunk: rows of a batch whose graph is kept at once: embeddings come first without one, and
            gradients chunk by chunk ("Scaling Deep Contrastive Learning Batch Size under Memory
            Limited Setup", Gao et al. 2021, arXiv 2101.06983). The same loss and gradients in less
            memory and a third more time; batch norms see a chunk. None: the whole batch's.

    Raises:
        UserError: fewer than two modalities.
    """

    primary = "recall_at_1"
    needs = "at least two modalities, to be told which belong together"
    usual: ClassVar[bool] = True
    aligns: ClassVar[bool] = True
    chooses = "mean logarithm of ranks"
    supports = "how alike its modalities are"

    def __init__(
        self,
        name: str,
        *,
        rule: Literal["info_nce", "sigmoid"] = "info_nce",
        size: int = 128,
        modalities: Sequence[str] = (),
        chunk: int | None = None,
    ) -> None:
        if size < 1 or (chunk is not None and chunk < 1):
            raise UserError(
                f"size={size}, chunk={chunk} leave '{name}' nothing to compare",
                expected="1 or more of both",
            )
        self.name, self.rule, self.size, self.chunk = name, rule, size, chunk
        self.modalities = list(modalities)
        self.names = self.modalities

    @classmethod
    def pretrains(cls, kinds: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        return {lookup.name_of(cls): {"modalities": list(kinds)}} if len(kinds) > 1 else {}

    @property
    def state(self) -> dict[str, Any]:
        return {"names": self.names}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.names = list(state["names"])

    # -- learning ------------------------------------------------------------------------------

    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        self.names = [name for name in forms if name in (self.modalities or forms)]
        if len(self.names) < 2 or set(self.modalities) - set(self.names):
            raise UserError(
                f"The task '{self.name}' has nothing to compare",
                expected=", ".join(self.modalities) or self.needs,
                got=", ".join(self.names) or "none of them",
                do="leave the task out, or give the model these modalities",
            )
        if self.rule == "sigmoid":
            return Projections(self.names, width, self.size, SIGMOID_START, SIGMOID_BIAS)
        return Projections(self.names, width, self.size, START, None)

    def loss(self, done: Pass) -> Tensor:
        """Mean over the pairs of modalities that some rows have; 0 (with gradient) without any."""
        vectors, present = done.output["vectors"], done.output["present"]
        each = []
        for one, other in combinations(range(vectors.shape[1]), 2):
            both = present[:, one] & present[:, other]
            if both.any():
                x, y = vectors[both, one], vectors[both, other]
                # Each row has the same: of one row it does not depend on who is absent.
                scale = done.output["scale"][0]
                if self.rule == "sigmoid":
                    each.append(sigmoid(x, y, scale, done.output["bias"][0]))
                else:
                    each.append(info_nce(x, y, scale))
        return torch.stack(each).mean() if each else vectors.sum() * 0

    # -- answers and measures ------------------------------------------------------------------

    def answer(self, done: Pass) -> list[Array]:
        root = done.output["scale"].sqrt()[:, None, None]
        return list((done.output["vectors"] * root).float().cpu().numpy())

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        """How alike a row's modalities are: the mean cosine of its pairs; None without a pair."""
        return {self.name: [_alike(answer) for answer in answers]}

    def criterion(self, answers: Answers, targets: Answers) -> float:
        found = self._found(answers)
        ranks = [np.log(one.first).mean() for one, _ in found]
        return float(np.mean(ranks)) if found else 0.0

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        """Of each direction recall at 1, 5 and 10 and the median rank, and their means over all."""
        found = self._found(answers)
        if not found:
            return {}
        shown = [*(f"recall_at_{k}" for k in CUTOFFS), "median_rank"]
        each = [(one.direction, one.metrics(CUTOFFS), rows) for one, rows in found]
        measures = {
            name: _mean([_of(known[name], rows) for _, known, rows in each]) for name in shown
        }
        for direction, known, rows in each:
            measures |= {f"{direction}: {name}": _of(known[name], rows) for name in shown}
        return measures

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        """A row is right if each of its modalities finds its others first."""
        right = np.ones(len(answers), bool)
        loss, asked = np.zeros((2, len(answers)))
        for one, rows in self._found(answers):
            right[rows] &= one.first == 1
            loss[rows] += np.log(one.first)
            asked[rows] += 1
        return Judged(np.asarray(answers), right, loss / asked.clip(1))

    def support(self, answer: Array, answered: Array) -> float:
        return _alike(answer) or 0.0

    def _found(self, answers: Answers) -> list[tuple[Retrieval, Array]]:
        """What each modality of each pair found of the other, and which rows asked."""
        found: list[tuple[Retrieval, Array]] = []
        if not len(answers):
            return found
        stacked = np.stack(list(answers))
        present = np.abs(stacked).max(-1) > 0
        for one, other in combinations(range(len(self.names)), 2):
            rows = np.flatnonzero(present[:, one] & present[:, other])
            for a, b in ((one, other), (other, one)) if len(rows) else ():
                first = ranks(stacked[rows, a], stacked[rows, b])
                direction = f"{self.names[a]} to {self.names[b]}"
                found.append((Retrieval(direction, len(rows), first, 1 / first), rows))
        return found


def _alike(answer: Array) -> float | None:
    """Mean cosine of a row's present modalities `(modalities, size)`; None if there is no pair."""
    known = unit(answer[np.abs(answer).max(-1) > 0].astype(float))
    pairs = [float(x @ y) for x, y in combinations(known, 2)]
    return float(np.mean(pairs)) if pairs else None


def _of(metric: Metric, rows: Array) -> Metric:
    """A metric of some rows as one of all."""
    return replace(metric, statistic=lambda weights: metric.statistic(weights[:, rows]))


def _mean(metrics: Sequence[Metric]) -> Metric:
    return Metric(
        lambda weights: np.mean([one.statistic(weights) for one in metrics], 0),
        metrics[0].greater_is_better,
    )
