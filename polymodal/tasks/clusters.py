"""Clusters: stretches of a sound or a series are hidden, and told by the sort of each part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Decided, Field, Fused
from polymodal.contract.form import Form, Patches
from polymodal.contract.task import Array, Pass
from polymodal.contract.unlabelled import Adapting
from polymodal.tasks import _masking, _patchwise, _wordwise
from polymodal.tasks._named import Named

# Parts that clusters are made of at most.
MOST = 20_000


class Clusters(Named):
    """Cross-entropy of the clusters that hidden parts of a row belong to.

    A row is cut into parts of `frames` steps, each told by its mean; k-means of the training rows'
    parts, made before the first step, gives the clusters. Stretches of `span` parts are hidden, and
    the loss is on hidden parts alone. Paper: "HuBERT" (Hsu et al. 2021, arXiv 2106.07447), its
    first round. Neighbours: `masked_patches` tells the numbers themselves.

    Args:
        name: of the task.
        modality: what is hidden.
        clusters: how many.
        frames: steps of a part.
        span: parts of a stretch.
        share: of the parts that is hidden, about, as stretches may overlap.
        conditioned: whether all modalities' tokens after the fusion tell, or those of the
            modality's own encoder alone.
    """

    spoils = True
    needs = "sounds or series that a network reads step by step"

    def __init__(
        self,
        name: str,
        *,
        modality: str,
        clusters: int = 50,
        frames: int = 4,
        span: int = 5,
        share: float = 0.5,
        conditioned: bool = True,
    ) -> None:
        if clusters < 2 or frames < 1 or span < 1 or not 0 < share < 1:
            raise UserError(
                f"clusters={clusters}, frames={frames}, span={span}, share={share} leave '{name}' "
                "nothing to tell",
                expected="2 clusters or more, frames and span from 1, a share between 0 and 1",
            )
        self.name, self.modality, self.clusters, self.frames = name, modality, clusters, frames
        self.span, self.share, self.conditioned = span, share, conditioned

    @classmethod
    def pretrains(cls, kinds: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        return _wordwise.named(lookup.name_of(cls), _patchwise.able(kinds, "features"))

    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        form = forms.get(self.modality)
        if form is None or form.features is None:
            raise UserError(
                f"The task '{self.name}' has no steps of '{self.modality}' to hide",
                expected=self.needs,
                got=f"a model of {', '.join(forms) or 'nothing'}",
                do="leave the task out, or give the modality an encoder that reads such a form",
            )
        count = self.clusters
        reader = _patchwise.Reader(width, self.modality, self.conditioned, 1, count, dropout)
        return Sorts(reader, self.modality, self.frames, form.features)

    def spoil(self, batch: Batch, forms: Mapping[str, Form], generator: torch.Generator) -> Batch:
        field = batch.inputs[self.modality]
        cut = Patches((self.frames,), field.data[0, 0].numel())
        parts, there = means(field, self.frames)
        chances = _masking.uniform(_masking.keys(field, generator), there.shape[1], 1)
        starts = _masking.chosen(there, self.share / self.span, chances)
        gone = starts.clone()
        for step in range(1, min(self.span, there.shape[1])):
            gone[:, step:] |= starts[:, :-step]
        gone &= there
        inputs = {**batch.inputs, self.modality: _patchwise.filled(field, cut, gone)}
        target = Field(parts, gone, gone.any(1))
        return replace(batch, inputs=inputs, targets={**batch.targets, self.name: target})

    def loss(self, done: Pass) -> Tensor:
        """Mean over the hidden parts; 0 (with gradient) if there is none."""
        told, codes, chosen = self._told(done)
        if not chosen.any():
            return told.sum() * 0
        return F.cross_entropy(told[chosen], codes[chosen])

    def answer(self, done: Pass) -> list[Array]:
        told, codes, chosen = self._told(done)
        logs = told.log_softmax(-1)
        places = torch.arange(chosen.shape[1], device=chosen.device).expand_as(chosen)
        own = logs.gather(-1, codes.unsqueeze(-1))[..., 0]
        stacked = torch.stack([places.to(own), codes.to(own), logs.argmax(-1).to(own), own], -1)
        rows = torch.split(stacked[chosen].double(), chosen.sum(1).tolist())
        return [row.detach().cpu().numpy() for row in rows]

    def _told(self, done: Pass) -> tuple[Tensor, Tensor, Tensor]:
        target, output = done.target, done.output
        assert target is not None and target.mask is not None
        return output["told"].float(), output["codes"], target.mask


class Sorts(Adapting):
    """Of each part of a row logits of its cluster, and, where it is known, which it is."""

    mean: Tensor
    deviation: Tensor
    centres: Tensor

    def __init__(
        self, reader: _patchwise.Reader, modality: str, frames: int, channels: int
    ) -> None:
        super().__init__()
        self.reader, self.modality, self.frames = reader, modality, frames
        count = reader.size
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        # Until there are clusters, the first one holds all.
        self.register_buffer("centres", torch.zeros(count, channels))

    def adapt(self, fields: Iterable[Field]) -> None:
        from sklearn.cluster import KMeans

        found = []
        for field in fields:
            parts, there = means(field, self.frames)
            found.append(parts[there])
        parts = torch.cat(found)
        parts = parts[:: max(1, -(-len(parts) // MOST))].double()
        if not len(parts):
            return
        mean, deviation = parts.mean(0), parts.std(0, correction=0)
        deviation = torch.where(deviation > 0, deviation, 1.0)
        scaled = ((parts - mean) / deviation).numpy()
        count = min(len(self.centres), len(np.unique(scaled, axis=0)))
        fitted = KMeans(count, n_init=1, random_state=0).fit(scaled)
        # Fewer parts than clusters: the first one again, which never wins.
        centres = fitted.cluster_centers_[list(range(count)) + [0] * (len(self.centres) - count)]
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)
        self.centres.copy_(torch.from_numpy(centres))

    def forward(self, fused: Fused, target: Field | None = None) -> Decided:
        if target is None:
            told = self.reader(fused, [0])
            return Decided(
                {"told": told, "codes": torch.zeros_like(told[..., 0], dtype=torch.long)}
            )
        scaled = (target.data.float() - self.mean) / self.deviation
        codes = torch.cdist(scaled, self.centres.expand(len(scaled), -1, -1)).argmin(-1)
        return Decided({"told": self.reader(fused, [target.data.shape[1]]), "codes": codes})


def means(field: Field, frames: int) -> tuple[Tensor, Tensor]:
    """Each part's mean step `(batch, parts, channels)`, and which parts have one."""
    cut = Patches((frames,), field.data[0, 0].numel())
    values, real = _patchwise.shaped(field, cut)
    parts = _patchwise.cut(values, cut.sides)
    weight = _patchwise.cut(real.unsqueeze(-1).float(), cut.sides)
    count = weight.sum(2)
    return (parts * weight).sum(2) / count.clamp(min=1), count[..., 0] > 0
