"""What a recipe's models take, before one of them is trained: numbers, memory, operations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.contract.kind import of
from polymodal.contract.recipe import Member, Recipe, Training
from polymodal.contract.task import Task
from polymodal.contract.writing import Sequenced
from polymodal.fitting import data as read
from polymodal.fitting import plan
from polymodal.fitting.backbones import backbones
from polymodal.models import build
from polymodal.models.model import Model
from polymodal.nn.blocks import chunks
from polymodal.nn.decoder import Decoder
from polymodal.prepared.cache import default_folder
from polymodal.prepared.cells import cells
from polymodal.prepared.prepare import Prepared
from polymodal.table.ledger import Ledger

# Bytes of a number: as it is trained, and where two are enough.
WHOLE, HALF = 4, 2


@dataclass(frozen=True)
class Work:
    """What a decoder computes and keeps for a place of its sequence.

    Attributes:
        numbers: of the decoder.
        layers, width, context: of it.
        kept: of keys and values, numbers a place.
    """

    numbers: int
    layers: int
    width: int
    context: int
    kept: int

    @classmethod
    def of(cls, decoder: nn.Module) -> Work:
        assert isinstance(decoder, Decoder)
        config = decoder.model.config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or decoder.width // config.num_attention_heads
        layers = int(config.num_hidden_layers)
        numbers = _count(decoder)
        kept = 2 * layers * int(heads) * int(size)
        return cls(numbers, layers, decoder.width, decoder.context, kept)

    def operations(self, length: int) -> int:
        """Forward and backward, a place: 6 for each number, and attention to `length` places.

        Paper: "PaLM: Scaling Language Modeling with Pathways" (Chowdhery et al. 2022), appendix B.
        """
        return 6 * self.numbers + 12 * self.layers * self.width * length


@dataclass(frozen=True)
class Size:
    """What one model takes.

    Attributes:
        name: the model's.
        parts: what it consists of -> how many numbers each has.
        averaged: whether a moving average of the numbers is kept in training.
        decoders: target -> how much a decoder computes: `Work`.
    """

    name: str
    parts: dict[str, int]
    averaged: bool
    decoders: dict[str, Work]

    @property
    def numbers(self) -> int:
        return sum(self.parts.values())

    @property
    def training(self) -> int:
        """Bytes of numbers, gradients, AdamW's two moments and the moving average; batches come
        on top."""
        return self.numbers * WHOLE * (4 + self.averaged)


def sizes(recipe: Recipe) -> list[Size]:
    """Every network of a recipe, the plan's too; decoders are not allocated.

    Without a training table, what its tasks write with: as large as the recipe allows.

    Raises:
        UserError: the recipe cannot be fitted, or has neither a table nor a task that writes.
    """
    if recipe.train is not None:
        return list(_networks(recipe))
    found = []
    for name, spec in recipe.targets.items():
        task = None if spec is None else lookup.build("tasks", spec, name)
        if isinstance(task, Sequenced):
            decoder = task.planned()
            if decoder is not None:
                work = {name: Work.of(decoder)}
                found.append(Size(name, {"decoder": _count(decoder)}, True, work))
    if not found:
        raise UserError(
            "Without a table there is nothing whose size could be told",
            expected="`train` in the recipe, or a target whose task is generated",
            do="add `train: TABLE`",
        )
    return found


def _networks(recipe: Recipe) -> Iterator[Size]:
    data = read.opened(recipe.train, recipe.valid, recipe, default_folder())
    division = read.divided(data, recipe)
    tasks = read.aimed(data, division, recipe, Ledger()).tasks
    tagged, written = plan.tagged(tasks.values()), plan.written(tasks.values())
    known = backbones(data.contents, data.schema, recipe, tagged, {}, written)
    rows = len(division.train)
    facts = plan.facts(data.table, data.schema, rows, recipe, tasks.values(), known)
    grouped = data.schema.modalities()
    for member in plan.members(data.schema, facts, recipe):
        design = build.design(member)
        if not design.paced:
            continue
        own, given = {}, {}
        for name in member.modalities:
            form = build.form_for(member, name, grouped[name])
            seen = list(cells(data.table, grouped[name], division.train))
            form.fit(cell for cell in seen if cell is not None)
            own[name] = form
            if not of(grouped[name][0].kind).media:
                arrays = [None if cell is None else form.encode(cell) for cell in seen]
                shape = next((a.shape[int(form.ragged) :] for a in arrays if a is not None), ())
                given[name] = Prepared.of(arrays, form, shape)
        yield _size(member, own, tasks, given)


def _size(
    member: Member, forms: dict[str, Form], tasks: dict[str, Task], given: dict[str, Prepared]
) -> Size:
    """One network's; what a task owns is built where nothing is allocated, if it writes.

    Args:
        given: training cells of modalities whose encoders grow with what they find there.
    """
    plain = {name: task for name, task in tasks.items() if not isinstance(task, Sequenced)}
    kinds = {name: form.kind for name, form in forms.items()}
    network = build.design(member).predictor(kinds, forms, plain)
    assert isinstance(network, Model)
    for name, encoder in zip(network.names, network.encoders, strict=True):
        if name in given:
            assert isinstance(encoder, Encoder)
            encoder.adapt(chunks(given[name], np.arange(len(given[name]))))
    parts = {
        **{name: _count(one) for name, one in zip(network.names, network.encoders, strict=True)},
        "fusion": _count(network.fusion),
        **{name: _count(one) for name, one in zip(network.targets, network.heads, strict=True)},
    }
    work = {}
    views = network.names if network.fusion.decides else []
    for name, task in tasks.items():
        if isinstance(task, Sequenced):
            with torch.device("meta"):
                parts[name] = _count(task.heads(member.width, views, 0.0, forms))
            if (decoder := task.planned()) is not None:
                work[name] = Work.of(decoder)
    training = member.training or Training()
    return Size(member.name, parts, training.ema > 0, work)


def _count(module: nn.Module) -> int:
    """As a fit counts them (`Predictor.numbers`): with statistics that batches leave behind."""
    held = sum(getattr(inner, "held", 0) for inner in module.modules())
    return held + sum(tensor.numel() for tensor in module.state_dict().values())
