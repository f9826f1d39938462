"""Order: parts of a clip, a sound or a series are shuffled; the model says how."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Field
from polymodal.contract.form import Form
from polymodal.tasks import _masking, _patchwise, _wordwise
from polymodal.tasks._choosing import Choosing, Chosen


class TemporalOrder(Choosing):
    """Which permutation of equal parts a row was brought into; all are equally likely.

    A row is cut into `parts` of equal length, what is left over stays at its end; a row with fewer
    steps than parts is left out. The permutation that changes nothing is one of them, so chance is
    1 / permutations. Paper: "Self-supervised Spatiotemporal Learning via Video Clip Order
    Prediction" (Xu et al. 2019).

    Args:
        name: of the task.
        modality: what is shuffled.
        parts: 2 to 5, which are 2 to 120 permutations.
        conditioned: whether all modalities' tokens after the fusion tell, or those of the
            modality's own encoder alone.
    """

    needs = "clips, sounds or series that a network reads step by step"

    def __init__(
        self, name: str, *, modality: str, parts: int = 3, conditioned: bool = True
    ) -> None:
        if not 2 <= parts <= 5:
            raise UserError(f"parts={parts} cannot be put in order", expected="2 to 5")
        self.name, self.modality, self.parts = name, modality, parts
        self.conditioned = conditioned
        self.permutations = list(itertools.permutations(range(parts)))

    @property
    def ways(self) -> Sequence[str]:
        return ["".join(str(part + 1) for part in one) for one in self.permutations]

    @classmethod
    def pretrains(cls, kinds: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        return _wordwise.named(lookup.name_of(cls), _patchwise.able(kinds, "timed"))

    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        if self.modality not in forms or not forms[self.modality].timed:
            raise UserError(
                f"The task '{self.name}' has no steps of '{self.modality}' to put in order",
                expected=self.needs,
                got=f"a model of {', '.join(forms) or 'nothing'}",
                do="leave the task out, or give the modality an encoder that reads such a form",
            )
        size = len(self.permutations)
        reader = _patchwise.Reader(width, self.modality, self.conditioned, 1, size, dropout)
        return Chosen(reader)

    def spoil(self, batch: Batch, forms: Mapping[str, Form], generator: torch.Generator) -> Batch:
        field = batch.inputs[self.modality]
        length = field.data.shape[1]
        lengths = torch.full_like(field.present, length, dtype=torch.long)
        if field.mask is not None:
            lengths = field.mask.sum(1)
        able = field.present & (lengths >= self.parts)
        keys = _masking.keys(field, generator)
        drawn = _masking.uniform(keys, 1, 1)[:, 0] * len(self.permutations)
        way = torch.where(able, drawn.long(), 0)
        table = torch.tensor(self.permutations, device=way.device)
        index = shuffled(lengths, table[way], length)
        index = torch.where(able.unsqueeze(1), index, torch.arange(length, device=way.device))
        wide = index.view(*index.shape, *[1] * (field.data.dim() - 2)).expand_as(field.data)
        inputs = {
            **batch.inputs,
            self.modality: Field(field.data.gather(1, wide), field.mask, field.present),
        }
        target = Field(way, None, able)
        return replace(batch, inputs=inputs, targets={**batch.targets, self.name: target})


def shuffled(lengths: Tensor, orders: Tensor, length: int) -> Tensor:
    """Which step `(batch, length)` comes to each place.

    Args:
        lengths: `(batch,)`, steps of each row.
        orders: `(batch, parts)`: which part comes first, second, ...
    """
    parts = orders.shape[1]
    size = (lengths // parts).unsqueeze(1)
    places = torch.arange(length, device=lengths.device).expand(len(lengths), -1)
    part = places // size.clamp(min=1)
    taken = orders.gather(1, part.clamp(max=parts - 1)) * size + places % size.clamp(min=1)
    return torch.where(part < parts, taken, places)
