"""Precision, attention kernel, memory format and thread count, chosen by timing a step.

Which of them is fast depends on the processor, the model and the batch, and habit is often wrong:
on CPUs without bf16 units bf16 is slower, and the fused attention's backward pass loses to two
plain products at short lengths. A choice is kept beside the cache, by machine and model, so that
the same fit on the same machine is computed the same way again; how long a step takes is measured
every time, since a machine is not always as busy.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from polymodal.base import sealed
from polymodal.base.claims import holds
from polymodal.base.devices import wait
from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Outputs
from polymodal.contract.recipe import Training

M = TypeVar("M", bound=nn.Module)

# A rival must be this much faster than the plain choice: a tie is not worth another precision.
MARGIN = 0.95
# Seconds of measured steps that are enough to know what one takes.
ENOUGH = 1.0
# Keys of the file of choices.
_OWN = re.compile(r"[0-9a-f]{32}|seal")


@dataclass(frozen=True)
class Kernels:
    """How a member is computed.

    Attributes:
        precision: "fp32" or "bf16" (autocast), of training; answers are always in fp32.
        attention: "plain" or "sdpa".
        memory_format: "contiguous" or "channels_last".
        threads: CPU threads of an operation; 0 leaves them alone.
        seconds: what a forward and backward pass on the measured batch took.
    """

    precision: str = "fp32"
    attention: str = "sdpa"
    memory_format: str = "contiguous"
    threads: int = 0
    seconds: float = 0.0

    def autocast(self, device: torch.device | str) -> AbstractContextManager[Any]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(torch.device(device).type, torch.bfloat16)

    def apply(self, model: M) -> M:
        """Set attention kernel and memory format on the model, in place."""
        for module in model.modules():
            if hasattr(module, "attention") and isinstance(module.attention, str):
                setattr(module, "attention", self.attention)  # noqa: B010
        last = self.memory_format == "channels_last"
        kept = torch.channels_last if last else torch.contiguous_format
        return model.to(memory_format=kept)  # type: ignore[call-overload]

    @contextmanager
    def threads_set(self) -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def choose(
    model: nn.Module,
    batch: Batch,
    loss: Callable[[Outputs, Batch], torch.Tensor],
    settings: Training,
    device: torch.device,
    cache: Path,
    limit: float = math.inf,
) -> Kernels:
    """The fastest of what `settings` leave open, from the cache if this machine knows already.

    Args:
        limit: seconds after which no other choice is timed but that of a single thread; the cache
            then learns nothing.
    """
    known = _Known(cache / "kernels.json")
    key = _key(model, batch, settings, device)
    trial = copy.deepcopy(model).to(device)
    trial.train()
    batch = batch.to(device)
    rng = torch.get_rng_state()

    def seconds(kernels: Kernels) -> float:
        trial_model = kernels.apply(trial)

        def step() -> None:
            with kernels.autocast(device):
                outputs = trial_model(batch.inputs, batch.targets)
            torch.autograd.backward(loss(outputs, batch))
            trial_model.zero_grad(set_to_none=True)
            wait(device)

        with kernels.threads_set():
            return _shortest(step)

    best = known.get(key)
    if best is None:
        best, done = _fastest(trial, settings, device, seconds, limit)
        if done:
            known.put(key, replace(best, seconds=0.0))
    else:
        best = replace(best, seconds=seconds(best))
    torch.set_rng_state(rng)
    return best


def _fastest(
    model: nn.Module,
    settings: Training,
    device: torch.device,
    seconds: Callable[[Kernels], float],
    limit: float,
) -> tuple[Kernels, bool]:
    """The plain choice, or what of its rivals is faster by `seconds` of a step; if all were timed.

    But for a single thread no other is timed that would end after `limit` seconds.
    """
    start = time.perf_counter()
    best = Kernels(
        precision="fp32" if settings.precision == "auto" else settings.precision,
        attention="sdpa" if settings.attention == "auto" else settings.attention,
        memory_format=(
            "contiguous" if settings.memory_format == "auto" else settings.memory_format
        ),
        threads=settings.threads or _cores(),
    )
    best = replace(best, seconds=seconds(best))
    each = time.perf_counter() - start
    for rival in _rivals(model, settings, device):
        late = time.perf_counter() - start + each > limit
        # Threads that wait for each other may be why it is late.
        if late and "threads" not in rival:
            return best, False
        candidate = replace(best, **rival)
        took = seconds(candidate)
        if took < best.seconds * MARGIN:
            best = replace(candidate, seconds=took)
    return best, True


def _rivals(
    model: nn.Module, settings: Training, device: torch.device
) -> Iterator[Mapping[str, Any]]:
    """One change at a time, the largest effect first; only what the model can feel.

    Threads that wait for each other on a busy machine cost more than all else.
    """
    if settings.threads == 0 and device.type == "cpu" and _cores() > 1:
        yield {"threads": 1}
    if settings.precision == "auto":
        yield {"precision": "bf16"}
    attends = any(isinstance(getattr(m, "attention", None), str) for m in model.modules())
    if settings.attention == "auto" and attends:
        yield {"attention": "plain"}
    convolves = any(isinstance(m, nn.Conv2d | nn.Conv3d) for m in model.modules())
    if settings.memory_format == "auto" and convolves:
        yield {"memory_format": "channels_last"}


def _shortest(step: Callable[[], None], count: int = 3) -> float:
    """The shortest of a few after one to warm up: noise only ever adds.

    Of steps so slow that a few would take seconds there are fewer.
    """
    step()
    timings: list[float] = []
    while len(timings) < count and sum(timings) < ENOUGH:
        start = time.perf_counter()
        step()
        timings.append(time.perf_counter() - start)
    return min(timings)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _key(model: nn.Module, batch: Batch, settings: Training, device: torch.device) -> str:
    described = [
        platform.processor() or platform.machine(),
        _cores(),
        torch.__version__,
        str(device),
        torch.backends.cpu.get_cpu_capability(),
        [settings.precision, settings.attention, settings.memory_format, settings.threads],
        str(model),
        {name: list(value.data.shape) for name, value in batch.inputs.items()},
    ]
    return hashlib.blake2b(json.dumps(described).encode(), digest_size=16).hexdigest()


class _Known:
    """Choices made before, in one JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _all(self) -> dict[str, Any]:
        try:
            return sealed.read(self.path)
        except UserError:  # none yet, or spoilt
            return {}

    def get(self, key: str) -> Kernels | None:
        found = self._all().get(key)
        return Kernels(**found) if found else None

    def put(self, key: str, kernels: Kernels) -> None:
        if holds(self.path, ()) and not holds(self.path, (), _OWN):
            return  # somebody else's
        sealed.write(self.path, {**self._all(), key: asdict(kernels)})
