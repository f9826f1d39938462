"""Keys and values of what has been read, in room that is already there for what comes next."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import DynamicCache, DynamicLayer, EncoderDecoderCache

# Places that are made at a time, at least.
PLACES = 64


class Roomy(DynamicLayer):  # type: ignore[no-untyped-call]
    """A layer's keys and values `(rows, heads, places, width)`, which a new place does not move.

    Transformers joins the old and the new to new tensors, a copy of all in every layer for every
    piece that is written. Here they are the beginning of tensors that double as they fill.
    """

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **more: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._rooms = [key_states[:, :, :0], value_states[:, :, :0]]
        before = self.get_seq_length()
        length = before + key_states.shape[2]
        for i, new in enumerate((key_states, value_states)):
            if length > self._rooms[i].shape[2]:
                self._rooms[i] = _wider(self._rooms[i][:, :, :before], max(length, before * 2))
            self._rooms[i][:, :, before:length] = new
        self.keys, self.values = (room[:, :, :length] for room in self._rooms)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        if self.is_initialized:
            length = self.get_seq_length()
            self._rooms = [room.index_select(0, indices) for room in self._rooms]
            self.keys, self.values = (room[:, :, :length] for room in self._rooms)


def _wider(held: Tensor, places: int) -> Tensor:
    rows, heads, length, width = held.shape
    found = held.new_empty(rows, heads, -(-places // PLACES) * PLACES, width)
    found[:, :, :length] = held
    return found


def cache(config: Any, crosses: bool) -> Any:
    """A cache for a model of transformers.

    Args:
        config: the model's.
        crosses: whether its layers read a memory too.
    """
    found = DynamicCache(config=config)
    # Layers of another kind, such as those of a sliding window, keep their own.
    plain: Any = Roomy
    found.layers = [plain() if type(one) is DynamicLayer else one for one in found.layers]
    return EncoderDecoderCache(found, DynamicCache(config=config)) if crosses else found
