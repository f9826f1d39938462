"""A linear model of every modality, fitted by convex optimisation, and of their decisions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.contract import kind
from polymodal.contract.batch import Field, Outputs, Tokens
from polymodal.contract.block import Array, Block, Cellwise
from polymodal.contract.form import Form
from polymodal.contract.task import Task
from polymodal.models.experts import _stacking as stacking
from polymodal.models.experts._problem import problem
from polymodal.models.experts._stacking import Stacked
from polymodal.models.solved import Solved
from polymodal.nn.blocks import blocks, presence
from polymodal.prepared.prepare import Prepared


@final
class Linear(Solved):
    """TF-IDF, descriptors and table cells to logits, a linear map each, added up.

    Every modality is fitted alone, and so are a frozen model's outputs of it (`contract.beside`),
    with a strength of regularisation of its own; a second linear
    model weighs their out-of-fold logits (Wolpert, "Stacked generalization", 1992). Both are
    linear, so one map a modality is left: `encode` gives its contribution, less the training mean,
    as one token, and `fuse` adds them. An absent modality therefore counts as the training mean.

    A number of few distinct values is also fitted as classes, and the expected value is used if
    held-out rows say so.

    Args:
        kinds, forms, tasks: as of `Solved`.
        vocabulary: n-grams a text may have at most.
        folds: parts that training rows are cut into for out-of-fold logits.

    """

    embeds: ClassVar[bool] = False
    first: ClassVar[bool] = True
    bias: Tensor

    def __init__(
        self,
        kinds: Mapping[str, str],
        forms: Mapping[str, Form],
        tasks: Mapping[str, Task],
        *,
        vocabulary: int = 100_000,
        folds: int = 5,
    ) -> None:
        super().__init__(kinds, forms, tasks)
        self.folds = folds
        found = {n: blocks(kind.kinds()[kinds[n]], forms[n], vocabulary) for n in kinds}
        self.blocks = nn.ModuleList(block for own in found.values() for block in own)
        # Every block's modality: one that a frozen model reads too has two.
        self.owners = [i for i, own in enumerate(found.values()) for _ in own]
        for i in range(len(self.owners)):
            self.register_buffer(f"weight_{i}", torch.zeros(0, 0))
            self.register_buffer(f"shift_{i}", torch.zeros(0))
        for i in range(len(kinds)):
            self.register_buffer(f"gap_{i}", torch.zeros(0))
        for i in range(len(self.tasks)):
            self.register_buffer(f"values_{i}", torch.zeros(0))
        self.register_buffer("bias", torch.zeros(0))

    @staticmethod
    def suited(kinds: Mapping[str, str], frozen: Collection[str] = ()) -> list[str]:
        return [name for name, one in kinds.items() if kind.kinds()[one].described]

    def encode(self, inputs: Mapping[str, Field]) -> dict[str, Tokens]:
        """Each modality's contribution to all targets' logits, one token `(batch, 1, outputs)`."""
        total: dict[str, Tensor] = {}
        for i, (owner, part) in enumerate(zip(self.owners, self.blocks, strict=True)):
            name = self.names[owner]
            found = part(inputs[name], self._buffer("weight", i)) - self._buffer("shift", i)
            total[name] = total[name] + found if name in total else found
        tokens = {}
        for name, found in total.items():
            present = inputs[name].present.unsqueeze(1)
            tokens[name] = Tokens(torch.where(present, found, 0).unsqueeze(1), present)
        return tokens

    def fuse(
        self,
        tokens: Mapping[str, Tokens],
        absent: Collection[str] = (),
        targets: Mapping[str, Field] | None = None,
        tasks: Collection[str] | None = None,
    ) -> Outputs:
        """The sum of the contributions, as if the modalities in `absent` were missing."""
        total = self.bias
        for i, name in enumerate(self.names):
            known = tokens[name].mask & (name not in absent)
            total = total + torch.where(known, tokens[name].values[:, 0], self._buffer("gap", i))
        logits = {}
        for i, (name, part) in enumerate(
            zip(self.targets, torch.split(total, self._widths(), 1), strict=True)
        ):
            logits[name] = stacking.expected(part, self._buffer("values", i))
        return Outputs(logits)

    def parts(self, tokens: Mapping[str, Tokens], target: int) -> Tensor:
        """One target's contributions `(batch, modalities · width)`, NaN where absent."""
        found = []
        for name in self.names:
            own = torch.split(tokens[name].values[:, 0], self._widths(), 1)[target]
            found.append(torch.where(tokens[name].mask, own, torch.nan))
        return torch.cat(found, 1)

    def fit(
        self,
        inputs: Mapping[str, Cellwise],
        train: Array,
        valid: Array | None,
        targets: Mapping[str, Prepared],
        seed: int,
        groups: Array | None = None,
        memo: dict[Any, Any] | None = None,
    ) -> dict[str, Stacked]:
        """Fit to the training rows; see `Solved.fit`.

        Strengths are chosen on the validation rows, or, where those are too few to tell, on parts
        of the training rows.

        Returns:
            Target -> its models, which a second learner can build on.
        """
        rows = train if valid is None else np.concatenate([train, valid])
        matrices, present = [], []
        for owner, part in zip(self.owners, self.blocks, strict=True):
            assert isinstance(part, Block)
            name = self.names[owner]
            part.learn(inputs[name], train)
            matrices.append(part.matrix(inputs[name], rows))
            present.append(presence(inputs[name], rows))
        found = {}
        for name, size in zip(self.targets, self.sizes, strict=True):
            task = self.tasks[name]
            job = problem(task, targets[name], train, valid, self.folds, seed, groups, memo)
            cut = [x[job.known] for x in matrices], [has[job.known] for has in present]
            found[name] = stacking.fit(job, *cut, size, self.owners)
        self._keep(list(found.values()))
        return found

    def _keep(self, found: list[Stacked]) -> None:
        """Set the buffers: all targets' outputs side by side."""
        for i in range(len(self.owners)):
            weight = np.concatenate([one.weights[i] for one in found], 1)
            self._set(f"weight_{i}", weight)
            self._set(f"shift_{i}", np.concatenate([one.shifts[i] for one in found]))
        for i in range(len(self.names)):
            self._set(f"gap_{i}", np.concatenate([one.gaps[i] for one in found]))
        for i, one in enumerate(found):
            self._set(f"values_{i}", one.values)
        self._set("bias", np.concatenate([one.bias for one in found]))

    def _set(self, name: str, value: Array) -> None:
        setattr(self, name, torch.from_numpy(value).float())

    def _widths(self) -> list[int]:
        """What each target takes of a token: its size, or the number of values it chooses among."""
        return [len(self._buffer("values", i)) or size for i, size in enumerate(self.sizes)]

    def _buffer(self, name: str, i: int) -> Tensor:
        found = getattr(self, f"{name}_{i}")
        assert isinstance(found, Tensor)
        return found
