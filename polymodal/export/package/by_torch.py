"""A program of `torch.export`, computed by PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from polymodal.contract.answers import Array


class Graph:
    """Named arrays in, named arrays out; threads may share it.

    Args:
        inputs, outputs: their names, in order.
        threads: of an operation; 0 leaves them to PyTorch.
    """

    def __init__(
        self, path: Path, inputs: Sequence[str], outputs: Sequence[str], threads: int = 0
    ) -> None:
        self.program = torch.export.load(path).module()
        self.inputs, self.outputs = list(inputs), list(outputs)
        if threads:
            torch.set_num_threads(threads)

    def __call__(self, given: Mapping[str, Array]) -> dict[str, Array]:
        with torch.inference_mode():
            found = self.program(*(torch.from_numpy(given[name]) for name in self.inputs))
        return {name: one.numpy() for name, one in zip(self.outputs, found, strict=True)}
