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
    piece that is written. Here they are the beginning of tensors that double as they fill. What
    the layer's other methods put in their place moves into new ones with the next piece.
    """

    _rooms: tuple[Tensor, ...] = ()
    _shown: Tensor | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **more: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        assert self.keys is not None and self.values is not None
        before = self.keys.shape[2]
        length = before + key_states.shape[2]
        if self.keys is not self._shown or length > self._rooms[0].shape[2]:
            places = max(length, before * 2)
            self._rooms = tuple(_wider(one, places) for one in (self.keys, self.values))
        for room, new in zip(self._rooms, (key_states, value_states), strict=True):
            room[:, :, before:length] = new
        return self._show(length)

    def batch_select_indices(self, indices: Tensor) -> None:
        if not self.is_initialized or self.keys is not self._shown:
            super().batch_select_indices(indices)
            return
        self._rooms = tuple(room.index_select(0, indices) for room in self._rooms)
        self._show(self.get_seq_length())

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self.batch_select_indices(beam_idx)

    def _show(self, length: int) -> tuple[Tensor, Tensor]:
        keys, values = (room[:, :, :length] for room in self._rooms)
        self.keys = self._shown = keys
        self.values = values
        return keys, values


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
