"""Head: what is new learns, all that is pretrained is frozen."""

from __future__ import annotations

from polymodal.contract.batch import Batch
from polymodal.contract.predictor import Predictor
from polymodal.tuning._parts import Chosen


class Head(Chosen):
    """What has no weights from elsewhere learns alone: projections, fusion and heads.

    The outputs of a pretrained model are then computed once and kept: the fastest of all modes.
    """

    def reaches(self, modality: str) -> bool:
        return False

    def choose(self, model: Predictor, batch: Batch) -> None:
        self.stems(model)
