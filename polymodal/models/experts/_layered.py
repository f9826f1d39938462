"""What experts on top of a linear model share: features, linear start, one layer a target."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.contract import kind
from polymodal.contract.batch import Field, Outputs, Tokens
from polymodal.contract.beside import Beside
from polymodal.contract.block import Array, Cellwise
from polymodal.contract.form import Form
from polymodal.contract.task import Task
from polymodal.models.experts._convex import Fold, minimise
from polymodal.models.experts._problem import Problem, problem
from polymodal.models.experts._stacking import Stacked, choosing
from polymodal.models.experts.linear import Linear
from polymodal.models.solved import Solved
from polymodal.nn.blocks import chunks
from polymodal.prepared.prepare import Prepared


@dataclass(frozen=True)
class Work:
    """What a layer is fitted to.

    Attributes:
        features: `(rows, features)` float64, NaN where missing; training rows first.
        begin: `(rows, size)` logits that the layer adds to, of models that had not seen the row.
        cut: what is chosen on: positions to fit on, positions held out.
    """

    features: Array
    problem: Problem
    begin: Array
    cut: list[Fold]
    seed: int


class Layered(Solved):
    """A linear model of texts and table cells, and what a layer of another sort adds to it.

    The layer starts from the linear logits, out of fold for training rows, and sees table cells,
    descriptors and the linear model's parts. Of a modality that a frozen model reads too
    (`contract.beside`) it sees principal components of that model's outputs in place of any
    descriptors, and starts from its linear logits too. A missing cell is NaN, and so is a missing
    modality.

    Args:
        kinds, forms, tasks: as of `Solved`.
        folds: parts that training rows are cut into for out-of-fold logits.
        components: principal components of a frozen model's outputs.
        layers: one a target: features `(batch, features)` float64 to what is added to its logits.

    """

    embeds: ClassVar[bool] = False
    start: Tensor

    def __init__(
        self,
        kinds: Mapping[str, str],
        forms: Mapping[str, Form],
        tasks: Mapping[str, Task],
        folds: int,
        components: int,
    ) -> None:
        super().__init__(kinds, forms, tasks)
        self.folds, self.components = folds, components
        rooms = kind.kinds()
        frozen = {name: form for name, form in forms.items() if isinstance(form, Beside)}
        scored = {n: one for n, one in kinds.items() if rooms[one].scored or n in frozen}
        self.linear = Linear(scored, forms, tasks, folds=folds) if scored else None
        self.raw = [n for n, one in kinds.items() if rooms[one].split or n in frozen]
        reduced = {str(i): frozen[n] for i, n in enumerate(self.raw) if n in frozen}
        self.reduced = nn.ModuleDict({i: Components(f, components) for i, f in reduced.items()})
        for i in range(len(self.raw)):
            self.register_buffer(f"centre_{i}", torch.zeros(0))
        self.register_buffer("start", torch.zeros(sum(self.sizes)))
        self.layers = nn.ModuleList(self.layer(size) for size in self.sizes)

    @abstractmethod
    def layer(self, size: int) -> nn.Module:
        """A target's layer, with nothing learned, for so many logits."""

    @abstractmethod
    def learn(self, layer: nn.Module, work: Work) -> None:
        """Fit a target's layer."""

    @staticmethod
    def suited(kinds: Mapping[str, str], frozen: Collection[str] = ()) -> list[str]:
        """Of modalities and their kinds those that it is worth reading unasked.

        Thousands of descriptors for many classes cost more than they give.
        """
        rooms = {name: kind.kinds()[one] for name, one in kinds.items()}
        known = {name for name, room in rooms.items() if room.scored or name in frozen}
        readable = [name for name, room in rooms.items() if room.described and name in known]
        return readable if any(rooms[n].split or n in frozen for n in readable) else []

    def encode(self, inputs: Mapping[str, Field]) -> dict[str, Tokens]:
        """Each modality as one token `(batch, 1, n)`: its own features, then its linear scores.

        A gap in a table is NaN in the token too.
        """
        scores = self.linear.encode(inputs) if self.linear is not None else {}
        tokens = {}
        for name in self.names:
            parts = [self._own(name, inputs[name])] if name in self.raw else []
            parts += [scores[name].values[:, 0]] if name in scores else []
            present = inputs[name].present.unsqueeze(1)
            tokens[name] = Tokens(torch.cat(parts, 1).unsqueeze(1), present)
        return tokens

    def fuse(
        self,
        tokens: Mapping[str, Tokens],
        absent: Collection[str] = (),
        targets: Mapping[str, Field] | None = None,
        tasks: Collection[str] | None = None,
    ) -> Outputs:
        """Linear logits plus the layer's, as if the modalities in `absent` were missing."""
        raw, scores = [], {}
        for name in self.names:
            known = tokens[name].mask & (name not in absent)
            width = len(self._centre(name)) if name in self.raw else 0
            values = tokens[name].values
            own, rest = torch.split(values, [width, values.shape[2] - width], 2)
            raw.append(torch.where(known, own[:, 0], torch.nan))
            scores[name] = Tokens(rest, known)
        logits = {}
        linear = None if self.linear is None else self.linear.fuse(scores).logits
        starts = torch.split(self.start.expand(known.shape[0], -1), self.sizes, 1)
        for i, (name, layer) in enumerate(zip(self.targets, self.layers, strict=True)):
            features, begin = raw, starts[i]
            if self.linear is not None and linear is not None:
                begin = linear[name]
                features = [*raw, self.linear.parts(scores, i), begin]
            more = layer(torch.cat(features, 1).double())
            logits[name] = begin + more.to(begin.dtype)
        return Outputs(logits)

    def fit(
        self,
        inputs: Mapping[str, Cellwise],
        train: Array,
        valid: Array | None,
        targets: Mapping[str, Prepared],
        seed: int,
        groups: Array | None = None,
        memo: dict[Any, Any] | None = None,
    ) -> None:
        """Fit to the training rows; see `Solved.fit`."""
        rows = train if valid is None else np.concatenate([train, valid])
        raw = [self._learn(name, inputs[name], train, rows) for name in self.raw]
        stacked: dict[str, Stacked] = {}
        if self.linear is not None:
            stacked = self.linear.fit(inputs, train, valid, targets, seed, groups, memo)
        starts = []
        for name, size, layer in zip(self.targets, self.sizes, self.layers, strict=True):
            task = self.tasks[name]
            job = problem(task, targets[name], train, valid, self.folds, seed, groups, memo)
            features = [x[job.known] for x in raw]
            starts.append(_constant(job, size))
            begin = np.tile(starts[-1], (len(job.known), 1))
            if stacked:
                begin = stacked[name].output().numpy()
                features += [stacked[name].parts(), begin]
            cut = list(choosing(job.rows, len(job.known), job.folds))
            every = np.concatenate(features, 1, dtype=np.float64)
            self.learn(layer, Work(every, job, begin, cut, seed))
        self.start = torch.from_numpy(np.concatenate(starts)).float()

    def _learn(self, name: str, cells: Cellwise, train: Array, rows: Array) -> Array:
        """Set a modality's centre; the rows' own features."""
        reduced = self._reduced(name)
        if reduced is not None:
            reduced.learn(cells, train)
        parts = [(self._values(name, f), f.present) for f in chunks(cells, train)]
        data = np.concatenate([values[present].numpy() for values, present in parts])
        known = ~np.isnan(data)
        mean = np.where(known, data, 0).sum(0, dtype=np.float64) / np.maximum(known.sum(0), 1)
        setattr(self, f"centre_{self.raw.index(name)}", torch.from_numpy(mean).float())
        found = [
            torch.where(f.present.unsqueeze(1), self._own(name, f), torch.nan).numpy()
            for f in chunks(cells, rows)
        ]
        return np.concatenate(found)

    def _own(self, name: str, field: Field) -> Tensor:
        values = self._values(name, field) - self._centre(name)
        return torch.where(field.present.unsqueeze(1), values, 0)

    def _values(self, name: str, field: Field) -> Tensor:
        """Its own features `(batch, n)`: what its form says, or principal components."""
        reduced = self._reduced(name)
        return field.data if reduced is None else reduced(field)

    def _reduced(self, name: str) -> Components | None:
        found = dict(self.reduced.items()).get(str(self.raw.index(name)))
        assert found is None or isinstance(found, Components)
        return found

    def _centre(self, name: str) -> Tensor:
        found = getattr(self, f"centre_{self.raw.index(name)}")
        assert isinstance(found, Tensor)
        return found


