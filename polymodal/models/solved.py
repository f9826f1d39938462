"""Solved: predictors that a solver fits as a whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from polymodal.contract.block import Array, Cellwise
from polymodal.contract.predictor import Predictor
from polymodal.contract.task import Task
from polymodal.prepared.prepare import Prepared


class Solved(Predictor, ABC):
    """A predictor whose numbers are solved for at once, not descended to step by step.

    Constructor: `(kinds: Mapping[str, str], forms: Mapping[str, Form], tasks: Mapping[str, Task],
    *, options...)`, all by modality or target.
    """

    @staticmethod
    @abstractmethod
    def suited(kinds: Mapping[str, str]) -> list[str]:
        """Of modalities and their kinds those that it is worth reading unasked."""

    @abstractmethod
    def fit(
        self,
        inputs: Mapping[str, Cellwise],
        train: Array,
        valid: Array | None,
        targets: Mapping[str, Prepared],
        tasks: Mapping[str, Task],
        seed: int,
        groups: Array | None = None,
        memo: dict[Any, Any] | None = None,
    ) -> Any:
        """Fit to the training rows.

        Args:
            inputs: modality -> cells of all rows.
            train, valid: row numbers; what is chosen is chosen on the latter.
            targets: target -> encoded targets of all rows, present where known.
            seed: of all that is drawn: equal ones cut the rows alike.
            groups: of all rows: equal ones are never cut apart inside the training rows either.
            memo: kept between the members of one fit, so that equal parts are fitted once.
        """
