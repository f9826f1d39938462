"""TensorFlow Lite by its C interface: one network of one input and one output."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base.errors import UserError


class Lite:
    """A `.tflite` file of floats, ready to be run; not by two threads at once.

    Args:
        library: the runtime, libtensorflowlite_c.
        file: the network.

    Raises:
        UserError: the runtime does not load on this machine, or the file is damaged.
    """

    def __init__(self, library: Path, file: Path) -> None:
        try:
            self._lib = ctypes.CDLL(str(library))
        except OSError as error:
            raise UserError(
                f"{library.name} cannot be loaded on this machine",
                got=str(error),
                do="choose other weights, or none",
            ) from error
        pointer, number = ctypes.c_void_p, ctypes.c_int32
        for name, result, arguments in (
            ("ModelCreateFromFile", pointer, [ctypes.c_char_p]),
            ("InterpreterCreate", pointer, [pointer, pointer]),
            ("InterpreterOptionsCreate", pointer, []),
            ("InterpreterOptionsSetNumThreads", None, [pointer, number]),
            ("InterpreterAllocateTensors", number, [pointer]),
            ("InterpreterInvoke", number, [pointer]),
            ("InterpreterGetInputTensor", pointer, [pointer, number]),
            ("InterpreterGetOutputTensor", pointer, [pointer, number]),
            (
                "InterpreterResizeInputTensor",
                number,
                [pointer, number, ctypes.POINTER(number), number],
            ),
            ("TensorByteSize", ctypes.c_size_t, [pointer]),
            ("TensorNumDims", number, [pointer]),
            ("TensorDim", number, [pointer, number]),
            ("TensorCopyFromBuffer", number, [pointer, pointer, ctypes.c_size_t]),
            ("TensorCopyToBuffer", number, [pointer, pointer, ctypes.c_size_t]),
        ):
            function = getattr(self._lib, f"TfLite{name}")
            function.restype, function.argtypes = result, arguments
        options = self._call("InterpreterOptionsCreate")
        self._call("InterpreterOptionsSetNumThreads", options, 1)
        model = self._call("ModelCreateFromFile", str(file).encode())
        self._interpreter = self._call("InterpreterCreate", model, options) if model else None
        if self._interpreter is None:
            raise UserError(
                f"{file} is damaged: it holds no network",
                expected="a TensorFlow Lite file, whole",
                got=f"{file.stat().st_size:,} bytes" if file.is_file() else "no file",
                do="install its package again",
            )
        self._shape: tuple[int, ...] = ()

    def __call__(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The network's output, float32, of an input of any shape that it takes."""
        if values.shape != self._shape:
            shape = (ctypes.c_int32 * values.ndim)(*values.shape)
            self._done("InterpreterResizeInputTensor", self._interpreter, 0, shape, values.ndim)
            self._done("InterpreterAllocateTensors", self._interpreter)
            self._shape = values.shape
        given = np.ascontiguousarray(values, np.float32)
        into = self._call("InterpreterGetInputTensor", self._interpreter, 0)
        self._done("TensorCopyFromBuffer", into, given.ctypes.data, given.nbytes)
        self._done("InterpreterInvoke", self._interpreter)
        out = self._call("InterpreterGetOutputTensor", self._interpreter, 0)
        dimensions = range(self._call("TensorNumDims", out))
        found = np.empty([self._call("TensorDim", out, i) for i in dimensions], np.float32)
        self._done("TensorCopyToBuffer", out, found.ctypes.data, found.nbytes)
        return found

    def _call(self, name: str, *given: Any) -> Any:
        return getattr(self._lib, f"TfLite{name}")(*given)

    def _done(self, name: str, *given: Any) -> None:
        if self._call(name, *given):
            raise RuntimeError(f"TensorFlow Lite cannot do {name}")
