"""Words and their places, nothing more: the raw token stream for a fusion that mixes by itself."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.modalities.text.encoders._words import Summary, WordVectors
from polymodal.modalities.text.forms.words import Words


class Embedding(Encoder):
    """One vector a word: its own, its parts', its shape's and its position's.

    Args:
        form: Words.
        width: of the tokens.
        words: exactly one token a word, as labelling words needs; else a learned token for the
            text as a whole comes first, so that an empty text has one too.
        size: how many words and parts are known at most, the most frequent of the training rows.
        forget: chance that a training word loses its own vector, so that its parts have to do.
        dropout: of the tokens.
    """

    kind = "text"
    form = "words"
    words = True
    steps = True

    def __init__(
        self,
        form: Form,
        width: int,
        *,
        words: bool = False,
        size: int = 20000,
        forget: float = 0.25,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        assert isinstance(form, Words)
        self.vectors = WordVectors(width, size, forget)
        self.positions = nn.Embedding(form.limit, width)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.words, self.summary = words, None if words else Summary(width)
        self.dropout = nn.Dropout(dropout)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.vectors.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """`(batch, words, 2 + s)` int -> Tokens, one a word (and a first one unless `words`)."""
        assert field.mask is not None
        places = torch.arange(field.mask.shape[1], device=field.mask.device)
        values = self.dropout(self.vectors(field) + self.positions(places))
        return self.summary(values, field.mask) if self.summary else Tokens(values, field.mask)
