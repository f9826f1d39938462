"""A graph, computed by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime

from polymodal.contract.answers import Array


class Graph:
    """Named arrays in, named arrays out; threads may share it.

    Args:
        inputs, outputs: their names, in order.
        threads: of an operation; 0 leaves them to onnxruntime.
    """

    def __init__(
        self, path: Path, inputs: Sequence[str], outputs: Sequence[str], threads: int = 0
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        self.outputs = list(outputs)
        # An exporter leaves out what a model does not read.
        self.inputs = [one.name for one in self.session.get_inputs()]

    def __call__(self, given: Mapping[str, Array]) -> dict[str, Array]:
        found = self.session.run(self.outputs, {name: given[name] for name in self.inputs})
        return dict(zip(self.outputs, found, strict=True))
