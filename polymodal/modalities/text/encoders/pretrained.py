"""A pretrained Hugging Face text model, trained on or frozen."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.modalities.text.forms.pretrained import TEXT
from polymodal.modalities.text.forms.pretrained import Pretrained as Given
from polymodal.modalities.text.hashing import SHAPES
from polymodal.nn.backbone import Backbone, Frozen, projection


class Pretrained(Encoder):
    """A pretrained model's tokens: of one that is trained on, or of a frozen one's kept outputs.

    Args:
        form: text/pretrained; its `tune` says which, and of a frozen model `pool` whether there is
            one token a text or one a word.
        width: of the tokens; None: the model's own.
        words: one token a word, as labelling words needs; else one a piece, or as `pool` says.
        dropout: of a tuned model's tokens, of a frozen one's outputs.
    """

    kind = "text"
    form = "pretrained"
    bare = True
    words = True

    def __init__(
        self, form: Form, width: int | None, *, words: bool = False, dropout: float = 0.1
    ) -> None:
        super().__init__()
        assert isinstance(form, Given)
        if words and not form.tune and form.pool != "words":
            raise UserError(
                "The pooled output of a frozen model has no vector for each word to label",
                expected="form: {pool: words}",
                got=f"pool: {form.pool}",
                do="set it in the recipe, beside `pretrained`",
            )
        self.words, self.width = words, width or form.size
        self.frozen = None if form.tune else Frozen(form.size, width, dropout)
        self.tuned = _Tuned(form.path, width, words, dropout) if form.tune else None

    def adapt(self, fields: Iterable[Field]) -> None:
        if self.frozen is not None:
            self.frozen.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """`(batch, pieces, 3)` int or `(batch, length, size)` float -> Tokens `(batch, length,
        width)`."""
        assert field.mask is not None
        if self.tuned is not None:
            tokens: Tokens = self.tuned(field)
            return tokens
        assert self.frozen is not None
        return Tokens(self.frozen(field), field.mask)


class _Tuned(nn.Module):
    """A model's last hidden state, projected, with each word's shape added.

    The shape brings back the capitals that an uncased model does not see.
    """

    def __init__(self, path: str, width: int | None, words: bool, dropout: float) -> None:
        super().__init__()
        self.backbone = Backbone(path, TEXT)
        self.norm = nn.LayerNorm(self.backbone.width)
        self.project = projection(self.backbone.width, width)
        self.shapes = nn.Embedding(SHAPES, width or self.backbone.width, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.by_word = words

    def forward(self, field: Field) -> Tokens:
        """`(batch, pieces, 3)` int -> Tokens, one a word or one a piece."""
        assert field.mask is not None
        data = torch.where(field.mask.unsqueeze(-1), field.data, 0).long()
        # Pieces that augmentation has hidden (below 0) are blanks that nothing attends to.
        attended = field.mask & (data[..., 0] >= 0)
        # Softmax over nothing is not a number: a row without a piece attends to its padding.
        attended = attended | ~attended.any(1, keepdim=True)
        values = self.backbone(input_ids=data[..., 0].clamp(min=0), attention_mask=attended.long())
        shapes, mask = data[..., 2], field.mask
        if self.by_word:
            values, shapes, mask = _by_word(values, data)
        values = self.project(self.norm(values)) + self.shapes(shapes)
        return Tokens(self.dropout(values), mask)


def _by_word(values: Tensor, data: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means over each word's pieces `(batch, pieces, width)`, the words' shapes, and their mask.

    A text has a piece for each of its words at least: there is room for all.
    """
    batch, words, width = values.shape
    numbers, shapes = data[..., 1].clamp(max=words), data[..., 2]
    index = numbers.unsqueeze(-1).expand(-1, -1, width)
    sums = values.new_zeros(batch, words + 1, width).scatter_add(1, index, values)
    ones = torch.ones_like(values[..., 0])
    counts = values.new_zeros(batch, words + 1).scatter_add(1, numbers, ones)
    means = sums / counts.clamp(min=1).unsqueeze(-1)
    of_words = shapes.new_zeros(batch, words + 1).scatter(1, numbers, shapes)
    mask = torch.arange(1, words + 1, device=data.device) <= numbers.amax(1, keepdim=True)
    return means[:, 1:], of_words[:, 1:], mask
