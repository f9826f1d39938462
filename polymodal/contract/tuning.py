"""Tuning: which of a model's parameters learn, and how fast."""

from __future__ import annotations

from abc import ABC, abstractmethod

from polymodal.contract.batch import Batch
from polymodal.contract.predictor import Predictor


class Tuning(ABC):
    """A function from a model to the same model with its trainable parameters chosen.

    Constructor: `(*, options...)`. Encoders know nothing of it. What it adds to a model for
    training alone it takes out again: a saved run holds whole weights and needs no package of its.
    """

    def check(self) -> None:
        """UserError if training would need a package that is missing."""

    @abstractmethod
    def reaches(self, modality: str) -> bool:
        """Whether training changes what a modality's pretrained model puts out.

        If not, it is run once, and its outputs are kept.
        """

    def shape(self, model: Predictor) -> None:
        """Build in what a model keeps after training; called for every model that is built."""

    @abstractmethod
    def choose(self, model: Predictor, batch: Batch) -> None:
        """Say which parameters learn, by `requires_grad` and `model.rates`; add what is needed.

        Args:
            model: adapted, with all of its weights.
            batch: training rows, as the model is given them, where it lies.

        Raises:
            UserError: the model has nothing to tune so, or is not made for it.
        """

    def settle(self, model: Predictor) -> None:
        """After training: fold into the weights what was added for it."""
