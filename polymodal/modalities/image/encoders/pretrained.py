"""A pretrained Hugging Face image model, trained on or frozen."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.modalities.image.forms.pretrained import IMAGE, averaging
from polymodal.modalities.image.forms.pretrained import Pretrained as Given
from polymodal.nn import processors
from polymodal.nn.backbone import Backbone, Frozen, projection
from polymodal.nn.masked import all_real


class Pretrained(Encoder):
    """A pretrained model's tokens: of one that is trained on, one a patch or a place of its feature
    map; of a frozen one's kept output, one a picture; of either, as many as the form's `grid` has.

    Args:
        form: image/pretrained, of the same model; its `tune` says which.
        width: of the tokens; None: the model's own.
        dropout: of a tuned model's tokens, of a frozen one's output.
        plain: of a tuned model: its tokens are not normalised, nor projected where they are as wide
            as asked for: what vision-language models of the LLaVA kind call a vision tower.
    """

    kind = "image"
    form = "pretrained"
    bare = True
    gridded = True

    def __init__(
        self, form: Form, width: int | None, *, dropout: float = 0.1, plain: bool = False
    ) -> None:
        super().__init__()
        assert isinstance(form, Given)
        self.width = width or form.size
        self.gridded = form.grid is not None
        places = (form.grid or 1) ** 2
        self.frozen = None if form.tune else Frozen(form.size, width, dropout, places)
        self.tuned = _Tuned(form, width, dropout, plain) if form.tune else None

    def adapt(self, fields: Iterable[Field]) -> None:
        if self.frozen is not None:
            self.frozen.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """`(batch, height, width, 3)` uint8 or `(batch, places, size)` float -> Tokens `(batch,
        length, width)`."""
        if self.tuned is not None:
            values = self.tuned(field.data)
        else:
            assert self.frozen is not None
            values = self.frozen(field)
        return all_real(values)


class _Tuned(nn.Module):
    """A model's last hidden state, projected."""

    shift: Tensor
    scale: Tensor

    def __init__(self, form: Given, width: int | None, dropout: float, plain: bool) -> None:
        super().__init__()
        self.grid, self.patch = form.grid, form.patch
        self.backbone = Backbone(form.path, IMAGE)
        shift, scale = processors.normalisation(form.path)
        self.register_buffer("shift", torch.tensor(shift)[:, None, None])
        self.register_buffer("scale", torch.tensor(scale)[:, None, None])
        own = self.backbone.width
        self.project: nn.Module = nn.Sequential(
            nn.LayerNorm(own), projection(own, width), nn.Dropout(dropout)
        )
        if plain:
            self.project = projection(own, None if width == own else width)

    def forward(self, data: Tensor) -> Tensor:
        """`(batch, height, width, 3)` uint8 -> `(batch, places, width)`."""
        pixels = (data.permute(0, 3, 1, 2).to(self.scale.dtype) - self.shift) * self.scale
        found: Tensor = self.backbone(pixel_values=pixels)
        if self.grid is not None:
            means = averaging(found.shape[1], data.shape[1:3], self.grid, self.patch)
            found = torch.from_numpy(means).to(found) @ found
        values: Tensor = self.project(found)
        return values
