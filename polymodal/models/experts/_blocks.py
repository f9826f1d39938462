"""One modality's prepared field as the features of a linear model, by kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polymodal.contract.batch import Field
from polymodal.contract.form import Form
from polymodal.modalities.table.forms.cells import Cells
from polymodal.modalities.text.hashing import SPACE

Array = np.ndarray[Any, Any]

# In standard deviations: one wild number must not decide a row.
LIMIT = 5.0
# An n-gram seen in one row only has nothing to teach about another.
LEAST = 2
CHUNK = 512


class Cellwise(Protocol):
    """What an expert needs of `data.prepare.Prepared`."""

    def gather(self, rows: Array) -> Field: ...

    def __len__(self) -> int: ...


class Block(nn.Module, ABC):
    """Features of about unit length a row, so that one strength suits every kind.

    Attributes:
        width: number of features; known after `learn`.
    """

    @property
    @abstractmethod
    def width(self) -> int: ...

    @abstractmethod
    def learn(self, cells: Cellwise, rows: Array) -> None:
        """Set the buffers from training rows."""

    @abstractmethod
    def forward(self, field: Field, weight: Tensor) -> Tensor:
        """Features times `weight (width, outputs)`: `(batch, outputs)`."""

    @abstractmethod
    def matrix(self, cells: Cellwise, rows: Array) -> Any:
        """The rows' features `(rows, width)` float64, CSR or dense; zeros where absent."""


class Sparse(Block, ABC):
    """A block most of whose features are 0."""

    @abstractmethod
    def entries(self, field: Field) -> tuple[Tensor, Tensor]:
        """Numbers and values of features, `(batch, n)` each; a value of 0 counts for nothing."""

    def forward(self, field: Field, weight: Tensor) -> Tensor:
        numbers, values = self.entries(field)
        return F.embedding_bag(
            numbers, weight, mode="sum", per_sample_weights=values.to(weight.dtype)
        )

    def matrix(self, cells: Cellwise, rows: Array) -> Any:
        from scipy import sparse

        parts = []
        for field in chunks(cells, rows):
            numbers, values = (part.numpy() for part in self.entries(field))
            at, place = np.nonzero(values)
            found = values[at, place].astype(np.float64), (at, numbers[at, place])
            parts.append(sparse.csr_matrix(found, (len(values), self.width)))
        return sparse.vstack(parts, "csr")


class Ngrams(Sparse):
    """Sublinear TF-IDF of unit length, as scikit-learn's `TfidfVectorizer(sublinear_tf=True)`.

    Args:
        size: how many n-grams are known at most: those in the most training rows, two at least.
    """

    ids: Tensor
    idf: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        # Ascending. The last is no id: every search ends inside, and what is not known finds it.
        self.register_buffer("ids", torch.tensor([SPACE]))
        self.register_buffer("idf", torch.zeros(1))

    @property
    def width(self) -> int:
        return len(self.ids)

    def learn(self, cells: Cellwise, rows: Array) -> None:
        counts, total = np.zeros(SPACE, np.int64), 0
        for field in chunks(cells, rows):
            assert field.mask is not None
            # A row holds each of its ids once.
            counts += np.bincount(field.data[..., 0][field.mask].long().numpy(), minlength=SPACE)
            total += int(field.present.sum())
        common = np.argsort(-counts, kind="stable")[: self.size]
        known = np.sort(common[counts[common] >= LEAST])
        idf = np.append(np.log((1 + total) / (1 + counts[known])) + 1, 0)
        self.ids = torch.from_numpy(np.append(known, SPACE))
        self.idf = torch.from_numpy(idf).float()

    def entries(self, field: Field) -> tuple[Tensor, Tensor]:
        assert field.mask is not None
        ids = torch.where(field.mask, field.data[..., 0], SPACE).long()
        place = torch.searchsorted(self.ids, ids)
        known = (self.ids[place] == ids) & field.mask
        counts = torch.where(known, field.data[..., 1], 1)
        weights = torch.where(known, (1 + counts.log()) * self.idf[place], 0)
        return place, F.normalize(weights, dim=1)


class Summary(Block):
    """Fixed descriptors, standardised and clipped; those that are constant in training are 0."""

    mean: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
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
        return torch.where(field.present.unsqueeze(1), values, 0) / max(self.width, 1) ** 0.5


class Table(Sparse):
    """Numbers standardised and clipped, set members as 0 and 1, categories one-hot, gaps marked.

    Args:
        form: says which slot is what.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, form: Cells) -> None:
        super().__init__()
        slots = form.slots
        self.plain = [i for s in slots if s.kind != "category" for i in range(s.start, s.stop)]
        self.numeric = [s.start for s in slots if s.kind == "number"]
        # A set is missing as a whole: its first member tells.
        self.gaps = [s.start for s in slots if s.kind != "category" and s.stop > s.start]
        self.codes = [s.start for s in slots if s.kind == "category"]
        sizes = [s.codes for s in slots if s.kind == "category"]
        marked = len(self.plain) + len(self.gaps)
        self.firsts = (marked + np.cumsum([0, *sizes])[:-1]).tolist()
        self._width = marked + sum(sizes)
        self.columns = len(slots)
        self.register_buffer("mean", torch.zeros(slots[-1].stop))
        self.register_buffer("scale", torch.ones(slots[-1].stop))

    @property
    def width(self) -> int:
        return self._width

    def learn(self, cells: Cellwise, rows: Array) -> None:
        data = np.concatenate([f.data[f.present].numpy() for f in chunks(cells, rows)])
        self.mean[self.numeric], self.scale[self.numeric] = standard(data[:, self.numeric])

    def entries(self, field: Field) -> tuple[Tensor, Tensor]:
        scaled = ((field.data - self.mean) * self.scale).clamp(-LIMIT, LIMIT).nan_to_num(0)
        gaps = field.data[:, self.gaps].isnan().to(scaled.dtype)
        chosen = field.data[:, self.codes].long() + torch.tensor(
            self.firsts, dtype=torch.int64, device=scaled.device
        )
        values = torch.cat([scaled[:, self.plain], gaps, torch.ones_like(chosen).float()], 1)
        values = torch.where(field.present.unsqueeze(1), values, 0) / self.columns**0.5
        fixed = torch.arange(len(self.plain) + len(self.gaps), device=scaled.device)
        return torch.cat([fixed.expand(len(scaled), -1), chosen], 1), values


def block(kind: str, form: Form, size: int) -> Block:
    """The block for a modality of this kind."""
    if kind == "text":
        return Ngrams(size)
    if kind == "table":
        assert isinstance(form, Cells)
        return Table(form)
    return Summary()


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
