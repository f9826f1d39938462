"""Full: everything learns."""

from __future__ import annotations

from polymodal.contract.batch import Batch
from polymodal.contract.predictor import Predictor
from polymodal.contract.tuning import Tuning


class Full(Tuning):
    """Every parameter of the model learns, tables of embeddings included.

    Backbones at `training.pretrained_lr`, all else at `training.lr`. Neighbour: `encoder` leaves
    tables of embeddings as they are, half of a small text model, of which small data move only a
    few rows.
    """

    def reaches(self, modality: str) -> bool:
        return True

    def choose(self, model: Predictor, batch: Batch) -> None:
        model.requires_grad_(True)
