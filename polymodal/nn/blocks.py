"""Blocks that suit several kinds: few features that are not 0, and fixed descriptors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polymodal.contract.batch import Field
from polymodal.contract.beside import Beside
from polymodal.contract.block import Array, Block, Cellwise
from polymodal.contract.form import Form
from polymodal.contract.kind import Kind
from polymodal.nn.bag import bag

# In standard deviations: one wild number must not decide a row.
LIMIT = 5.0
CHUNK = 512


class Sparse(Block, ABC):
    """A block most of whose features are 0."""

    @abstractmethod
    def entries(self, field: Field) -> tuple[Tensor, Tensor]:
        """Numbers and values of features, `(batch, n)` each; a value of 0 counts for nothing."""

    def forward(self, field: Field, weight: Tensor) -> Tensor:
        numbers, values = self.entries(field)
        return bag(numbers, weight, values.to(weight.dtype))

    def matrix(self, cells: Cellwise, rows: Array) -> Any:
        from scipy import sparse

        parts = []
        for field in chunks(cells, rows):
            numbers, values = (part.numpy() for part in self.entries(field))
            at, place = np.nonzero(values)
            found = values[at, place].astype(np.float64), (at, numbers[at, place])
            parts.append(sparse.csr_matrix(found, (len(values), self.width)))
        return sparse.vstack(parts, "csr")


class Descriptors(Block):
    """Fixed descriptors, standardised and clipped; those that are constant in training are 0.

    Args:
        sections: of how many descriptors each part of them consists, where each is to be of about
            unit length, however many there are; by default all are one part.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, *sections: int) -> None:
        super().__init__()
        self.sections = sections
        self.register_buffer("mean", torch.zeros(0))
        self.register_buffer("scale", torch.zeros(0))

    @property
    def width(self) -> int:
        return len(self.mean)

    def learn(self, cells: Cellwise, rows: Array) -> None:
        data = np.concatenate([f.data[f.present].numpy() for f in chunks(cells, rows)])
        self.mean, self.scale = standard(data)

    def forward(self, field: Field, weight: Tensor) -> Tensor:
        return self._values(field).to(weight.dtype) @ weight

    def matrix(self, cells: Cellwise, rows: Array) -> Any:
        parts = [self._values(field).double().numpy() for field in chunks(cells, rows)]
        return np.concatenate(parts)

    def _values(self, field: Field) -> Tensor:
        values = ((field.data - self.mean) * self.scale).clamp(-LIMIT, LIMIT)
        lengths = [count**0.5 for count in self.sections or (self.width,) for _ in range(count)]
        length = torch.tensor(lengths, dtype=torch.float32, device=values.device)
        return torch.where(field.present.unsqueeze(1), values / length, 0)


class Part(Block):
    """What one of two joined arrays says (`contract.beside`): the model's, or the described one.

    Args:
        form: that joins them.
        which: 0 or 1.
        inner: reads that array.
    """

    def __init__(self, form: Beside, which: int, inner: Block) -> None:
        super().__init__()
        self.form, self.which, self.inner = form, which, inner

    @property
    def width(self) -> int:
        return self.inner.width

    def learn(self, cells: Cellwise, rows: Array) -> None:
        self.inner.learn(_Parts(cells, self), rows)

    def forward(self, field: Field, weight: Tensor) -> Tensor:
        found: Tensor = self.inner(self.of(field), weight)
        return found

    def matrix(self, cells: Cellwise, rows: Array) -> Any:
        return self.inner.matrix(_Parts(cells, self), rows)

    def of(self, field: Field) -> Field:
        """Its part of a field of joined arrays."""
        return self.form.split(field)[self.which]


class _Parts:
    """A part of every cell."""

    def __init__(self, cells: Cellwise, part: Part) -> None:
        self._cells, self._part = cells, part

    def gather(self, rows: Array) -> Field:
        return self._part.of(self._cells.gather(rows))

    def __len__(self) -> int:
        return len(self._cells)


def blocks(room: Kind, form: Form, most: int) -> list[Block]:
    """A modality's features in the blocks that are to have a strength of their own each."""
    if not isinstance(form, Beside):
        return [room.block(form, most)]
    return [Part(form, 1, room.block(form.plain, most)), Part(form, 0, Descriptors())]


def chunks(cells: Cellwise, rows: Array) -> Iterator[Field]:
    """Fields of some hundred rows each."""
    for start in range(0, len(rows), CHUNK):
        yield cells.gather(rows[start : start + CHUNK])


def presence(cells: Cellwise, rows: Array) -> Array:
    """`(rows,)` bool: which rows have the modality."""
    return np.concatenate([field.present.numpy() for field in chunks(cells, rows)])


def standard(data: Array) -> tuple[Tensor, Tensor]:
    """Mean and 1 / standard deviation of each column, gaps left out; 0 where nothing varies."""
    known = ~np.isnan(data)
    count = np.maximum(known.sum(0), 1)
    filled = np.where(known, data, 0).astype(np.float64)
    mean = filled.sum(0) / count
    spread = np.sqrt((np.where(known, filled - mean, 0) ** 2).sum(0) / count)
    # Rounding leaves a constant column a spread of its own.
    varies = spread > 1e-6 * np.maximum(np.abs(mean), 1e-6)
    scale = np.where(varies, 1 / np.where(varies, spread, 1), 0)
    return torch.from_numpy(mean).float(), torch.from_numpy(scale).float()
