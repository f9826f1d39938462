"""Many small networks in one, which share their large matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Array = np.ndarray[Any, Any]
# A standardised value is squashed smoothly into (-EDGE, EDGE).
EDGE = 3.0
# Nothing is learned of a bin that is narrower.
NARROW = 1e-12


class Ensemble(nn.Module):
    """A parameter-efficient ensemble of multilayer perceptrons on piecewise-linear numbers.

    After TabM (Gorishniy, Kotelnikov and Babenko, "TabM: Advancing Tabular Deep Learning with
    Parameter-Efficient Ensembling", arXiv 2410.24210). All members share every layer's matrix W;
    member i's layer is `s_i * (W (r_i * x)) + b_i`, with adapters r_i, s_i and a bias of its own
    (Wen et al., "BatchEnsemble", 2020). Of the adapters only the first are drawn at random, of
    signs, so that the members see different inputs; all others start at 1. Each member has a head
    of its own, and each is trained by its own loss; the answer is the mean of what they say.

    Numbers come as their piecewise-linear encoding (Gorishniy et al. 2022), which a linear map a
    feature and a ReLU make vectors of.

    What is learned is kept in buffers, whose sizes the number of features decides.

    Args:
        size: outputs.
        members: how many networks.
        width, depth: of each one's hidden layers.
        bins: quantile bins a number is cut into.
        embedding: numbers that stand for a feature.
    """

    low: Tensor
    per_width: Tensor
    centre: Tensor
    scale: Tensor

    def __init__(
        self, size: int, members: int, width: int, depth: int, bins: int, embedding: int
    ) -> None:
        super().__init__()
        self.size, self.members, self.width, self.depth = size, members, width, depth
        self.bins, self.embedding = bins, embedding
        for name in ("low", "per_width", "centre", "scale", *self.names()):
            self.register_buffer(name, torch.zeros(0))

    def names(self) -> list[str]:
        """Of what is learned by gradient."""
        layers = [f"{part}_{i}" for i in range(self.depth) for part in ("r", "w", "s", "b")]
        return ["embed", "shift", *layers, "head", "bias"]

    def forward(self, features: Tensor) -> Tensor:
        """`(batch, features)`, NaN where missing -> `(batch, size)`, the members' mean."""
        if len(self.low) == 0:
            return features.new_zeros(features.shape[0], self.size)
        weights = {name: getattr(self, name) for name in self.names()}
        return self.each(weights, self.encoded(features)).mean(1)

    def adapt(self, features: Array) -> None:
        """Set bins, centres and scales from training rows `(rows, features)`."""
        levels = np.linspace(0, 1, self.bins + 1)
        with np.errstate(all="ignore"):
            known = np.where(np.isnan(features).all(0), 0, features)
            edges = np.nanquantile(known, levels, axis=0).T
            low, middle, high = np.nanquantile(known, (0.25, 0.5, 0.75), axis=0)
        spread = np.where(high > low, high - low, (edges[:, -1] - edges[:, 0]) / 2)
        self.low = torch.from_numpy(edges[:, :-1]).float()
        self.per_width = torch.from_numpy(_inverse(np.diff(edges, axis=1))).float()
        self.centre = torch.from_numpy(middle).float()
        self.scale = torch.from_numpy(_inverse(spread)).float()

    def start(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Weights with nothing learned; the heads are 0."""
        count, parts, k = len(self.low), self.bins + 2, self.members

        def drawn(*shape: int, inputs: int) -> Tensor:
            return (2 * torch.rand(shape, generator=generator) - 1) / inputs**0.5

        found = {
            "embed": drawn(count, parts, self.embedding, inputs=parts),
            "shift": drawn(count, self.embedding, inputs=parts),
        }
        inputs = count * self.embedding
        for i in range(self.depth):
            signs = 2.0 * torch.randint(0, 2, (k, inputs), generator=generator) - 1
            found[f"r_{i}"] = signs if i == 0 else torch.ones(k, inputs)
            found[f"w_{i}"] = drawn(inputs, self.width, inputs=inputs)
            found[f"s_{i}"] = torch.ones(k, self.width)
            found[f"b_{i}"] = drawn(k, self.width, inputs=inputs)
            inputs = self.width
        found["head"] = torch.zeros(k, inputs, self.size)
        found["bias"] = torch.zeros(k, self.size)
        return found

    def take(self, weights: Mapping[str, Tensor]) -> None:
        """Keep what was learned."""
        for name in self.names():
            setattr(self, name, weights[name].detach().clone())

    def clear(self) -> None:
        """Forget what was adapted: it adds nothing."""
        self.low = torch.zeros(0)

    def encoded(self, features: Tensor) -> Tensor:
        """`(batch, features)` -> `(batch, features, bins + 2)` float32: standardised, whether it is
        missing, and how far it reaches into each bin."""
        values = features.float()
        missing = values.isnan()
        values = torch.where(missing, self.centre, values)
        scaled = (values - self.centre) * self.scale
        squashed = scaled / torch.sqrt(1 + (scaled / EDGE) ** 2)
        reached = ((values.unsqueeze(-1) - self.low) * self.per_width).clamp(0, 1)
        reached = torch.where(missing.unsqueeze(-1), 0, reached)
        return torch.cat([squashed.unsqueeze(-1), missing.float().unsqueeze(-1), reached], -1)

    def each(
        self,
        weights: Mapping[str, Tensor],
        encoded: Tensor,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Every member's output: `(batch, members, size)`."""
        vectors = torch.einsum("bfp,fpe->bfe", encoded, weights["embed"]) + weights["shift"]
        x = F.relu(vectors).flatten(1).unsqueeze(1)
        for i in range(self.depth):
            x = (x * weights[f"r_{i}"]) @ weights[f"w_{i}"] * weights[f"s_{i}"] + weights[f"b_{i}"]
            x = F.relu(x)
            if dropout > 0:
                kept = torch.rand(x.shape, generator=generator) >= dropout
                x = x * kept / (1 - dropout)
        return torch.einsum("bkh,khs->bks", x, weights["head"]) + weights["bias"]


def _inverse(widths: Array) -> Array:
    return np.where(widths > NARROW, 1 / np.maximum(widths, NARROW), 0)
