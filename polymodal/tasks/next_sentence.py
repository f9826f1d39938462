"""Next sentence: whether a text's second half is its own or another text's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from polymodal.base import lookup
from polymodal.base.spelling import is_missing
from polymodal.contract.batch import Batch, Field
from polymodal.contract.form import Form
from polymodal.contract.task import Array
from polymodal.tasks import _masking, _patchwise, _wordwise
from polymodal.tasks._choosing import Choosing, Chosen

# Texts that are kept to take ends of, and how many characters of them: of a few a network would
# learn which they are, instead of what follows what.
KEPT, CHARACTERS = 4096, 2**21


class NextSentence(Choosing):
    """Binary cross-entropy: half of the texts keep their second half, half get another one's.

    A text is cut in the middle of its words or pieces, and the form's own mark of an end, or else a
    hidden place, stands between; one of a single word is left out. Other halves are ends of
    training texts, which the task keeps, so that what is done to a row does not depend on the rows
    beside it; they are as long as the row's own, where the other text has so much. Paper: "BERT"
    (Devlin et al. 2019, arXiv 1810.04805).

    Args:
        name: of the task.
        modality: the text.
        conditioned: whether all modalities' tokens after the fusion tell, or the text's own alone.
    """

    needs = "a text that a network reads word by word"

    def __init__(self, name: str, *, modality: str, conditioned: bool = False) -> None:
        self.name, self.modality, self.conditioned = name, modality, conditioned
        self.texts: list[Any] = []
        self._whole: dict[str, list[Array]] = {}

    @property
    def ways(self) -> Sequence[str]:
        return ("other", "next")

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.modality,)

    @property
    def asks(self) -> Mapping[str, tuple[str, ...]]:
        return {self.modality: ("steps",)}

    @classmethod
    def pretrains(cls, kinds: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        return _wordwise.named(lookup.name_of(cls), _wordwise.texts(kinds))

    def fit(self, cells: Sequence[Any], details: Mapping[str, Any] | None = None) -> None:
        known = [cell for cell in cells if not is_missing(cell)]
        long = sum(len(str(cell)) for cell in known)
        self.state = {"texts": known[:: max(1, -(-len(known) // KEPT), -(-long // CHARACTERS))]}

    @property
    def state(self) -> dict[str, Any]:
        return {"texts": self.texts}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.texts, self._whole = list(state["texts"]), {}

    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        self.others(forms)
        reader = _patchwise.Reader(width, self.modality, self.conditioned, 1, 2, dropout)
        return Chosen(reader)

    def others(self, forms: Mapping[str, Form]) -> list[Array]:
        """The texts that were kept and have two words or more, as the form encodes them.

        Raises:
            UserError: the model does not read the text, or in a form without words.
        """
        form = _wordwise.worded(self, self.modality, forms, "to cut in two")
        key = form.fingerprint
        if key not in self._whole:
            encoded = [form.encode(text) for text in self.texts]
            self._whole[key] = [one for one in encoded if len(one) > 1]
        return self._whole[key]

    def spoil(self, batch: Batch, forms: Mapping[str, Form], generator: torch.Generator) -> Batch:
        field, others = batch.inputs[self.modality], self.others(forms)
        assert field.mask is not None
        lengths = field.mask.sum(1)
        able = field.present & (lengths > 1) & (len(others) > 0)
        drawn = _masking.uniform(_masking.keys(field, generator), 2, 1)
        own = drawn[:, 0] < 0.5
        ids = forms[self.modality].ids
        assert ids is not None
        chosen = (drawn[:, 1] * len(others)).long().tolist()
        rows = []
        given = field.data.cpu().numpy()
        for i, length in enumerate(lengths.tolist()):
            whole = given[i, :length]
            if able[i]:
                middle = length - length // 2
                mark = np.zeros_like(whole[:1])
                mark[:, 0] = -1 if ids.separator is None else ids.separator
                second = whole[middle:]
                if not own[i]:
                    other = others[chosen[i]]
                    second = other[max(1, len(other) - len(second)) :]
                whole = np.concatenate([whole[:middle], mark, second])[: ids.limit]
            rows.append(whole)
        spoiled = _padded(rows, given, field)
        inputs = {**batch.inputs, self.modality: spoiled}
        target = Field(own.long(), None, able)
        return replace(batch, inputs=inputs, targets={**batch.targets, self.name: target})


def _padded(rows: Sequence[Array], like: Array, field: Field) -> Field:
    """Rows of positions `(length, columns)` as a field that is otherwise like another."""
    longest = max(1, *(len(row) for row in rows))
    data = np.zeros((len(rows), longest, like.shape[2]), like.dtype)
    mask = np.zeros(data.shape[:2], bool)
    for i, row in enumerate(rows):
        data[i, : len(row)], mask[i, : len(row)] = row, True
    place = field.data.device
    return Field(torch.from_numpy(data).to(place), torch.from_numpy(mask).to(place), field.present)
