"""Masked cells: some of a row's cells are replaced; the model says which, and what stood there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Decided, Field, Fused
from polymodal.contract.form import Form, Marginals, Slots
from polymodal.contract.metric import Metric
from polymodal.contract.task import Answers, Array, Judged, Pass
from polymodal.contract.unlabelled import Unlabelled
from polymodal.metrics import summed
from polymodal.tasks import _masking, _patchwise, _wordwise

# What an answer's columns are; SORT is one of the three below.
SLOT, SORT, REPLACED, CHANCE, ERROR, TRUTH, GUESS = range(7)
NUMBER, CATEGORY, SET = range(3)
SORTS = {"number": NUMBER, "category": CATEGORY, "set": SET}
# A probability is kept this far from 0 and 1 where its logarithm is taken.
LEAST = 1e-7


class MaskedCells(Unlabelled):
    """Of a row's present cells some are replaced by another row's of the same column.

    Two losses are added: binary cross-entropy of which cells were replaced, over rows with such a
    cell; and, over replaced cells, what stood there: squared error of a number's z-score,
    cross-entropy of a category, mean binary cross-entropy of a set's members. Where nothing was
    replaced both are 0. The cells that come in are training rows', drawn column by column, so what
    is done to a row does not depend on those beside it.

    Papers: "VIME" (Yoon et al. 2020), which replaces .3 of the cells; "SCARF" (Bahri et al. 2022,
    arXiv 2106.15147), which replaces .6.

    Args:
        name: of the task.
        modality: the table's columns.
        share: of the present cells that is replaced.
        conditioned: whether all modalities' tokens after the fusion tell, or the table's own alone.
    """

    spoils = True
    usual: ClassVar[bool] = True
    primary = "found"
    needs = "columns of numbers, categories or sets"
    supports = "the share of its cells that it tells alike"

    def __init__(
        self, name: str, *, modality: str, share: float = 0.3, conditioned: bool = True
    ) -> None:
        if not 0 <= share < 1:
            raise UserError(f"share={share} is no share of cells", expected="from 0 to below 1")
        self.name, self.modality, self.share = name, modality, share
        self.conditioned = conditioned

    @classmethod
    def pretrains(cls, kinds: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        return _wordwise.named(lookup.name_of(cls), _patchwise.able(kinds, "marginals"))

    def marginals(self, forms: Mapping[str, Form]) -> Marginals:
        """What training rows hold.

        Raises:
            UserError: the model does not read the columns, or in a form that does not know.
        """
        form = forms.get(self.modality)
        if form is None or form.marginals is None:
            raise UserError(
                f"The task '{self.name}' has no cells of '{self.modality}' to replace",
                expected=self.needs,
                got=f"a model of {', '.join(forms) or 'nothing'}",
                do="leave the task out, or fit the model anew",
            )
        return form.marginals

    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        known = self.marginals(forms)
        reader = _patchwise.Reader(width, self.modality, self.conditioned, 1, width, dropout)
        return Cells(reader, known, width)

    def spoil(self, batch: Batch, forms: Mapping[str, Form], generator: torch.Generator) -> Batch:
        field, known = batch.inputs[self.modality], self.marginals(forms)
        there = present(field.data, known.slots) & field.present.unsqueeze(1)
        keys = _masking.keys(field, generator)
        count = len(known.slots)
        chosen = _masking.chosen(there, self.share, _masking.uniform(keys, count, 1))
        drawn = (_masking.uniform(keys, count, 2) * len(known.sample)).long()
        sample = torch.from_numpy(known.sample).to(field.data)
        data, replaced = field.data.clone(), torch.zeros_like(chosen)
        for i, slot in enumerate(known.slots):
            own = slice(slot.start, slot.stop)
            instead = torch.where(chosen[:, i, None], sample[drawn[:, i], own], field.data[:, own])
            # A cell that comes to the same is not replaced.
            replaced[:, i] = (chosen[:, i, None] & (instead != field.data[:, own])).any(1)
            data[:, own] = instead
        inputs = {**batch.inputs, self.modality: Field(data, field.mask, field.present)}
        target = Field(torch.cat([field.data, replaced.float()], 1), there, there.any(1))
        return replace(batch, inputs=inputs, targets={**batch.targets, self.name: target})

    def loss(self, done: Pass) -> Tensor:
        """Which were replaced, and what stood there; 0 (with gradient) where none was."""
        found = self._found(done)
        shown = found.there & found.replaced.any(1, keepdim=True)
        which = F.binary_cross_entropy_with_logits(
            found.which, found.replaced.float(), reduction="none"
        )
        first = torch.where(shown, which, 0).sum() / shown.sum().clamp(min=1)
        errors = torch.where(found.replaced, found.errors, 0)
        return first + errors.sum() / found.replaced.sum().clamp(min=1)

    def answer(self, done: Pass) -> list[Array]:
        found = self._found(done)
        slots: list[Slots] = done.output["slots"]
        shape = found.there.shape
        sorts = torch.tensor([SORTS[slot.kind] for slot in slots]).expand(shape)
        columns = [
            torch.arange(shape[1]).expand(shape),
            sorts,
            found.replaced,
            found.which.sigmoid(),
            found.errors,
            found.truth,
            found.guess,
        ]
        stacked = torch.stack([column.detach().cpu().double() for column in columns], -1)
        rows = torch.split(stacked[found.there.cpu()], found.there.sum(1).tolist())
        return [row.numpy() for row in rows]

    def _found(self, done: Pass) -> _Found:
        target, output = done.target, done.output
        assert target is not None and target.mask is not None
        slots: list[Slots] = output["slots"]
        data, replaced = target.data[:, : -len(slots)], target.data[:, -len(slots) :] > 0
        z = (data - output["mean"]) / output["deviation"]
        errors, truths, guesses = [], [], []
        for slot, told in zip(slots, output["told"], strict=True):
            error, truth, guess = _compared(slot, told.float(), data, z)
            errors.append(error)
            truths.append(truth)
            guesses.append(guess)
        return _Found(
            target.mask,
            replaced,
            output["which"].float(),
            torch.stack(errors, 1),
            torch.stack(truths, 1),
            torch.stack(guesses, 1),
        )

    # -- answers and measures ------------------------------------------------------------------

    def constant(self, like: Answers) -> list[Array]:
        """The means, and the frequencies of the very cells: no constant could do better."""
        stacked = np.concatenate([np.zeros((0, 7)), *like])
        gone = stacked[:, REPLACED] > 0
        found = []
        for answer in like:
            own = answer.copy()
            own[:, CHANCE] = gone.mean() if len(gone) else 0
            number = own[:, SORT] == NUMBER
            own[number, GUESS] = 0
            own[number, ERROR] = own[number, TRUTH] ** 2
            own[own[:, SORT] == SET, ERROR] = np.log(2)
            found.append(own)
        coded = stacked[gone & (stacked[:, SORT] == CATEGORY)]
        for slot in np.unique(coded[:, SLOT]):
            truths = coded[coded[:, SLOT] == slot, TRUTH]
            codes, counts = np.unique(truths, return_counts=True)
            for own in found:
                rows = (own[:, SLOT] == slot) & (own[:, REPLACED] > 0)
                own[rows, GUESS] = codes[counts.argmax()]
                at = np.searchsorted(codes, own[rows, TRUTH])
                own[rows, ERROR] = -np.log(counts[at] / counts.sum())
        return found

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        """The largest probability that one of a row's cells is not its own; None without cells."""
        return {self.name: [float(a[:, CHANCE].max()) if len(a) else None for a in answers]}

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        """Accuracy of which were replaced, R² of numbers and accuracy of categories that were."""
        cells = np.array([len(a) for a in answers], float)
        if not cells.sum():
            return {}
        gone = np.array([a[:, REPLACED].sum() for a in answers], float)
        right = np.array([((a[:, CHANCE] > 0.5) == a[:, REPLACED]).sum() for a in answers], float)
        most = gone if gone.sum() > cells.sum() / 2 else cells - gone
        found = {"found": summed.mean(right, cells), "found_majority": summed.mean(most, cells)}
        numbers = [a[(a[:, SORT] == NUMBER) & (a[:, REPLACED] > 0)] for a in answers]
        spread = np.array([(a[:, TRUTH] ** 2).sum() for a in numbers])
        if spread.sum():
            errors = np.array([a[:, ERROR].sum() for a in numbers])
            found["r2"] = summed.explained(errors, spread)
        codes = [a[(a[:, SORT] == CATEGORY) & (a[:, REPLACED] > 0)] for a in answers]
        usual = self.constant(codes)
        counts = np.array([len(a) for a in codes], float)
        if counts.sum():
            hits = np.array([(a[:, TRUTH] == a[:, GUESS]).sum() for a in codes], float)
            common = np.array([(a[:, TRUTH] == a[:, GUESS]).sum() for a in usual], float)
            found["category_accuracy"] = summed.mean(hits, counts)
            found["category_majority"] = summed.mean(common, counts)
        return found

    def criterion(self, answers: Answers, targets: Answers) -> float:
        """The loss of all rows."""
        if not sum(len(answer) for answer in answers):
            return 0.0
        stacked = np.concatenate(list(answers))
        gone = stacked[:, REPLACED] > 0
        chance = stacked[:, CHANCE].clip(LEAST, 1 - LEAST)
        which = -np.where(gone, np.log(chance), np.log(1 - chance)).mean()
        return float(which + (stacked[gone, ERROR].mean() if gone.any() else 0))

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        """A row is right if it is told of each cell whether it was replaced."""
        right = [bool(((a[:, CHANCE] > 0.5) == a[:, REPLACED]).all()) for a in answers]
        losses = [self.criterion([a], []) for a in answers]
        return Judged(np.array(losses), np.array(right, bool), np.array(losses), 0.0)

    def support(self, answer: Array, answered: Array) -> float:
        if len(answer) != len(answered) or not len(answer):
            return 0.0
        return float(np.mean((answer[:, CHANCE] > 0.5) == (answered[:, CHANCE] > 0.5)))