class Components(nn.Module):
    """The first principal components of a frozen model's outputs, of those of training rows."""

    mean: Tensor
    axes: Tensor

    def __init__(self, form: Beside, most: int) -> None:
        super().__init__()
        self.form, self.most = form, most
        self.register_buffer("mean", torch.zeros(form.width))
        self.register_buffer("axes", torch.zeros(form.width, min(most, form.width)))

    def learn(self, cells: Cellwise, rows: Array) -> None:
        """Set the axes: of the largest variance first, each so that its largest entry is above 0,
        scaled to a variance of 1."""
        fields = (self.form.split(f)[0] for f in chunks(cells, rows))
        data = np.concatenate([f.data[f.present].double().numpy() for f in fields])
        mean = data.mean(0) if len(data) else np.zeros(self.form.width)
        variance, axes = np.linalg.eigh((data - mean).T @ (data - mean) / max(1, len(data)))
        first = np.argsort(-variance, kind="stable")[: self.axes.shape[1]]
        axes = axes[:, first] * np.sign(axes[np.abs(axes).argmax(0), np.arange(len(axes))])[first]
        # What does not vary says nothing.
        known = variance[first] > 1e-9 * max(variance.max(), 1e-12)
        scale = np.where(known, 1 / np.sqrt(np.where(known, variance[first], 1)), 0)
        self.mean = torch.from_numpy(mean).float()
        self.axes = torch.from_numpy(axes * scale).float()

    def forward(self, field: Field) -> Tensor:
        """A field of joined arrays to `(batch, components)`."""
        data: Tensor = self.form.split(field)[0].data
        return (data - self.mean) @ self.axes


def _constant(job: Problem, size: int) -> Array:
    """The best logits `(size,)` that are the same for every row."""
    train = np.arange(job.rows)
    nothing = np.zeros((job.rows, 0))
    return minimise(nothing, lambda z: job.loss(z, train), size, 1.0).bias
