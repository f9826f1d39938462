"""How fast decoders are trained: tokens a second, padding, and the share of the machine's peak."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import nn

from polymodal.base.devices import wait
from polymodal.nn.decoder import Decoder, Work
from polymodal.train.kernels import Kernels

# Sides of the product that tells the peak, and how often it is timed.
SIDE, TIMES = 1024, 3


class Pace:
    """Steps of a training, timed.

    Args:
        model: its decoders count what they compute; a model without one has no pace.
        kernels: as it is computed.
        device: where.
    """

    def __init__(self, model: nn.Module, kernels: Kernels, device: torch.device) -> None:
        self.decoders = [one for one in model.modules() if isinstance(one, Decoder)]
        self.kernels, self.device = kernels, device
        self.seconds = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Around a step."""
        start = time.perf_counter()
        yield
        if self.decoders:
            wait(self.device)
        self.seconds += time.perf_counter() - start

    def numbers(self) -> dict[str, float]:
        """Of the steps since it was last asked.

        Returns:
            "train/tokens_per_second" of real places, "train/padding": the share of places that
            were none, and "train/utilisation": floating-point operations by which the decoders
            learned, over the peak of a product of matrices in the same precision.
        """
        work = [one.work for one in self.decoders]
        places, seconds = sum(one.places for one in work), self.seconds
        if not places or not seconds:
            return {}
        done = sum(map(operations, self.decoders))
        for decoder in self.decoders:
            decoder.work = Work()
        self.seconds = 0.0
        half = self.kernels.precision != Kernels().precision
        peak = _peak(half, self.kernels.threads or torch.get_num_threads(), self.device)
        return {
            "train/tokens_per_second": sum(one.real for one in work) / seconds,
            "train/padding": 1 - sum(one.real for one in work) / places,
            "train/utilisation": done / seconds / peak,
        }


def operations(decoder: Decoder) -> float:
    """What a decoder's `work` took, padding left out where it is no work: 2 a number and place
    forward, as many for the gradient of what it read and, where it learns, of the number; and 4 a
    layer, width and pair of places forward for attention, twice that backward."""
    config, work = decoder.model.config, decoder.work
    numbers = sum(parameter.numel() for parameter in decoder.model.parameters())
    learns = any(parameter.requires_grad for parameter in decoder.model.parameters())
    attention = 12 * config.num_hidden_layers * decoder.width * work.pairs
    return float((6 if learns else 4) * numbers * work.real + attention)


@lru_cache
def _peak(half: bool, threads: int, device: torch.device) -> float:
    """Operations a second of a product of large matrices."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.no_grad():
            # Drawn apart: what a training draws must not depend on whether this was measured.
            own = torch.Generator(device).manual_seed(0)
            square = torch.randn(SIDE, SIDE, generator=own, device=device)
            square = square.bfloat16() if half else square
            best = float("inf")
            for _ in range(TIMES + 1):
                start = time.perf_counter()
                square @ square
                wait(device)
                best = min(best, time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return 2 * SIDE**3 / best
