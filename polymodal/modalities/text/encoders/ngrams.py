"""TF-IDF weighted n-grams through a small network: strong where single words decide."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.modalities.text.encoders._vocabulary import Vocabulary, count_rows
from polymodal.modalities.text.hashing import SPACE
from polymodal.nn.bag import bag
from polymodal.nn.masked import all_real

# Weights have length 1 a text, so single steps move little; this brings them to a network's scale.
GAIN = 8.0


class Ngrams(Encoder):
    """One token a text: a bag of n-grams, sublinear TF-IDF weights, one hidden layer.

    The weights are scikit-learn's `TfidfVectorizer(sublinear_tf=True)`; the bag is that of Joulin
    et al. 2017, "Bag of Tricks for Efficient Text Classification". An empty text, or one without a
    known n-gram, gives a finite token too.

    Args:
        form: text/ngrams.
        width: of the token.
        size: how many n-grams are known at most: those in the most training rows, two at least.
        hidden: width of the bag.
        dropout: of the bag.
    """

    kind = "text"
    form = "ngrams"

    idf: Tensor

    def __init__(
        self,
        form: Form,
        width: int,
        *,
        size: int = 50000,
        hidden: int = 64,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.vocabulary = Vocabulary(size)
        self.register_buffer("idf", torch.zeros(size + 1))
        self.vectors = nn.Embedding(size + 1, hidden, padding_idx=0)
        # Near nothing at first, so that an n-gram counts for what it has been found to mean.
        nn.init.normal_(self.vectors.weight, std=0.02)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.output = nn.Sequential(nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width))

    def adapt(self, fields: Iterable[Field]) -> None:
        """Learn which n-grams are frequent and how rare each is (scikit-learn's smoothed idf)."""
        rows, total = torch.zeros(SPACE, dtype=torch.int64), 0
        for field in fields:
            assert field.mask is not None
            count_rows(torch.where(field.mask, field.data[..., 0], 0), rows)
            total += int(field.present.sum())
        seen = self.vocabulary.learn(rows)
        idf = torch.log((1 + total) / (1 + seen.double())) + 1
        self.idf = torch.where(seen > 0, idf, 0).to(self.idf)
        self.vocabulary.trim(self.vectors)

    def forward(self, field: Field) -> Tokens:
        """`(batch, n, 2)` -> Tokens `(batch, 1, width)`, one token a text."""
        numbers, weights = self.weigh(field)
        summed = bag(numbers, self.vectors.weight, weights, padding=0)
        values = self.output(GAIN * summed + self.bias)
        return all_real(values.unsqueeze(1))

    def weigh(self, field: Field) -> tuple[Tensor, Tensor]:
        """Numbers and TF-IDF weights of a batch's n-grams, `(batch, n)` each; length 1 a text."""
        assert field.mask is not None
        numbers = self.vocabulary(torch.where(field.mask, field.data[..., 0], 0))
        counts = torch.where(numbers > 0, field.data[..., 1], 1).float()
        weights = (1 + counts.log()) * self.idf[numbers]
        return numbers, F.normalize(weights, dim=1)
