"""Masked patches: parts of a picture, a sound, a clip or a series are hidden, and told again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Field
from polymodal.contract.form import Form, Patches
from polymodal.contract.metric import Metric
from polymodal.contract.task import Answers, Array, Judged, Pass
from polymodal.contract.unlabelled import Unlabelled
from polymodal.metrics import summed
from polymodal.tasks import _masking, _patchwise, _wordwise

# What an answer's columns are.
PLACE, ERRORS, SPREAD, NUMBERS = range(4)


class MaskedPatches(Unlabelled):
    """Squared error of hidden patches, each less its own mean and over its own deviation.

    Hidden are three quarters of the patches of pictures and of spectrograms, two fifths of those of
    series and, of clips, nine tenths of the tubes: what the form declares, unless options say
    else. Each is filled with the mean of what is left of the row, and the loss is on hidden ones
    alone. Of a series each channel counts by itself. An answer is `(patches, 4)`: the place, the
    sum of squared errors, that about the mean (0), how many numbers.

    Paper: "Masked Autoencoders Are Scalable Vision Learners" (He et al. 2022, arXiv 2111.06377).
    Neighbours: `clusters` tells what sort hidden frames are of.

    Args:
        name: of the task.
        modality: what is hidden.
        share: of the patches that is hidden; none: what the form declares.
        sides: of a patch along the array's first axes; none: what the form declares.
        conditioned: whether what is told is told from all modalities' tokens after the fusion;
            else from those of the modality's own encoder.
    """

    spoils = True
    usual: ClassVar[bool] = True
    primary = "r2"
    needs = "pictures, sounds, clips or series that a network reads as they are"
    supports = "how much of what was hidden it explains"

    def __init__(
        self,
        name: str,
        *,
        modality: str,
        share: float | None = None,
        sides: Sequence[int] = (),
        conditioned: bool = True,
    ) -> None:
        if (share is not None and not 0 < share < 1) or any(side < 1 for side in sides):
            raise UserError(
                f"share={share}, sides={list(sides)} leave '{name}' nothing to tell",
                expected="a share above 0 and below 1, and sides of 1 or more",
            )
        self.name, self.modality, self.share = name, modality, share
        self.sides, self.conditioned = list(sides), conditioned

    @classmethod
    def pretrains(cls, kinds: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        return _wordwise.named(lookup.name_of(cls), _patchwise.able(kinds, "patches"))

    def patches(self, forms: Mapping[str, Form]) -> Patches:
        """As the form declares, but for what the options say."""
        found = _patchwise.of(forms, self.modality, self.name, self.needs)
        if self.sides and len(self.sides) != len(found.sides):
            raise UserError(
                f"The patches of '{self.modality}' have {len(found.sides)} sides",
                expected=f"sides such as {list(found.sides)}",
                got=str(self.sides),
            )
        sides = tuple(self.sides) or found.sides
        return replace(found, sides=sides, share=self.share or found.share)

    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        cut = self.patches(forms)
        size, axes = math.prod(cut.sides) * cut.channels, len(cut.sides)
        reader = _patchwise.Reader(width, self.modality, self.conditioned, axes, size, dropout)
        return _patchwise.Places(reader, axes)

    def spoil(self, batch: Batch, forms: Mapping[str, Form], generator: torch.Generator) -> Batch:
        """The target is NaN where a patch sticks out of the array, and masked where it is seen."""
        field, patches = batch.inputs[self.modality], self.patches(forms)
        values, real = _patchwise.shaped(field, patches)
        parts = _patchwise.cut(values, patches.sides)
        inside = _patchwise.cut(real.unsqueeze(-1).byte(), patches.sides)[..., 0] > 0
        grid = _patchwise.grid(values.shape[:-1], patches.sides)
        gone = hidden(inside.any(2), grid, patches, _masking.keys(field, generator))
        target = _patchwise.normalised(parts, inside, patches.apart)
        target = torch.where(inside.unsqueeze(-1), target, torch.nan)
        told = Field(target.view(len(target), *grid, *target.shape[2:]), gone, gone.any(1))
        inputs = {**batch.inputs, self.modality: _patchwise.filled(field, patches, gone)}
        return replace(batch, inputs=inputs, targets={**batch.targets, self.name: told})

    def loss(self, done: Pass) -> Tensor:
        """Mean over the numbers of hidden patches; 0 (with gradient) if none is hidden."""
        errors, _, numbers, chosen = self._sums(done)
        return errors[chosen].sum() / numbers[chosen].sum().clamp(min=1)

    def answer(self, done: Pass) -> list[Array]:
        errors, spread, numbers, chosen = self._sums(done)
        places = torch.arange(chosen.shape[1], device=chosen.device).expand_as(chosen)
        rows = torch.stack([places.to(errors), errors, spread, numbers.to(errors)], -1)
        found = torch.split(rows[chosen].double(), chosen.sum(1).tolist())
        return [row.detach().cpu().numpy() for row in found]

    def _sums(self, done: Pass) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of each patch `(batch, patches)`: squared errors, those of 0, numbers; and the hidden."""
        target = done.target
        assert target is not None and target.mask is not None
        wanted = target.data.view(*target.mask.shape, -1)
        known = ~wanted.isnan()
        wanted = torch.where(known, wanted, 0)
        errors = torch.where(known, done.output.float() - wanted, 0) ** 2
        return errors.sum(-1), (wanted**2).sum(-1), known.sum(-1), target.mask

    # -- answers and measures ------------------------------------------------------------------

    def constant(self, like: Answers) -> list[Array]:
        """Each patch's mean: 0."""
        found = [answer.copy() for answer in like]
        for answer in found:
            answer[:, ERRORS] = answer[:, SPREAD]
        return found

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        """A row's mean squared error, in deviations of each patch; None where none was hidden."""
        return {self.name: [error if count else None for error, _, count in _rows(answers)]}

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        """R² against each patch's mean, and the mean squared error."""
        sums = _sums(answers)
        if not sums[:, 2].sum() or not sums[:, 1].sum():
            return {}
        return {
            "r2": summed.explained(sums[:, 0], sums[:, 1]),
            "mse": summed.mean(sums[:, 0], sums[:, 2], greater_is_better=False),
        }

    def criterion(self, answers: Answers, targets: Answers) -> float:
        sums = _sums(answers).sum(0)
        return float(sums[0] / max(1.0, sums[2]))

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        """A row is right if more than half of what was hidden is explained."""
        rows = _rows(answers)
        errors = np.array([error for error, _, _ in rows], float)
        right = np.array([error < 0.5 * spread for error, spread, _ in rows], bool)
        return Judged(errors, right, errors, 0.0)

    def support(self, answer: Array, answered: Array) -> float:
        error, spread, _ = _rows([answer])[0]
        return 1 - error / spread if spread else 0.0


def hidden(among: Tensor, grid: Sequence[int], patches: Patches, keys: Tensor) -> Tensor:
    """Which patches `(batch, patches)` bool are hidden of those that a row has."""
    if not patches.tube:
        chances = _masking.uniform(keys, among.shape[1], 1)
        return _masking.exactly(among, patches.share, chances)
    steps = among.view(len(among), grid[0], -1)
    ever = steps.any(1)
    chosen = _masking.exactly(ever, patches.share, _masking.uniform(keys, ever.shape[1], 1))
    return (steps & chosen.unsqueeze(1)).flatten(1)


def _sums(answers: Answers) -> Array:
    """`(rows, 3)`: each row's squared errors, those about the mean, numbers."""
    return np.array([a[:, ERRORS:].sum(0) for a in answers], float).reshape(len(answers), 3)


def _rows(answers: Answers) -> list[tuple[float, float, int]]:
    """Of each row the mean squared error, that of the mean, and how many numbers."""
    return [(e / max(1, n), s / max(1, n), int(n)) for e, s, n in _sums(answers).tolist()]
