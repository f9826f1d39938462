"""One number a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.base.spelling import is_missing
from polymodal.contract.metric import Metric
from polymodal.contract.task import Task
from polymodal.metrics import metrics
from polymodal.table import values as _values
from polymodal.tasks import _labels

ERRORS: dict[str, Callable[..., Tensor]] = {
    "mse": F.mse_loss,
    "huber": F.huber_loss,
    "mae": F.l1_loss,
}
# Predictions may leave the training range by this share of it on either side.
MARGIN = 0.05


class Regress(Task):
    """A number, or a date in seconds since 1970, in standard deviations from the training mean.

    Encoded targets and logits are standardised; scores are in the column's own unit and kept
    within the training rows' range, widened by 5 % on either side.
    Neighbours: `classify` for codes and ratings that are to be told apart rather than estimated.

    Args:
        column: the target's name.
        error: what is minimised: "mse", "huber" (quadratic up to one standard deviation, linear
            beyond) or "mae" (estimates the median).
    """

    kind = "number"
    missing = math.nan
    size = 1
    primary = "rmse"

    def __init__(self, column: str, *, error: str = "mse") -> None:
        if error not in ERRORS:
            raise UserError(
                f"Target '{column}' has the unknown error '{error}'",
                expected=f"error: one of {', '.join(ERRORS)}",
            )
        self.column, self.error = column, error

    def fit(self, cells: Sequence[Any]) -> None:
        """Learn mean, standard deviation and range.

        Raises:
            UserError: a cell that is no finite number; less than two different values.
        """
        values = np.array([self._number(c) for c in cells])
        values = values[~np.isnan(values)]
        if len(np.unique(values)) < 2:
            got = f"{values[0]:g} {len(values)} times" if len(values) else "no value at all"
            raise _labels.nothing_to_learn(self.column, got)
        self.state = {
            "mean": float(values.mean()),
            "scale": float(values.std()),
            "low": float(values.min()),
            "high": float(values.max()),
        }

    @property
    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "scale": self.scale, "low": self.low, "high": self.high}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.mean, self.scale = float(state["mean"]), float(state["scale"])
        self.low, self.high = float(state["low"]), float(state["high"])

    def encode(self, cells: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        """Cells -> float32 standardised values `()`, NaN where missing."""
        values = [self._number(cell) for cell in cells]
        return [np.array((v - self.mean) / self.scale, np.float32) for v in values]

    def _number(self, cell: Any) -> float:
        """NaN where missing."""
        try:
            if isinstance(cell, bool | np.bool_):  # a number to Python, hardly to the user
                raise ValueError("is true or false")
            return math.nan if is_missing(cell) else _values.number(cell)
        except ValueError as error:
            raise UserError(
                f"Target '{self.column}' has the cell '{str(cell).strip()[:60]}', which is no "
                "finite number",
                expected="a number such as 3.5, a date such as 2024-01-31, or an empty cell where "
                "it is not known",
                got=f"{repr(cell)[:80]}, which {error}",
                do=f"correct or empty such cells, or use `kind` {self.column}=category",
            ) from error

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Standardised logits `(batch, 1)`, target `(batch,)`."""
        values = _labels.in_full(logits).squeeze(-1)
        wanted = target.nan_to_num(0).to(values.dtype)
        return _labels.mean_known(
            ERRORS[self.error](values, wanted, reduction="none"), ~target.isnan()
        )

    def scores(self, logits: Tensor) -> Tensor:
        """Values `(batch, 1)` in the column's unit, in float64: large values keep their digits."""
        margin = MARGIN * (self.high - self.low)
        values = logits.double() * self.scale + self.mean
        return values.clamp(self.low - margin, self.high + margin)

    def decode(self, scores: _labels.Rows) -> dict[str, list[Any]]:
        return {self.column: np.asarray(scores)[:, 0].tolist()}

    def metrics(
        self, scores: Sequence[np.ndarray[Any, Any]], targets: Sequence[np.ndarray[Any, Any]]
    ) -> dict[str, Metric]:
        """rmse, mae and r2 in the column's unit."""
        values = np.asarray(targets, float) * self.scale + self.mean
        return metrics.regression(np.asarray(scores, float)[:, 0], values)

    def criterion(
        self, scores: Sequence[np.ndarray[Any, Any]], targets: Sequence[np.ndarray[Any, Any]]
    ) -> float:
        """What validation minimises: the mean squared (for "mae": absolute) standardised error."""
        values = (np.asarray(scores, float)[:, 0] - self.mean) / self.scale
        wanted = np.asarray(targets, float)
        error = np.abs(values - wanted)
        return _labels.average(error if self.error == "mae" else error**2, ~np.isnan(wanted))
