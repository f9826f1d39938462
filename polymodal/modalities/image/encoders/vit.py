"""A Vision Transformer, trained from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from torch import nn
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.image.forms.pixels import Pixels
from polymodal.nn.architecture import Architecture, check_sizes
from polymodal.nn.masked import all_real
from polymodal.nn.trunk import Normalise


class Vit(Encoder):
    """`transformers.ViTModel`: a token for the picture ([CLS]), then one a square patch, line by
    line.

    Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words". What patches stick out at the right
    and bottom is filled with the mean colour. It has to learn from pictures what a convolution is
    born with: with a few thousand of them `cnn` is better. Of ViT-B/16's size it is with patch 16,
    hidden 768, depth 12, heads 12 and pictures of 224.

    Args:
        form: gives `(batch, size, size, 3)` uint8.
        width: of the tokens.
        patch: side of a patch in pixels.
        hidden: width of the layers, a multiple of `heads`; the feed-forward ones are four times as
            wide.
        depth: layers.
        heads: attention heads.
        dropout: of the embeddings and of what each layer adds.
    """

    kind: ClassVar[str] = "image"
    form: ClassVar[str] = "pixels"

    def __init__(
        self,
        form: Pixels,
        width: int,
        *,
        patch: int = 8,
        hidden: int = 96,
        depth: int = 3,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        from transformers import ViTConfig, ViTModel

        super().__init__()
        if not 1 <= patch <= form.size:
            raise UserError(f"patch={patch} is no side length", expected=f"1 to {form.size} pixels")
        check_sizes(hidden, heads, depth)
        self.margin = -form.size % patch
        config = ViTConfig(
            image_size=form.size + self.margin,
            patch_size=patch,
            hidden_size=hidden,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            intermediate_size=4 * hidden,
            hidden_dropout_prob=dropout,
        )
        self.normalise = Normalise()
        self.backbone = Architecture(ViTModel(config, add_pooling_layer=False))
        self.project = nn.Linear(hidden, width)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.normalise.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """`(batch, size, size, 3)` uint8 -> Tokens `(batch, 1 + ceil(size / patch)², width)`."""
        pixels = self.normalise(field.data).permute(0, 3, 1, 2)
        padded = F.pad(pixels, (0, self.margin, 0, self.margin))
        return all_real(self.project(self.backbone(pixel_values=padded)))
