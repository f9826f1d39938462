"""Boosted trees inside a module: LightGBM's own text, walked by LightGBM."""

from __future__ import annotations

import threading
from collections.abc import MutableMapping
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from polymodal.base.errors import UserError
from polymodal.models.experts._walked import Walked

# Bytes of the hash that stands before the text: LightGBM ends the process over a damaged one.
SEAL = 16
# Rows times trees from which on several threads are worth waking.
MANY = 1_000_000
# What ends the trees in LightGBM's text; what follows tells how they were grown.
END = "end of trees"


class Forest(nn.Module):
    """Sums of trees' leaf values, one sum an output.

    The trees are kept as the bytes of LightGBM's text, after a hash of it: loading a saved run
    executes nothing. To `torch.export` they are one opaque operation.

    Args:
        size: outputs; tree i adds to output i modulo size.
    """

    text: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("text", torch.zeros(0, dtype=torch.uint8))

    def forward(self, features: Tensor) -> Tensor:
        """Features `(batch, features)` float64, NaN where missing -> `(batch, size)` float64."""
        if self.text.shape[0] == 0:
            return features.new_zeros(features.shape[0], self.size)
        # Asking for the operation by its name loads torch's compiler, a second's work.
        walk = _sums if torch.compiler.is_compiling() else _walked
        found: Tensor = walk(features, self.text, self.size)
        return found

    def load(self, text: str) -> None:
        """Take over the text of LightGBM's `Booster.model_to_string()`; "" for no trees."""
        trees, end, _ = text.partition(END)
        content = (trees + end + "\n").encode()
        sealed = _digest(content) + content if end else b""
        self.text = torch.from_numpy(np.frombuffer(sealed, np.uint8).copy())

    def walked(self) -> Walked:
        """The same trees where there is no LightGBM."""
        return Walked(self.content, self.size)

    @property
    def numbers(self) -> int:
        """Features and thresholds of the splits, values of the leaves."""
        lines = self.content.splitlines()
        leaves = [int(line.partition("=")[2]) for line in lines if line.startswith("num_leaves=")]
        return sum(3 * count - 2 for count in leaves)

    @property
    def content(self) -> str:
        """LightGBM's text; "" for no trees."""
        return _opened(self.text)


def _walked(features: Tensor, text: Tensor, size: int) -> Tensor:
    if features.shape[0] == 0:
        return features.new_zeros(0, size)
    booster = _booster(text)
    many = features.shape[0] * booster.num_trees() >= MANY
    found = booster.predict(
        features.detach().cpu().numpy(),
        raw_score=True,
        num_threads=torch.get_num_threads() if many else 1,
    )
    sums = torch.from_numpy(np.asarray(found, np.float64).reshape(-1, size))
    return sums.to(features.device)


_sums = torch.library.custom_op("polymodal::boosted_trees", _walked, mutates_args=())


@_sums.register_fake
def _shape(features: Tensor, text: Tensor, size: int) -> Tensor:
    return features.new_empty(features.shape[0], size)


# Reading the text takes longer than walking its trees for one row.
_read: MutableMapping[Tensor, tuple[int | None, Any]] = WeakTensorKeyDictionary()
_reading = threading.Lock()


def _booster(text: Tensor) -> Any:
    """What the text describes, read once for as long as the tensor is there and unchanged."""
    import lightgbm

    version = None if text.is_inference() else text._version
    with _reading:
        known, booster = _read.get(text, (None, None))
        if booster is None or known != version:
            booster = lightgbm.Booster(model_str=_opened(text))
            _read[text] = version, booster
        return booster


def _opened(text: Tensor) -> str:
    sealed = text.numpy(force=True).tobytes()
    seal, content = sealed[:SEAL], sealed[SEAL:]
    if content and _digest(content) != seal:
        raise UserError(
            "The boosted trees of a member are damaged",
            expected="the bytes that the fit wrote",
            do="restore the run from a copy, or fit again",
        )
    return content.decode()


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=SEAL).digest()
