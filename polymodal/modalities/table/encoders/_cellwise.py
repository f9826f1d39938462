"""A table's cells to vectors, one a column."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from polymodal.modalities.table.encoders._categories import Categories


def cellwise(
    data: Tensor,
    numbers: tuple[Tensor, Tensor, Tensor],
    categories: Categories,
    sets: Iterable[tuple[tuple[int, int], Tensor]],
) -> tuple[Tensor, Tensor]:
    """Numbers as linear functions of what is known of them, categories as embeddings, sets as the
    sum of their members' embeddings, in this order.

    Args:
        data: the form's arrays `(batch, d)`.
        numbers: their places in it, what is known of each `(batch, numbers, features)`, and the
            functions `(numbers, features, width)`.
        sets: where each begins and ends in it, and its members' embeddings `(members, width)`.

    Returns:
        Vectors `(batch, columns, width)`, and which cells are there `(batch, columns)`.
    """
    places, known, weight = numbers
    values = [torch.einsum("bnf,nfw->bnw", known.to(weight.dtype), weight), categories(data)]
    masks = [~data[:, places].isnan(), categories.codes(data) > 0]
    for (start, stop), members in sets:
        chosen = data[:, start:stop]
        values.append((chosen.nan_to_num().to(members.dtype) @ members).unsqueeze(1))
        masks.append(~chosen.isnan().all(1, keepdim=True))
    return torch.cat(values, 1), torch.cat(masks, 1)
