"""One number a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.base.spelling import is_missing
from polymodal.contract.batch import Field
from polymodal.contract.kind import Guess
from polymodal.contract.metric import Metric
from polymodal.contract.scoring import Build, Family, Sides
from polymodal.contract.supervised import Supervised
from polymodal.contract.task import Answers, Array, Judged, Task
from polymodal.metrics import figures, metrics
from polymodal.table import numbers, references
from polymodal.table import values as _values
from polymodal.table.read import Table
from polymodal.tasks import _decoding, _labels
from polymodal.tasks._forms import Amount

ERRORS: dict[str, Callable[..., Tensor]] = {
    "mse": F.mse_loss,
    "huber": F.huber_loss,
    "mae": F.l1_loss,
}
# Predictions may leave the training range by this share of it on either side.
MARGIN = 0.05
# A prediction is right up to so many standard deviations of the true values away.
TOLERANCE = 0.5


class Regress(Supervised):
    """A number, or a date in seconds since 1970, in standard deviations from the training mean.

    Encoded targets and logits are standardised; answers are in the column's own unit and kept
    within the training rows' range, widened by 5 % on either side.
    Neighbours: `classify` for codes and ratings that are to be told apart rather than estimated.

    Args:
        name: the target's column.
        error: what is minimised: "mse", "huber" (quadratic up to one standard deviation, linear
            beyond) or "mae" (estimates the median).
    """

    kind = "number"
    order = 3
    continuous = True
    size = 1
    primary = "rmse"

    def __init__(self, name: str, *, error: str = "mse") -> None:
        if error not in ERRORS:
            raise UserError(
                f"Target '{name}' has the unknown error '{error}'",
                expected=f"error: one of {', '.join(ERRORS)}",
            )
        self.name, self.error = name, error

    @classmethod
    def sniff(cls, table: Table, name: str) -> Guess | None:
        """Dates, and numbers that are no choice among a few."""
        column = table.data.column(name)
        if not _labels.is_plain(table, name) or pa.types.is_boolean(column.type):
            return None
        found = numbers.find(column)
        if found is None or found.reading.what == "several":
            return None
        what = f"{len(np.unique(found.values)):,} different numbers"
        if found.reading.what == "date":
            what = "dates, as seconds since 1970"
        elif found.reading.what == "number" and _labels.choices(found.values):
            return None
        said = f"; {found.said()}" if found.said() else ""
        advice = f"(`kind {name}=category` to classify)"
        return Guess(cls.kind, f"{what}: to regress {advice}{said}", found.details())

    @classmethod
    def labels_of(cls, cells: Sequence[Any]) -> None:
        return None

    @property
    def chosen_by(self) -> str:
        return self.asked or ("mae" if self.error == "mae" else self.primary)

    @classmethod
    def family(cls) -> Family:
        return Family(references.number, _scored)

    def fit(self, cells: Sequence[Any], details: Mapping[str, Any] | None = None) -> None:
        """Learn mean, standard deviation and range.

        Raises:
            UserError: a cell that is no finite number; less than two different values.
        """
        values = np.array([self._number(c) for c in cells])
        values = values[~np.isnan(values)]
        if len(np.unique(values)) < 2:
            got = f"{values[0]:g} {len(values)} times" if len(values) else "no value at all"
            raise _labels.nothing_to_learn(self.name, got)
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
        self.form = Amount(self._number, mean=self.mean, scale=self.scale)

    def is_known(self, cell: Any) -> bool:
        return not math.isnan(self._number(cell))

    def _number(self, cell: Any) -> float:
        """NaN where missing."""
        try:
            if isinstance(cell, bool | np.bool_):  # a number to Python, hardly to the user
                raise ValueError("is true or false")
            return math.nan if is_missing(cell) else _values.number(cell)
        except ValueError as error:
            raise UserError(
                f"Target '{self.name}' has the cell '{str(cell).strip()[:60]}', which is no "
                "finite number",
                expected="a number such as 3.5, a date such as 2024-01-31, or an empty cell where "
                "it is not known",
                got=f"{repr(cell)[:80]}, which {error}",
                do=f"correct or empty such cells, or use `kind {self.name}=category`",
            ) from error

    def loss_of(self, logits: Tensor, target: Field) -> Tensor:
        """Standardised logits `(batch, 1)`, target `(batch,)`."""
        values = _labels.in_full(logits).squeeze(-1)
        losses = ERRORS[self.error](values, target.data.to(values.dtype), reduction="none")
        return _labels.mean_known(losses, target.present)

    def blended(
        self, teacher: Task, answers: Answers, targets: Answers, share: float
    ) -> Array | None:
        told = (np.asarray(answers)[:, 0] - self.mean) / self.scale
        return (share * told + (1 - share) * np.asarray(targets)).astype(np.float32)

    def answer_of(self, logits: Tensor) -> Tensor:
        """Values `(batch, 1)` in the column's unit, in float64: large values keep their digits."""
        margin = MARGIN * (self.high - self.low)
        values = logits.double() * self.scale + self.mean
        return values.clamp(self.low - margin, self.high + margin)

    @property
    def plain_decode(self) -> tuple[str, dict[str, Any]]:
        return "amounts", {}

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        return _decoding.amounts(self.name, answers)

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        """rmse, mae and r2 in the column's unit."""
        return metrics.regression(_amounts(answers), self._in_unit(targets))

    def criterion(self, answers: Answers, targets: Answers) -> float:
        """What validation minimises: the mean squared (for "mae": absolute) standardised error."""
        values = (_amounts(answers) - self.mean) / self.scale
        error = np.abs(values - np.asarray(targets, float))
        return _labels.average(error if self.error == "mae" else error**2)

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        """A number is right within TOLERANCE standard deviations of the rows' true values."""
        values, y = _amounts(answers), self._in_unit(targets)
        error, tolerance = values - y, TOLERANCE * float(y.std())
        return Judged(values, np.abs(error) <= tolerance, error**2, tolerance)

    def strangeness(self, answers: Answers, targets: Answers) -> Array:
        """The absolute error, in the column's unit."""
        return np.abs(_amounts(answers) - self._in_unit(targets))

    def region(self, answers: Answers, within: Array) -> dict[str, list[Any]]:
        """`name.low` and `name.high`."""
        values = _amounts(answers)
        low, high = values - within, values + within
        return {f"{self.name}.low": low.tolist(), f"{self.name}.high": high.tolist()}

    def extent(self, answers: Answers, within: Array) -> Array:
        """From the low end to the high one."""
        return 2 * within

    def figures(self, answers: Answers, targets: Answers) -> dict[str, Any]:
        return {"histogram": figures.histogram(self._in_unit(targets), np.stack(answers)[:, 0])}

    def support(self, answer: Array, answered: Array) -> float:
        """The number itself."""
        return float(answer[0])

    def _in_unit(self, targets: Answers) -> Array:
        """Encoded numbers `(rows,)` in the column's unit."""
        return np.asarray(targets, float) * self.scale + self.mean


def _amounts(answers: Answers) -> Array:
    return np.asarray(answers, float).reshape(len(answers))


def _scored(sides: Sides) -> tuple[Build, dict[str, Any]]:
    """Predictions of numbers from anywhere against their references."""
    gold = np.array(sides.references)
    given = {}
    for name, cells in sides.predictions.items():
        given[name] = np.array([references.number([cell]) for cell in cells], float)
        missing = int(np.isnan(given[name]).sum())
        if missing:
            raise UserError(
                f"'{name}' has no prediction in {missing} of {len(gold)} rows",
                expected="a number in each: how wrong a missing one is cannot be said",
                do="predict these rows too, or leave them out of the table for every system",
            )

    def build(names: Sequence[str]) -> dict[str, Metric]:
        guesses = np.concatenate([given[name] for name in names])
        return metrics.regression(guesses, np.tile(gold, len(names)))

    return build, {}
