"""Numbers made fit for a network: centred, scaled, squashed, and cut into quantile bins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.contract.batch import Field

# A standardised value beyond this is 3 when squashed, and its square still a float32.
FAR = 1e6
# Bins narrower than the inverse of this are steps.
STEEPEST = 1e30


class Numbers(nn.Module):
    """Each number as `features` values: itself standardised, whether it is missing, its bins.

    The standardised value is `(x - median) / interquartile range`, squashed smoothly into (-3, 3)
    so that outliers do no harm. The bins are the piecewise-linear encoding of Gorishniy et al.,
    "On Embeddings for Numerical Features in Tabular Deep Learning" (NeurIPS 2022): of each
    quantile bin, how far into it the number reaches, from 0 to 1.

    Args:
        slots: positions of the numbers in the form's array.
        bins: quantile bins a number.
    """

    columns: Tensor
    median: Tensor
    scale: Tensor
    low: Tensor
    per_width: Tensor

    def __init__(self, slots: list[int], bins: int) -> None:
        super().__init__()
        self.features = bins + 2
        count = len(slots)
        self.register_buffer("columns", torch.tensor(slots, dtype=torch.long), persistent=False)
        self.register_buffer("median", torch.zeros(count))
        self.register_buffer("scale", torch.ones(count))
        self.register_buffer("low", torch.zeros(count, bins))
        self.register_buffer("per_width", torch.zeros(count, bins))

    def adapt(self, fields: Iterable[Field]) -> None:
        """Set medians, scales and bins from training batches; a column never present gets zeros."""
        parts = [field.data[field.present][:, self.columns].numpy() for field in fields]
        values = np.concatenate(parts).astype(np.float64)
        bins = self.low.shape[1]
        for i in range(values.shape[1]):
            known = values[~np.isnan(values[:, i]), i]
            if not len(known):
                self.scale[i] = 0
                continue
            edges = np.quantile(known, np.linspace(0, 1, bins + 1))
            low, median, high = np.quantile(known, (0.25, 0.5, 0.75))
            # Where the middle half of the values is one and the same, the range stands in.
            spread = high - low if high > low else (edges[-1] - edges[0]) / 2
            self.median[i] = median
            self.scale[i] = float(_inverse(np.array(spread)))
            self.low[i] = torch.from_numpy(edges[:-1])
            self.per_width[i] = torch.from_numpy(_inverse(np.diff(edges)))

    def forward(self, data: Tensor) -> Tensor:
        """The form's arrays `(batch, d)` -> `(batch, numbers, features)`; finite everywhere."""
        numbers = data[:, self.columns]
        missing = numbers.isnan()
        # At its median a missing number is 0 when standardised.
        numbers = torch.where(missing, self.median, numbers)
        scaled = ((numbers - self.median) * self.scale).clamp(-FAR, FAR)
        squashed = scaled / torch.sqrt(1 + (scaled / 3) ** 2)
        reached = ((numbers.unsqueeze(-1) - self.low) * self.per_width).clamp(0, 1)
        reached = torch.where(missing.unsqueeze(-1), 0, reached)
        flag = missing.unsqueeze(-1).to(squashed.dtype)
        return torch.cat([squashed.unsqueeze(-1), flag, reached], -1)


def _inverse(widths: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """1 / widths, 0 where a width is 0."""
    return np.where(widths > 0, 1 / np.maximum(widths, 1 / STEEPEST), 0)
