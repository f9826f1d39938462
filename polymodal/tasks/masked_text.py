"""Masked text: some words or pieces are hidden, and the model says which stood there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Field
from polymodal.contract.form import Form, Ids
from polymodal.contract.task import Pass
from polymodal.tasks import _masking, _wordwise
from polymodal.tasks._wordwise import BUCKETS, Vocabulary, Wordwise


class MaskedText(Wordwise):
    """Of a text's words or pieces some are chosen; of these most are hidden, some replaced.

    80 % of the chosen are hidden, 10 % replaced at random (by any id of the form's; where these
    have no bound by another word of the same text), 10 % stay as they are; the loss is on the
    chosen alone. Paper: "BERT: Pre-training of Deep Bidirectional Transformers" (Devlin et al.
    2019, arXiv 1810.04805). Neighbours: `masked_patches`, `masked_cells`, `next_token`.

    Args:
        name: of the task.
        modality: the text.
        share: of the words that is chosen, above 0 and below 1.
        conditioned: whether tokens after the fusion tell, which know the other modalities; else
            those of the text's own encoder.
        buckets: outputs where the form's ids are hashes: they are taken modulo it.
    """

    spoils = True
    usual: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        *,
        modality: str,
        share: float = 0.15,
        conditioned: bool = True,
        buckets: int = BUCKETS,
    ) -> None:
        if not 0 < share < 1 or buckets < 2:
            raise UserError(
                f"share={share}, buckets={buckets} leave '{name}' nothing to tell",
                expected="a share above 0 and below 1, and at least 2 buckets",
            )
        self.name, self.modality, self.share = name, modality, share
        self.conditioned, self.buckets = conditioned, buckets

    @classmethod
    def pretrains(cls, kinds: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        return _wordwise.named(lookup.name_of(cls), _wordwise.texts(kinds))

    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        return Vocabulary(width, self.modality, self.size(forms), self.conditioned, dropout)

    def spoil(self, batch: Batch, forms: Mapping[str, Form], generator: torch.Generator) -> Batch:
        field, ids = batch.inputs[self.modality], self.ids(forms)
        data, chosen = hidden(field, ids, self.share, generator)
        truth = torch.where(chosen, field.data[..., 0].long(), 0) % self.size(forms)
        inputs = {**batch.inputs, self.modality: Field(data, field.mask, field.present)}
        target = Field(truth, chosen, chosen.any(1))
        return replace(batch, inputs=inputs, targets={**batch.targets, self.name: target})

    def sought(self, done: Pass) -> tuple[Tensor, Tensor]:
        assert done.target is not None and done.target.mask is not None
        return done.target.mask, done.target.data


def hidden(
    field: Field, ids: Ids, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A text's field with some words hidden and some replaced, and which were chosen.

    Returns:
        data like the field's, and `(batch, length)` bool.
    """
    data, mask = field.data, field.mask
    assert mask is not None
    # What augmentation has hidden is not known any more, and marks are no words.
    among = mask & field.present.unsqueeze(1) & (data[..., 0] >= 0) & (data[..., 1] > 0)
    length = data.shape[1]
    keys = _masking.keys(field, generator)
    chosen = _masking.chosen(among, share, _masking.uniform(keys, length, 1))
    fate = _masking.uniform(keys, length, 2)
    gone = chosen & (fate < _masking.HIDDEN)
    other = chosen & ~gone & (fate < _masking.HIDDEN + _masking.RANDOM)
    drawn = _masking.uniform(keys, length, 3)
    changed = data.clone()
    telling = list(ids.telling)
    if ids.size is None:
        changed = torch.where(other.unsqueeze(-1), _elsewhere(data, among, drawn, telling), changed)
    else:
        instead = (drawn * ids.size).to(data.dtype)
        changed[..., 0] = torch.where(other, instead, changed[..., 0])
    changed[..., 0] = torch.where(gone, -1, changed[..., 0])
    blank = gone | other if ids.size is not None else gone
    if telling:
        changed[..., telling] = torch.where(blank.unsqueeze(-1), 0, changed[..., telling])
    return changed, chosen


def _elsewhere(data: Tensor, among: Tensor, drawn: Tensor, telling: list[int]) -> Tensor:
    """At every place another word of the same row, drawn by `(batch, length)` in [0, 1)."""
    count = among.sum(1, keepdim=True)
    # Words first, in their order; the place of the n-th of them.
    order = (~among).long().argsort(dim=1, stable=True)
    places = order.gather(1, (drawn * count).long().clamp(max=data.shape[1] - 1))
    columns = [0, *telling]
    found = data.clone()
    index = places.unsqueeze(-1).expand(-1, -1, len(columns))
    found[..., columns] = data[..., columns].gather(1, index)
    return found
