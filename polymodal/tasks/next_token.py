"""Next token: every word or piece of a text is told from those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.form import Form
from polymodal.contract.task import Pass
from polymodal.tasks import _wordwise
from polymodal.tasks._wordwise import BUCKETS, Vocabulary, Wordwise


class NextToken(Wordwise):
    """Cross-entropy of each word or piece but the first, told by the token before it.

    Nothing is hidden: it takes an encoder whose tokens depend on nothing that comes after them, and
    reads them before any fusion. Its perplexity is the exponential of the mean over all places that
    have a place before them. Paper: "Improving Language Understanding by Generative Pre-Training"
    (Radford et al. 2018). Neighbours: `masked_text` sees both sides.

    Args:
        name: of the task.
        modality: the text.
        buckets: outputs where the form's ids are hashes: they are taken modulo it.
    """

    needs = "a text and an encoder whose tokens depend on nothing after them"

    def __init__(self, name: str, *, modality: str, buckets: int = BUCKETS) -> None:
        if buckets < 2:
            raise UserError(f"buckets={buckets} tell nothing apart", expected="2 or more")
        self.name, self.modality, self.buckets = name, modality, buckets

    @classmethod
    def pretrains(cls, kinds: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        return _wordwise.named(lookup.name_of(cls), _wordwise.texts(kinds))

    @property
    def asks(self) -> Mapping[str, tuple[str, ...]]:
        return {self.modality: ("steps", "causal")}

    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        return Vocabulary(width, self.modality, self.size(forms), False, dropout)

    def sought(self, done: Pass) -> tuple[Tensor, Tensor]:
        """What stands at the next place, of places that are followed by one."""
        field = done.inputs[self.modality]
        assert field.mask is not None
        ids = field.data[..., 0].long()
        # What augmentation has hidden is not known any more.
        known = field.mask & field.present.unsqueeze(1) & (ids >= 0)
        last = torch.zeros_like(known[:, :1])
        chosen = torch.cat([field.mask[:, :-1] & known[:, 1:], last], 1)
        truth = torch.cat([ids[:, 1:], torch.zeros_like(ids[:, :1])], 1)
        return chosen, torch.where(chosen, truth, 0) % len(done.output["weight"])
