"""A recurrent network over hashed words, trained from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from torch import nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.modalities.text.encoders._words import Summary, WordVectors
from polymodal.modalities.text.forms.words import Words
from polymodal.nn.recurrent import Lstm as Network


class Lstm(Encoder):
    """Long short-term memory over words' vectors; a token is the state at its word.

    Hochreiter and Schmidhuber 1997; in both directions Graves and Schmidhuber 2005. It reads word
    after word, so that its time grows with the length of texts, not with its square.

    Args:
        form: Words.
        width: of the tokens.
        words: exactly one token a word, as labelling words needs; else a learned token for the
            text as a whole comes first, so that an empty text has one too.
        hidden: numbers of the state in each direction.
        depth: layers.
        bidirectional: whether the text is read backwards as well.
        size: how many words and parts are known at most, the most frequent of the training rows.
        forget: chance that a training word loses its own vector, so that its parts have to do.
        dropout: of word vectors, between layers and of the states.
    """

    kind = "text"
    form = "words"
    words = True
    steps: ClassVar[bool] = True

    def __init__(
        self,
        form: Form,
        width: int,
        *,
        words: bool = False,
        hidden: int = 96,
        depth: int = 1,
        bidirectional: bool = True,
        size: int = 20000,
        forget: float = 0.25,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        assert isinstance(form, Words)
        self.vectors = WordVectors(width, size, forget)
        self.words, self.summary = words, None if words else Summary(width)
        self.dropout = nn.Dropout(dropout)
        self.network = Network(width, hidden, depth, bidirectional, dropout)
        self.project = nn.Linear(self.network.width, width)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.vectors.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """`(batch, words, 2 + s)` int -> Tokens, one a word (and a first one unless `words`)."""
        assert field.mask is not None
        tokens = Tokens(self.dropout(self.vectors(field)), field.mask)
        if self.summary:
            tokens = self.summary(tokens.values, tokens.mask)
        states = self.network(tokens.values, tokens.mask)
        return Tokens(self.project(self.dropout(states)), tokens.mask)
