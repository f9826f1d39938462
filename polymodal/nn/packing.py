"""Several sequences in one: shorter rows side by side, so that little is padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def bins(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Which rows stand side by side: the longest first, each in the first bin that has room.

    First-fit decreasing needs at most 11/9 of the fewest bins, and one more (Dosa 2007).

    Args:
        size: of a bin; no row is longer.
    """
    found: list[list[int]] = []
    room: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        place = next((i for i, free in enumerate(room) if free >= lengths[row]), None)
        if place is None:
            place = len(found)
            found.append([])
            room.append(size)
        found[place].append(row)
        room[place] -= lengths[row]
    return found


@dataclass(frozen=True)
class Packed:
    """Rows side by side.

    Attributes:
        vectors: `(bins, size, width)`, zeros where nothing is.
        positions: `(bins, size)`: they start again with every row, by which Transformers tells
            rows apart where no mask is given; zeros where nothing is, each place a row of its own.
        seats: `(places,)`: where the rows' real places, one row after another, are among all.
    """

    vectors: Tensor
    positions: Tensor
    seats: Tensor


def pack(vectors: Tensor, mask: Tensor, size: int) -> Packed | None:
    """The real places of rows, packed; None where that would be no fewer.

    Args:
        vectors, mask: `(rows, length, width)` and `(rows, length)` bool.
        size: of a bin at least; it is as long as the longest row.
    """
    lengths = mask.sum(1).tolist()
    size = max(size, *lengths)
    placed = bins(lengths, size)
    if len(placed) * size >= mask.numel():
        return None
    starts = [0] * len(lengths)
    for number, own in enumerate(placed):
        begin = number * size
        for row in own:
            starts[row] = begin
            begin += lengths[row]
    counts = torch.tensor(lengths, device=mask.device)
    first = (counts.cumsum(0) - counts).repeat_interleave(counts)
    within = torch.arange(len(first), device=mask.device) - first
    seats = torch.tensor(starts, device=mask.device).repeat_interleave(counts) + within
    flat = vectors.new_zeros(len(placed) * size, vectors.shape[2])
    positions = torch.zeros(len(placed) * size, dtype=torch.long, device=mask.device)
    shape = (len(placed), size)
    return Packed(
        flat.index_copy(0, seats, vectors[mask]).view(*shape, -1),
        positions.index_copy(0, seats, within).view(shape),
        seats,
    )
