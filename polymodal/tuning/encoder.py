"""Encoder: the pretrained models of named modalities learn, the rest are frozen."""

from __future__ import annotations

from torch import nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch
from polymodal.contract.predictor import Predictor
from polymodal.tuning._parts import Chosen, hugging_face, vocabulary


class Encoder(Chosen):
    """All pretrained weights of named modalities learn, and what is new; the rest are frozen.

    Args:
        names: modalities.
        embeddings: whether tables of embeddings learn too. They are half of a small text model,
            and small data move only a few of their rows.
    """

    def __init__(self, *, names: list[str], embeddings: bool = False) -> None:
        if not names:
            raise UserError(
                "'tuning: encoder' names no modality",
                expected="{name: encoder, names: [NAME, ...]}",
                do="name one, or use tuning: full",
            )
        self.names, self.embeddings = names, embeddings

    def choose(self, model: Predictor, batch: Batch) -> None:
        for stem in self.stems(model).values():
            stem.requires_grad_(True)
            if not self.embeddings:
                _freeze_vocabulary(stem)


def _freeze_vocabulary(stem: nn.Module) -> None:
    """The table of a text model's pieces; positions are few and stay free."""
    inner = hugging_face(stem)
    table = None if inner is None else vocabulary(inner)
    if table is not None:
        table.requires_grad_(False)
