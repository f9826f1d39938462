"""Where tensors are computed: one rule for training, prediction and frozen backbones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import chain

import torch
from threadpoolctl import ThreadpoolController
from torch import nn

from polymodal.base.errors import UserError

# What torchrun and the usual launchers of MPI tell each of their processes.
WORLD = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")


def device() -> torch.device:
    """The CUDA device if there is one, else the CPU: Apple's MPS lacks the experts' float64."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_of(module: nn.Module) -> torch.device:
    """Where a module's tensors lie; the CPU if it has none."""
    tensors = chain(module.parameters(), module.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def wait(place: torch.device) -> None:
    """Until a GPU has done what it was given: before a clock is read."""
    if place.type == "cuda":
        torch.cuda.synchronize(place)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """What torch draws inside depends on the seed alone; afterwards its state is as before."""
    places = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(places):
        torch.manual_seed(seed)
        yield


def refuse_several_processes() -> None:
    """UserError under a launcher of several processes, which would all fit into one folder."""
    for name in WORLD:
        if int(os.environ.get(name, 1)) > 1:
            raise UserError(
                "A fit runs in one process",
                expected="to be started once, on one machine",
                got=f"{name}={os.environ[name]}",
                do="start it without torchrun, accelerate launch or mpirun",
            )


@contextmanager
def one_thread() -> Iterator[None]:
    """Operations of the calling thread take one CPU thread each; other threads keep theirs.

    Small models on single rows gain nothing by more, and pools of threads that spin for the same
    cores cost a hundredfold.
    """
    # Torch counts threads at a thread's first operation, which would undo the limit.
    torch.get_num_threads()
    with _pools().limit(limits=1, user_api="openmp"):
        yield


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()