class _Found:
    """Of each cell `(batch, slots)`: whether it is there and replaced, and what is told of it."""

    def __init__(self, *parts: Tensor) -> None:
        self.there, self.replaced, self.which, self.errors, self.truth, self.guess = parts


class Cells(nn.Module):
    """Of each column a logit that its cell was replaced, and what stood there.

    Output: `which (batch, slots)`; `told`, of each slot `(batch, numbers)`: a z-score, logits of a
    category's codes or of a set's members; and the slots with their means and deviations.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, reader: _patchwise.Reader, known: Marginals, width: int) -> None:
        super().__init__()
        self.reader, self.slots = reader, list(known.slots)
        self.register_buffer("mean", torch.from_numpy(known.mean), persistent=False)
        self.register_buffer("deviation", torch.from_numpy(known.deviation), persistent=False)
        self.which = nn.Linear(width, 1)
        self.told = nn.ModuleList(nn.Linear(width, _numbers(slot)) for slot in self.slots)

    def forward(self, fused: Fused, target: Field | None = None) -> Decided:
        states = self.reader(fused, [len(self.slots)])
        told = [layer(states[:, i]) for i, layer in enumerate(self.told)]
        output = {"which": self.which(states)[..., 0], "told": told, "slots": self.slots}
        return Decided({**output, "mean": self.mean, "deviation": self.deviation})


def present(data: Tensor, slots: Sequence[Slots]) -> Tensor:
    """Which cells `(batch, slots)` of a form's arrays `(batch, d)` are there."""
    found = [
        data[:, slot.start] > 0
        if slot.kind == "category"
        else ~data[:, slot.start : slot.stop].isnan().any(1)
        for slot in slots
    ]
    return torch.stack(found, 1)


def _numbers(slot: Slots) -> int:
    """How many are told of a cell."""
    return slot.codes or slot.stop - slot.start


def _compared(slot: Slots, told: Tensor, data: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Error, truth and guess of a slot's cells `(batch,)`; whatever where they are missing."""
    if slot.kind == "number":
        truth = z[:, slot.start].nan_to_num().float()
        return (told[:, 0] - truth) ** 2, truth, told[:, 0]
    if slot.kind == "category":
        code = data[:, slot.start].nan_to_num().long()
        return F.cross_entropy(told, code, reduction="none"), code.float(), told.argmax(1).float()
    members = data[:, slot.start : slot.stop].nan_to_num().float()
    errors = F.binary_cross_entropy_with_logits(told, members, reduction="none").mean(1)
    return errors, members.sum(1), (told > 0).sum(1).float()
