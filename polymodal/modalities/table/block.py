"""A table's cells as the features of a linear model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from polymodal.contract.batch import Field
from polymodal.contract.block import Array, Cellwise
from polymodal.modalities.table.forms.cells import Cells
from polymodal.nn.blocks import LIMIT, Sparse, chunks, standard


class Slotted(Sparse):
    """Numbers standardised and clipped, set members as 0 and 1, categories one-hot, gaps marked.

    Args:
        form: says which slot is what.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, form: Cells) -> None:
        super().__init__()
        slots = form.slots
        self.plain = [i for s in slots if s.kind != "category" for i in range(s.start, s.stop)]
        self.numeric = [s.start for s in slots if s.kind == "number"]
        # A set is missing as a whole: its first member tells.
        self.gaps = [s.start for s in slots if s.kind != "category" and s.stop > s.start]
        self.codes = [s.start for s in slots if s.kind == "category"]
        sizes = [s.codes for s in slots if s.kind == "category"]
        marked = len(self.plain) + len(self.gaps)
        self.firsts = (marked + np.cumsum([0, *sizes])[:-1]).tolist()
        self._width = marked + sum(sizes)
        self.columns = len(slots)
        self.register_buffer("mean", torch.zeros(slots[-1].stop))
        self.register_buffer("scale", torch.ones(slots[-1].stop))

    @property
    def width(self) -> int:
        return self._width

    def learn(self, cells: Cellwise, rows: Array) -> None:
        data = np.concatenate([f.data[f.present].numpy() for f in chunks(cells, rows)])
        self.mean[self.numeric], self.scale[self.numeric] = standard(data[:, self.numeric])

    def entries(self, field: Field) -> tuple[Tensor, Tensor]:
        scaled = ((field.data - self.mean) * self.scale).clamp(-LIMIT, LIMIT).nan_to_num(0)
        gaps = field.data[:, self.gaps].isnan().to(scaled.dtype)
        chosen = field.data[:, self.codes].long() + torch.tensor(
            self.firsts, dtype=torch.int64, device=scaled.device
        )
        values = torch.cat([scaled[:, self.plain], gaps, torch.ones_like(chosen).float()], 1)
        values = torch.where(field.present.unsqueeze(1), values, 0) / self.columns**0.5
        fixed = torch.arange(len(self.plain) + len(self.gaps), device=scaled.device)
        return torch.cat([fixed.expand(scaled.shape[0], -1), chosen], 1), values
