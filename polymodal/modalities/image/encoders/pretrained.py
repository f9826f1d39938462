"""A pretrained Hugging Face image model, trained on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.modalities.image.forms.resized import Resized
from polymodal.nn import pretrained
from polymodal.nn.backbone import Backbone


class Pretrained(Encoder):
    """A model's last hidden state, projected: one token a patch, or a place of a feature map.

    Args:
        form: image/resized, of the same model.
        width: of the tokens.
        dropout: of the tokens.
    """

    kind = "image"
    form = "resized"

    shift: Tensor
    scale: Tensor

    def __init__(self, form: Form, width: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        assert isinstance(form, Resized)
        self.backbone = Backbone(form.path, "image")
        shift, scale = pretrained.normalisation(form.path)
        self.register_buffer("shift", torch.tensor(shift)[:, None, None])
        self.register_buffer("scale", torch.tensor(scale)[:, None, None])
        self.project = nn.Sequential(
            nn.LayerNorm(self.backbone.width),
            nn.Linear(self.backbone.width, width),
            nn.Dropout(dropout),
        )

    def forward(self, field: Field) -> Tokens:
        """`(batch, height, width, 3)` uint8 -> Tokens `(batch, patches, width)`."""
        pixels = (field.data.permute(0, 3, 1, 2).to(self.scale.dtype) - self.shift) * self.scale
        values = self.project(self.backbone(pixel_values=pixels))
        return Tokens(values, field.present.unsqueeze(1).expand(values.shape[:2]))
