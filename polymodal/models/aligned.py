"""An encoder whose tokens an alignment brings to the model's width."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import torch

from polymodal.contract.align import Align
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.models.model import Model, encoded

# What is asked for the training rows, batch by batch.
Batches = Callable[[], Iterable[Mapping[str, Field]]]


class Aligned(Encoder):
    """An encoder of a width of its own, and the alignment after it: to others, one encoder."""

    def __init__(self, encoder: Encoder, align: Align) -> None:
        super().__init__()
        self.encoder, self.align = encoder, align

    def adapt(self, fields: Iterable[Field]) -> None:
        self.encoder.adapt(fields)

    def lengths(self, counts: torch.Tensor) -> torch.Tensor:
        return self.encoder.lengths(counts)

    def forward(self, field: Field) -> Tokens:
        tokens: Tokens = self.align(self.encoder(field))
        return tokens


def start(model: Model, names: Collection[str], batches: Batches) -> None:
    """Start the alignments of some modalities from training rows: those of a kind together.

    Args:
        model: its encoders adapted.
        batches: training rows' fields, from the beginning each time.
    """
    kinds: dict[type[Align], dict[str, Aligned]] = {}
    for name, encoder in zip(model.names, model.encoders, strict=True):
        if name in names and isinstance(encoder, Aligned) and encoder.align.learns:
            kinds.setdefault(type(encoder.align), {})[name] = encoder
    training = model.training
    model.eval()
    for kind, own in kinds.items():
        kind.start({name: one.align for name, one in own.items()}, _Asked(own, batches))
    model.train(training)


class _Asked:
    """What encoders make of rows, as often as one asks."""

    def __init__(self, encoders: Mapping[str, Aligned], batches: Batches) -> None:
        self._encoders, self._batches = encoders, batches

    def __iter__(self) -> Iterator[Mapping[str, Tokens]]:
        for batch in self._batches():
            with torch.no_grad():
                yield {n: encoded(one.encoder, batch[n]) for n, one in self._encoders.items()}
