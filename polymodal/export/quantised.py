"""A package's matrix products in 8 bits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polymodal.base.errors import MissingExtra

# What a product becomes, and what it was.
SMALL, WHOLE = "MatMulInteger", ("MatMul", "Gemm")


def graphs(package: Path) -> list[Path]:
    """Of its members, and of the pretrained models that read cells."""
    return sorted(package.rglob("*.onnx"))


def quantised(package: Path) -> tuple[int, int]:
    """Quantise all graphs of a package; how many products became small, and how many there are."""
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise MissingExtra("onnxruntime", "onnx", "Compression") from error
    done = left = 0
    for path in graphs(package):
        small = path.with_suffix(".small")
        with _quiet():
            quantize_dynamic(
                path, small, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8
            )
        small.replace(path)
        kinds = [node.op_type for node in onnx.load(path).graph.node]
        done += kinds.count(SMALL)
        left += sum(kinds.count(one) for one in WHOLE)
    return done, done + left


@contextmanager
def _quiet() -> Iterator[None]:
    """Without advice of the library to its own users."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
