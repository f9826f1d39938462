"""A small Transformer over hashed words, trained from scratch."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.modalities.text.encoders._words import Summary, WordVectors
from polymodal.modalities.text.forms.words import Words
from polymodal.nn.attention import Attention


class Transformer(Encoder):
    """A convolution over neighbouring words, then pre-norm Transformer blocks.

    Vaswani et al. 2017 with the norm first (Xiong et al. 2020). The convolution tells the order of
    words (Chu et al. 2021, "Conditional Positional Encodings"), so there is no table of positions
    and no longest text. Good where words are to be labelled or their order matters; where single
    words decide, `ngrams` is faster and as good.

    Args:
        form: Words.
        width: of the tokens, a multiple of `heads`.
        words: exactly one token a word, as labelling words needs; else a learned token for the
            text as a whole comes first, so that an empty text has one too.
        depth: blocks.
        heads: attention heads.
        kernel: words that the convolution sees, an odd number.
        size: how many words and parts are known at most, the most frequent of the training rows.
        forget: chance that a training word loses its own vector, so that its parts have to do.
        dropout: of word vectors and of what each layer adds.
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
        depth: int = 2,
        heads: int = 4,
        kernel: int = 3,
        size: int = 20000,
        forget: float = 0.25,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        assert isinstance(form, Words)
        self.vectors = WordVectors(width, size, forget)
        self.words, self.summary = words, None if words else Summary(width)
        self.dropout = nn.Dropout(dropout)
        self.neighbours = _Neighbours(width, kernel, dropout)
        self.blocks = nn.ModuleList(_Block(width, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.vectors.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """`(batch, words, 2 + s)` int -> Tokens, one a word (and a first one unless `words`)."""
        assert field.mask is not None
        tokens = Tokens(self.dropout(self.vectors(field)), field.mask)
        if self.summary:
            tokens = self.summary(tokens.values, tokens.mask)
        values = self.neighbours(tokens.values, tokens.mask)
        for block in self.blocks:
            values = block(values, tokens.mask)
        return Tokens(self.norm(values), tokens.mask)


class _Neighbours(nn.Module):
    """A convolution over words, added to them."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Conv1d(width, width, kernel, padding="same")
        self.after = nn.Sequential(nn.GELU(), nn.Dropout(dropout))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        # Zeros at the padding, as beyond the end: a row's result must not depend on its batch.
        near = self.norm(x) * mask.unsqueeze(-1)
        return x + self.after(self.mix(near.transpose(1, 2)).transpose(1, 2))


class _Block(nn.Module):
    """Attention and a feed-forward layer, each added to what comes in."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.forwards = nn.Sequential(
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = x + self.dropout(self.attention(normed, normed, mask))
        return x + self.dropout(self.forwards(self.norm2(x)))
