"""Self-supervised: a number of the table is hidden from the model, which says what stood there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polymodal.contract.batch import Batch, Field
from polymodal.contract.form import Form
from polymodal.contract.metric import Metric
from polymodal.contract.supervised import Supervised
from polymodal.contract.task import Answers, Array, Judged


class Number(Form):
    """In standard deviations from the mean."""

    kind, dtype, ragged = "target", "float32", False

    def __init__(self, *, mean: float, scale: float) -> None:
        self.mean, self.scale = mean, scale

    def encode(self, cell: Any) -> Array:
        return np.array((float(cell) - self.mean) / self.scale, np.float32)

    def decode(self, array: Array) -> float:
        return float(array) * self.scale + self.mean


class HiddenCell(Supervised):
    """Squared error of a number in standard deviations; its column stays an input.

    Args:
        column: an input of numbers.
    """

    primary = "rmse"
    spoils = True
    size = 1

    def __init__(self, name: str, *, column: str) -> None:
        self.name, self.column = name, column

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def fit(self, cells: Sequence[Any], details: Mapping[str, Any] | None = None) -> None:
        known = np.array([float(cell) for cell in cells if self.is_known(cell)])
        self.state = {"mean": float(known.mean()), "scale": float(known.std())}

    @property
    def state(self) -> dict[str, Any]:
        return self.form.settings

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.form: Number = Number(**state)

    def spoil(self, batch: Batch, forms: Mapping[str, Form], generator: torch.Generator) -> Batch:
        inputs = dict(batch.inputs)
        for name, form in forms.items():
            for slots in getattr(form, "slots", ()):
                if slots.name == self.column:
                    data = inputs[name].data.clone()
                    data[:, slots.start : slots.stop] = torch.nan
                    inputs[name] = Field(data, inputs[name].mask, inputs[name].present)
        return replace(batch, inputs=inputs)

    def loss_of(self, logits: Tensor, target: Field) -> Tensor:
        errors = (logits.float().squeeze(-1) - target.data) ** 2
        known = target.present
        return torch.where(known, errors, 0).sum() / known.sum().clamp(min=1)

    def answer_of(self, logits: Tensor) -> Tensor:
        return logits.double() * self.form.scale + self.form.mean

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        return {self.name: [float(answer[0]) for answer in answers]}

    def _errors(self, answers: Answers, targets: Answers) -> Array:
        true = np.array([self.form.decode(target) for target in targets])
        return np.asarray(answers, float).reshape(len(targets)) - true

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        squares = self._errors(answers, targets) ** 2
        found = Metric(lambda w: np.sqrt(w @ squares / w.sum(1)), greater_is_better=False)
        return {self.primary: found} if len(targets) else {}

    def criterion(self, answers: Answers, targets: Answers) -> float:
        return float((self._errors(answers, targets) ** 2).mean()) if len(targets) else 0.0

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        error, tolerance = self._errors(answers, targets), 0.5 * self.form.scale
        values = np.asarray(answers, float).reshape(len(targets))
        return Judged(values, np.abs(error) <= tolerance, error**2, tolerance)

    def support(self, answer: Array, answered: Array) -> float:
        return float(answer[0])
