"""The field of `forms/text/words` to one vector a word."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from polymodal.contract.batch import Field, Tokens
from polymodal.modalities.text.encoders._vocabulary import Vocabulary, count_rows
from polymodal.modalities.text.hashing import SHAPES, SPACE
from polymodal.nn.bag import bag


class WordVectors(nn.Module):
    """A word's vector: the sum of its own, its parts' and its shape's.

    Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information". Words and parts that
    the training rows do not share count for nothing, so that a rare word is what its parts say.

    Args:
        width: of the vectors.
        size: how many words and parts are known at most.
        forget: chance that a training word loses its own vector, so that its parts have to do.
    """

    def __init__(self, width: int, size: int, forget: float) -> None:
        super().__init__()
        self.vocabulary = Vocabulary(size)
        self.vectors = nn.Embedding(size + 1, width, padding_idx=0)
        self.shapes = nn.Embedding(SHAPES, width, padding_idx=0)
        self.forget = forget
        for table in (self.vectors, self.shapes):
            nn.init.normal_(table.weight, std=0.1)
            with torch.no_grad():
                table.weight[0] = 0

    def adapt(self, fields: Iterable[Field]) -> None:
        """Learn the vocabulary from training batches."""
        rows = torch.zeros(SPACE, dtype=torch.int64)
        for field in fields:
            count_rows(_ids(field), rows)
        self.vocabulary.learn(rows)
        self.vocabulary.trim(self.vectors)

    def forward(self, field: Field) -> Tensor:
        """`(batch, words, 2 + s)` int -> `(batch, words, width)`; column 0 < 0 = word hidden."""
        assert field.mask is not None
        numbers = self.vocabulary(_ids(field))
        if self.training:
            kept = torch.rand(numbers.shape[:2], device=numbers.device) >= self.forget
            numbers = torch.cat([numbers[..., :1] * kept.unsqueeze(-1), numbers[..., 1:]], -1)
        summed = bag(numbers.flatten(0, 1), self.vectors.weight, padding=0)
        shapes = torch.where(field.mask, field.data[..., 1], 0).long()
        return summed.view(*shapes.shape, -1) + self.shapes(shapes)


class Summary(nn.Module):
    """A learned token put before a text's words, so that an empty text has one too."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(0.1 * torch.randn(width))

    def forward(self, values: Tensor, mask: Tensor) -> Tokens:
        """`(batch, length, width)`, `(batch, length)` -> Tokens one longer."""
        first = self.vector.to(values.dtype).expand(values.shape[0], 1, -1)
        real = mask.new_ones(mask.shape[0], 1)
        return Tokens(torch.cat([first, values], 1), torch.cat([real, mask], 1))


def _ids(field: Field) -> Tensor:
    """`(batch, words, 1 + s)` ids of the words and their parts; none for padding and hidden words.

    Padding is zeros by contract, yet what stands there must not matter.
    """
    assert field.mask is not None
    visible = field.mask & (field.data[..., 0] >= 0)
    ids = torch.cat([field.data[..., :1], field.data[..., 2:]], -1)
    return torch.where(visible.unsqueeze(-1), ids, 0)
