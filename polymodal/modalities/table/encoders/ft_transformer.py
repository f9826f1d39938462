"""FT-Transformer: each cell of a row a token, and a Transformer over them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.table.encoders._categories import Categories
from polymodal.modalities.table.encoders._cellwise import cellwise
from polymodal.modalities.table.encoders._numbers import Numbers
from polymodal.modalities.table.forms.cells import Cells
from polymodal.nn.attention import Attention


@final
class FtTransformer(Encoder):
    """A row's [CLS] token after `depth` pre-norm blocks of attention over its cells.

    Gorishniy et al. 2021, "Revisiting Deep Learning Models for Tabular Data" (arXiv 2106.11959):
    a number's token is its standardised value times a vector of the column, a category's its
    embedding, each plus a bias of the column; the first block's attention has no norm before it,
    and feed-forward layers are ReGLU of 4/3 of the width. Here numbers may have bins too (see
    `Numbers`; Gorishniy et al. 2022), a set is the sum of its members' embeddings, and a missing
    cell is a position that nothing attends to. Of the paper's default size it is with hidden 192,
    heads 8, bins 0.

    Args:
        form: fitted `table/cells`.
        width: of what goes out.
        hidden: width of the blocks, a multiple of `heads`.
        depth: blocks.
        heads: attention heads.
        bins: quantile bins a number is cut into.
        columns: whether a token a column goes out behind [CLS]'s, masked where its cell is
            missing, in the order numbers, categories, sets.
        attention_dropout: of attention's weights.
        dropout: inside the feed-forward layers.
    """

    kind = "table"
    form = "cells"

    def __init__(
        self,
        form: Cells,
        width: int,
        *,
        hidden: int = 64,
        depth: int = 3,
        heads: int = 8,
        bins: int = 16,
        columns: bool = False,
        attention_dropout: float = 0.2,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise UserError(f"depth={depth} is too small", expected="1 or more")
        self.columns = columns
        self.tokens = _Tokens(form, hidden, bins)
        self.blocks = nn.ModuleList(
            _Block(hidden, heads, attention_dropout, dropout, first=i == 0) for i in range(depth)
        )
        self.project = nn.Sequential(nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, width))

    def adapt(self, fields: Iterable[Field]) -> None:
        self.tokens.numbers.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, d)` -> Tokens `(batch, 1, width)`, or `(batch, 1 + columns, width)`."""
        values, mask = self.tokens(field.data)
        for i, block in enumerate(self.blocks, 1):
            alone = i == len(self.blocks) and not self.columns
            values = block(values, mask, alone)
        return Tokens(self.project(values), mask[:, : values.shape[1]])


class _Tokens(nn.Module):
    """The feature tokenizer: `(batch, d)` -> `(batch, 1 + columns, hidden)` and their mask."""

    def __init__(self, form: Cells, hidden: int, bins: int) -> None:
        super().__init__()
        numbers = [s.start for s in form.slots if s.kind == "number"]
        self.sets = [(s.start, s.stop) for s in form.slots if s.kind == "set"]
        self.numbers = Numbers(numbers, bins)
        self.categories = Categories(form.slots, hidden)
        self.members = nn.ParameterList(_spread(stop - start, hidden) for start, stop in self.sets)
        self.weight = _spread(len(numbers), 1 + bins, hidden)
        self.bias = _spread(len(form.slots), hidden)
        self.cls = _spread(hidden)

    def forward(self, data: Tensor) -> tuple[Tensor, Tensor]:
        known = self.numbers(data)
        # That a number is missing its mask says.
        known = torch.cat([known[..., :1], known[..., 2:]], -1)
        numbers = self.numbers.columns, known, self.weight
        sets = zip(self.sets, self.members, strict=True)
        values, mask = cellwise(data, numbers, self.categories, sets)
        cells = values + self.bias
        first = self.cls.to(cells.dtype).expand(data.shape[0], 1, -1)
        real = torch.ones(data.shape[0], 1, dtype=torch.bool, device=data.device)
        return torch.cat([first, cells], 1), torch.cat([real, mask], 1)


class _Block(nn.Module):
    """Attention and a ReGLU layer (Shazeer 2020), each added to what comes in."""

    def __init__(
        self, width: int, heads: int, attention_dropout: float, dropout: float, first: bool
    ) -> None:
        super().__init__()
        self.norm = nn.Identity() if first else nn.LayerNorm(width)
        self.attention = Attention(width, heads, bias=True, dropout=attention_dropout)
        inner = int(width * 4 / 3)
        self.before = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * inner))
        self.after = nn.Sequential(nn.Dropout(dropout), nn.Linear(inner, width))

    def forward(self, values: Tensor, mask: Tensor, alone: bool) -> Tensor:
        """`(batch, length, width)` -> the same, or `(batch, 1, width)` if only the first is asked
        for."""
        normed = self.norm(values)
        asked = slice(0, 1) if alone else slice(None)
        values = values[:, asked] + self.attention(normed[:, asked], normed, mask)
        kept, gate = self.before(values).chunk(2, -1)
        return values + self.after(kept * F.relu(gate))


def _spread(*shape: int) -> nn.Parameter:
    """Uniform within ±1/√width, as the paper starts."""
    return nn.Parameter((2 * torch.rand(shape) - 1) * shape[-1] ** -0.5)
