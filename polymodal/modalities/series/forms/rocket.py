"""Shares of positive values under many small convolutions: MiniRocket's features of a series."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.modalities.series.forms._form import SeriesForm
from polymodal.modalities.series.read import Layout
from polymodal.table.media import Media

Array = np.ndarray[Any, Any]

LENGTH = 9  # of a kernel
# Weights -1, and 2 in three places: all 84 ways, each of sum 0.
PLACES = tuple(combinations(range(LENGTH), 3))
WEIGHTS = np.full((len(PLACES), LENGTH), -1, np.float32)
np.put_along_axis(WEIGHTS, np.array(PLACES), 2, axis=1)
CHANNELS = 9  # that one kernel adds up at most
SAMPLE = 200  # training cells that biases are learned from
SEED = 0


class Rocket(SeriesForm):
    """A series to float32 `(size,)`: MiniRocket (Dempster et al. 2021, arXiv 2012.08791).

    84 kernels of length 9, each at several dilations and with several biases, which are quantiles
    of what the kernel makes of a training series; a feature is the share of steps at which the
    convolution exceeds its bias. Half of the kernels see zeros beyond both ends, the others only
    steps that they fit around. Of several channels a kernel adds up a random choice (the authors'
    multivariate extension), each less its training mean and by its training deviation. Dilations
    suit the longest training series; where a dilated kernel does not fit into a series without
    zeros beyond its ends, it has them.

    Args:
        count: about how many features, a multiple of 84; the paper has 9 996.
        dilations: of a kernel at most.
        limit: later steps are cut off; `was_truncated` tells.
        layout: as `SeriesForm` says.
    """

    ragged = False

    def __init__(
        self,
        *,
        count: int = 840,
        dilations: int = 32,
        limit: int = 4096,
        layout: str = "auto",
    ) -> None:
        super().__init__(layout)
        for name, value, least in (
            ("count", count, len(PLACES)),
            ("dilations", dilations, 1),
            ("limit", limit, 1),
        ):
            if value < least:
                raise UserError(
                    f"{name}={value} is too small for series/rocket", expected=f"≥ {least}"
                )
        self.count, self.dilations, self.limit = count, dilations, limit
        self._scale: tuple[Array, Array] = np.zeros(0), np.ones(0)
        self._biases: Array = np.zeros(0, np.float32)
        self._plan: list[tuple[int, int]] = []
        self._kernels: list[Array] = []

    def fit(self, cells: Iterable[Media]) -> None:
        """Learn layout, scales, dilations and biases from at most SAMPLE of the cells."""
        sample = _sampled(cells)
        super().fit(sample)
        series = []
        for cell in sample:
            try:
                series.append(self.load(cell)[: self.limit])
            except UserError:
                continue  # `encode` meets this cell again and reports it with its row
        if not series:
            return
        self._set(max(map(len, series)), *_spread(series))
        self._biases = self._quantiles([self._scaled(one) for one in series])

    @property
    def state(self) -> dict[str, Any]:
        learned = super().state
        if learned:
            mean, deviation = self._scale
            learned |= {
                "longest": self._longest,
                "mean": mean.tolist(),
                "deviation": deviation.tolist(),
                "biases": self._biases.tolist(),
            }
        return learned

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        own = dict(state)
        found = [own.pop(name, None) for name in ("longest", "mean", "deviation", "biases")]
        self._learned = Layout(**own) if own else None
        if own:
            longest, mean, deviation, biases = found
            self._set(longest, np.array(mean), np.array(deviation))
            self._biases = np.array(biases, np.float32)

    @property
    def size(self) -> int:
        """Numbers in one vector; known without `fit`."""
        return self.count // len(PLACES) * len(PLACES)

    def encode(self, cell: Media) -> Array:
        """Series -> `(size,)`; see `Form.encode`. UserErrors as `load` says."""
        x = self._scaled(self.load(cell)[: self.limit])
        parts: list[Array] = []
        start = 0
        for (dilation, count), kernels in zip(self._plan, self._kernels, strict=True):
            # In the order of features: kernel by kernel.
            biases = self._biases[start : start + len(PLACES) * count].reshape(len(PLACES), count)
            start += biases.size
            parts.append(_shares(convolved(x, kernels, dilation), biases, dilation, len(parts)))
        return np.concatenate(parts).astype(np.float32)

    def was_truncated(self, cell: Media) -> bool:
        """Whether `encode` leaves out the end of this series."""
        return len(self.load(cell)) > self.limit

    def _set(self, longest: int, mean: Array, deviation: Array) -> None:
        self._longest, self._scale = longest, (mean, deviation)
        self._plan = plan(longest, self.size // len(PLACES), self.dilations)
        rng = np.random.default_rng(SEED)
        self._kernels = [_mixed(len(mean), rng) for _ in self._plan]

    def _scaled(self, x: Array) -> Array:
        mean, deviation = self._scale
        return ((x - mean) / deviation).astype(np.float32)

    def _quantiles(self, series: list[Array]) -> Array:
        """Biases: of each kernel at each dilation, quantiles over one training series."""
        rng = np.random.default_rng(SEED)
        # Of the golden ratio's multiples any run of some covers [0, 1) evenly.
        levels = np.arange(1, self.size + 1) * ((np.sqrt(5) + 1) / 2) % 1
        found = []
        for (dilation, count), kernels in zip(self._plan, self._kernels, strict=True):
            for kernel in kernels:
                x = series[int(rng.integers(len(series)))]
                own, levels = levels[:count], levels[count:]
                found.append(np.quantile(convolved(x, kernel[None], dilation), own))
        return np.concatenate(found).astype(np.float32)


def _spread(series: list[Array]) -> tuple[Array, Array]:
    """Mean and deviation of each channel over all steps; 1 for one that does not vary."""
    count = sum(map(len, series))
    mean = sum(one.sum(0, dtype=np.float64) for one in series) / count
    deviation = np.sqrt(sum(((one - mean) ** 2).sum(0) for one in series) / count)
    constant = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
    return mean, np.where(constant, 1, deviation)


def plan(longest: int, count: int, most: int) -> list[tuple[int, int]]:
    """Dilations, and how many of a kernel's `count` features each gets, more of the smaller ones.

    Dilations are spaced evenly on a logarithmic scale, from 1 to that at which a kernel is as long
    as the longest series; a short series has fewer than `most`.
    """
    exponent = np.log2(max(longest - 1, LENGTH - 1) / (LENGTH - 1))
    slots = min(count, most)
    spaced = np.logspace(0, exponent, slots, base=2).astype(int)
    dilations, shares = np.unique(spaced, return_counts=True)
    counts = (shares * (count / slots)).astype(int)
    counts[: count - counts.sum()] += 1
    return list(zip(dilations.tolist(), counts.tolist(), strict=True))


def convolved(x: Array, kernels: Array, dilation: int) -> Array:
    """`x (steps, channels)` under kernels `(n, LENGTH, channels)`, zeros beyond both ends.

    Returns:
        `(n, steps)`.
    """
    reach, (steps, channels) = (LENGTH // 2) * dilation, x.shape
    padded = np.pad(x.T, ((0, 0), (reach, reach)))
    seen = np.stack([padded[:, i * dilation : i * dilation + steps] for i in range(LENGTH)])
    made: Array = kernels.reshape(len(kernels), -1) @ seen.reshape(LENGTH * channels, steps)
    return made


def _shares(made: Array, biases: Array, dilation: int, turn: int) -> Array:
    """Shares of the steps at which `made (kernels, steps)` exceeds `biases (kernels, count)`, flat.

    Every second kernel, and others at the next dilation, counts only steps that it fits around.
    """
    reach, narrow = (LENGTH // 2) * dilation, 1 - turn % 2
    inner = made[:, reach:-reach] if made.shape[1] > 2 * reach else made
    shares = np.empty(biases.shape)
    for rows, seen in ((slice(1 - narrow, None, 2), made), (slice(narrow, None, 2), inner)):
        for i in range(biases.shape[1]):
            above = seen[rows] > biases[rows, i : i + 1]
            shares[rows, i] = np.count_nonzero(above, axis=1) / above.shape[1]
    return shares.ravel()


def _mixed(channels: int, rng: np.random.Generator) -> Array:
    """The kernels, each of the channels that it adds up: `(kernels, LENGTH, channels)`."""
    chosen = np.zeros((len(PLACES), channels), np.float32)
    exponent = np.log2(min(channels, CHANNELS) + 1)
    for kernel, count in enumerate((2 ** rng.uniform(0, exponent, len(PLACES))).astype(int)):
        chosen[kernel, rng.choice(channels, count, replace=False)] = 1
    return WEIGHTS[:, :, None] * chosen[:, None, :]


def _sampled(cells: Iterable[Media]) -> list[Media]:
    """At most SAMPLE of the cells, each as likely as any other (Vitter, "Random sampling with a
    reservoir", 1985)."""
    rng, kept = np.random.default_rng(SEED), []
    for number, cell in enumerate(cells):
        if number < SAMPLE:
            kept.append(cell)
        elif (place := int(rng.integers(number + 1))) < SAMPLE:
            kept[place] = cell
    return kept
