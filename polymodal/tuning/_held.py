"""What prompts and prefixes share: a model around a pretrained one, which stays there."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Field
from polymodal.contract.predictor import Predictor
from polymodal.tuning._parts import Chosen, as_model, backbones

# What a model raises that is not made for what it is given.
FAULTS = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError)
# Peak rate by the deviation of the numbers that vectors begin with. AdamW moves each number by
# about the rate: what a model takes for a small step depends on how large its embeddings are.
PACE = 0.05
# Of these rows of a batch real words or patches are taken.
ROWS = 64


class Around(nn.Module):
    """A pretrained model with vectors of its own before something that it reads.

    Attributes:
        noting: while True, `forward` notes what `begin` starts the vectors from.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.noting = False

    @abstractmethod
    def begin(self) -> None:
        """Start the vectors from what was noted."""


class Held(Chosen):
    """A mode whose vectors a model keeps: pretrained weights are frozen, vectors learn."""

    lr: float | None

    @abstractmethod
    def around(self, model: Any) -> Around:
        """The model with vectors, not yet begun; UserError if it cannot have them."""

    def shape(self, model: Predictor) -> None:
        own = as_model(model)
        for name, encoder in zip(own.names, own.encoders, strict=True):
            for backbone in backbones(encoder) if self.reaches(name) else ():
                backbone.model = self.around(backbone.model)

    def choose(self, model: Predictor, batch: Batch) -> None:
        own = as_model(model)
        stems = self.stems(own)
        held = {k: m for k, m in own.named_modules() if isinstance(m, Around)}
        if stems and not held:
            mode = lookup.name_of(type(self))
            raise UserError(
                f"'tuning: {mode}' does not reach decoders, which go on from vectors anyway",
                expected="a modality with `pretrained`",
                got=f"the decoder of {', '.join(stems)}",
                do="use tuning: lora, feed_forward or full",
            )
        training = own.training
        own.eval()
        for module in held.values():
            module.noting = True
        rows = {name: _first(field) for name, field in batch.inputs.items()}
        try:
            with torch.no_grad():
                own.encode(rows)
            for module in held.values():
                module.begin()
        except FAULTS as error:
            raise UserError(
                f"A pretrained model of this one is not made for tuning: "
                f"{lookup.name_of(type(self))}",
                expected="a Transformer of transformers whose inputs are embedded",
                got=str(error).split("\n")[0][:200],
                do="use tuning: lora",
            ) from error
        finally:
            own.train(training)
            for module in held.values():
                module.noting = False
        for where, module in held.items():
            for name, p in module.named_parameters():
                if not name.startswith("model."):
                    p.requires_grad_(True)
                    own.rates[f"{where}.{name}"] = self.lr or PACE * float(p.detach().std())


@contextmanager
def without(module: nn.Module) -> Iterator[None]:
    """Inside, its pretrained models stand alone, as before vectors were put around them."""
    models = ((backbone, getattr(backbone, "model", None)) for backbone in backbones(module))
    held = [(backbone, model) for backbone, model in models if isinstance(model, Around)]
    for backbone, around in held:
        backbone.model = around.model
    try:
        yield
    finally:
        for backbone, around in held:
            backbone.model = around


def _first(field: Field) -> Field:
    mask = None if field.mask is None else field.mask[:ROWS]
    return Field(field.data[:ROWS], mask, field.present[:ROWS])


def drawn(values: Tensor, count: int) -> Tensor:
    """`count` of the rows of `values`, `(n, ...)`, each once if there are enough of them."""
    order = torch.cat([torch.randperm(len(values)) for _ in range(-(-count // len(values)))])
    return values[order[:count].to(values.device)]
