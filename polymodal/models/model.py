"""Encoders, one fusion and a head per target, as one module.

It knows components only through `contract`; `experts/` holds the predictors that a solver fits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from torch import nn

from polymodal.contract.batch import Field, Fused, Outputs, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.contract.fusion import Fusion
from polymodal.contract.predictor import Predictor
from polymodal.contract.task import Task


def encoded(encoder: nn.Module, field: Field) -> Tokens:
    """What an encoder makes of a field; zeros and no real position where a row lacks it."""
    # A task's own column is hidden from all rows: one says how many tokens it would have been. In
    # training no norm should see that one alone, and only a CPU tells at no cost.
    told = field.present.device.type == "cpu" and not torch.compiler.is_compiling()
    if told and not encoder.training and len(field.present) > 1 and not field.present.any():
        return _nothing(encoder, field)
    found: Tokens = encoder(field.masked())
    mask = found.mask & field.present.unsqueeze(1)
    # where, not a product: an absent row's values may be anything, NaN included.
    return Tokens(torch.where(mask.unsqueeze(-1), found.values, 0), mask, found.spelled)


def _nothing(encoder: nn.Module, field: Field) -> Tokens:
    """`encoded` of rows that all lack it, computed for the first alone."""
    rows, given = len(field.present), field.masked()
    mask = None if given.mask is None else given.mask[:1]
    one = encoded(encoder, Field(given.data[:1], mask, given.present[:1]))
    values = one.values.new_zeros(rows, *one.values.shape[1:])
    spelled = None if one.spelled is None else one.spelled.new_zeros(rows, one.spelled.shape[1])
    return Tokens(values, one.mask.new_zeros(rows, one.mask.shape[1]), spelled)


class Model(Predictor):
    """A multimodal model.

    Args:
        encoders: modality -> encoder; all of the same output width.
        fusion: built for the same names in the same order.
        tasks: task name -> fitted task; each owns its head.
        width: the common width.
        dropout: before layers that decide.
        modality_dropout: chance that a present modality of a training row is hidden (never the
            row's last one), so that the model learns to do without any.
        read_in: see `Predictor`; needed where some task hides or compares modalities.

    Attributes:
        rates, factors: parameter's name -> its peak learning rate, where it has one of its own, and
            what that or the usual one is multiplied by.
        still: normalisations of batches that keep their statistics in training.
    """

    embeds: ClassVar[bool] = True

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        fusion: Fusion,
        tasks: Mapping[str, Task],
        width: int,
        dropout: float = 0.1,
        modality_dropout: float = 0.1,
        read_in: Mapping[str, Form] | None = None,
    ) -> None:
        super().__init__()
        self.names = list(encoders)
        self.targets = list(tasks)
        self.read_in = dict(read_in or {})
        # ModuleDict keys may not hold dots, and column names may: modules go by position.
        self.encoders = nn.ModuleList(encoders.values())
        self.fusion = fusion
        self.modality_dropout = modality_dropout
        self.rates: dict[str, float] = {}
        self.factors: dict[str, float] = {}
        self.still: list[nn.Module] = []
        views = self.names if fusion.decides else []
        self.heads = nn.ModuleList(
            task.heads(width, views, dropout, self.read_in) for task in tasks.values()
        )

    def hold(self) -> None:
        """Normalisations of batches whose weights are frozen keep their statistics as well."""
        self.still = [
            module
            for module in self.modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm)
            and module.weight is not None
            and not module.weight.requires_grad
        ]

    def train(self, mode: bool = True) -> Model:
        super().train(mode)
        for module in self.still:
            module.eval()
        return self

    def encode(self, inputs: Mapping[str, Field]) -> dict[str, Tokens]:
        """Every encoder once. Masked positions leave as zeros, absent rows without a real one."""
        return {
            name: encoded(encoder, inputs[name])
            for name, encoder in zip(self.names, self.encoders, strict=True)
        }

    def fuse(
        self,
        tokens: Mapping[str, Tokens],
        absent: Collection[str] = (),
        targets: Mapping[str, Field] | None = None,
        tasks: Collection[str] | None = None,
    ) -> Outputs:
        """Fusion and heads on encoded tokens; only the heads of `tasks` are asked."""
        hidden = dict(tokens)
        for name in absent:
            # One masked position is as absent as many, and costs the fusion less.
            values, mask = hidden[name].values[:, :1], hidden[name].mask[:, :1]
            hidden[name] = Tokens(torch.zeros_like(values), torch.zeros_like(mask))
        own = hidden
        if self.training and self.modality_dropout > 0 and len(self.names) > 1:
            hidden = self._drop(hidden)
        fused: Fused = replace(self.fusion(hidden), own=own)
        found = {
            name: head(fused, None if targets is None else targets.get(name))
            for name, head in zip(self.targets, self.heads, strict=True)
            if tasks is None or name in tasks
        }
        views = {name: decided.views for name, decided in found.items() if decided.views}
        return Outputs({name: decided.output for name, decided in found.items()}, fused, views)

    def alone(
        self,
        tokens: Mapping[str, Tokens],
        targets: Mapping[str, Field] | None = None,
        tasks: Collection[str] | None = None,
    ) -> dict[str, Outputs]:
        """Modality -> the outputs with all others absent, whatever the fusion."""
        return {
            name: self.fuse(tokens, [n for n in self.names if n != name], targets, tasks)
            for name in self.names
        }

    def _drop(self, tokens: dict[str, Tokens]) -> dict[str, Tokens]:
        present = torch.stack([t.present() for t in tokens.values()], 1)
        keep = torch.rand(present.shape, device=present.device) >= self.modality_dropout
        kept = present & keep
        # A row that would lose everything keeps all it had.
        kept = torch.where(kept.any(1, keepdim=True), kept, present)
        return {
            name: Tokens(
                torch.where(kept[:, i, None, None], t.values, 0), t.mask & kept[:, i, None]
            )
            for i, (name, t) in enumerate(tokens.items())
        }
