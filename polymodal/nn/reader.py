"""A model that nothing is learned by, as a form calls it: named arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.base.devices import device, device_of

Array = np.ndarray[Any, Any]


class Reader:
    """A module in evaluation mode, where tensors are computed.

    Attributes:
        module: takes tensors in the order of `names`, and gives a tuple of tensors.
        names: of what it is called with; all have a row of the batch on their first axis.
        ragged: whether their second axis varies too.
        outputs: what its answers are called.
    """

    outputs: tuple[str, ...] = ("hidden",)

    def __init__(self, module: nn.Module, names: tuple[str, ...], *, ragged: bool = False) -> None:
        self.module, self.names, self.ragged = module.to(device()).eval(), names, ragged
        self._told: Callable[[Mapping[str, Array]], None] | None = None

    @torch.inference_mode()
    def __call__(self, **inputs: Array) -> tuple[Array, ...]:
        """One array for each of `outputs`."""
        if self._told is not None:
            self._told(inputs)
        place = device_of(self.module)
        given = (torch.from_numpy(inputs[name]).to(place) for name in self.names)
        # Whoever computes in bfloat16 has arrays of it all the same.
        return tuple(_plain(one).cpu().numpy() for one in self.module(*given))

    def heard(self, read: Callable[[], Any]) -> dict[str, Array]:
        """What it is called with first while something is read."""
        calls: list[Mapping[str, Array]] = []
        self._told = calls.append
        try:
            read()
        finally:
            self._told = None
        return dict(calls[0])


def _plain(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


class Last(nn.Module):
    """A model of transformers: named inputs to its last hidden state.

    Args:
        names: of the inputs, in order.
    """

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> tuple[Tensor]:
        return (self.model(**dict(zip(self.names, inputs, strict=True))).last_hidden_state,)
