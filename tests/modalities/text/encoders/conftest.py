"""Fields from a form's arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from polymodal.contract.batch import Field
from polymodal.contract.form import Form

Collate = Callable[..., Field]


@pytest.fixture
def collate() -> Collate:
    """`collate(form, cells, extra=0)`: cells (None = absent), padded `extra` more than need be.

    The padding holds `garbage`, which must not matter.
    """

    def build(
        form: Form, cells: Sequence[Any], *, extra: int = 0, garbage: float = 0, columns: int = 0
    ) -> Field:
        arrays = [None if cell is None else form.encode(cell) for cell in cells]
        shape = next((a.shape[1:] for a in arrays if a is not None), (columns,))
        longest = extra + max([1, *(len(a) for a in arrays if a is not None)])
        data = np.full((len(cells), longest, *shape), garbage, form.dtype)
        mask = np.zeros((len(cells), longest), bool)
        for i, array in enumerate(arrays):
            if array is not None:
                data[i, : len(array)] = array
                mask[i, : len(array)] = True
        present = torch.tensor([array is not None for array in arrays])
        return Field(torch.from_numpy(data), torch.from_numpy(mask), present)

    return build
