"""A Transformer over patches of frames whose attention is parted into time and space."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from torch import nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.video.forms.frames import Frames
from polymodal.nn.architecture import Architecture, check_sizes
from polymodal.nn.initial import deviation
from polymodal.nn.masked import all_real
from polymodal.nn.trunk import Normalise


class Transformer(Encoder):
    """TimeSformer (Bertasius et al. 2021, arXiv 2102.05095) by transformers, from scratch.

    Every layer lets a patch read its own place in all frames, then its own frame. Tokens are one
    for the clip, then one a patch: place by place, in each frame by frame. The attention is always
    plain products, since the library's class has no other.

    The paper's is hidden 768, depth 12, heads 12, patch 16 on 8 frames of 224 pixels (121.3 M
    parameters without the answer's layer).

    Args:
        form: gives `(batch, frames, size, size, 3)` uint8.
        width: of the tokens.
        hidden: of the Transformer's states.
        depth: of its layers.
        heads: of its attention; must divide `hidden`.
        patch: side of a patch in pixels.
        dropout: in the Transformer.
    """

    kind: ClassVar[str] = "video"
    form: ClassVar[str] = "frames"

    def __init__(
        self,
        form: Frames,
        width: int,
        *,
        hidden: int = 128,
        depth: int = 4,
        heads: int = 4,
        patch: int = 16,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        from transformers import TimesformerConfig, TimesformerModel

        check_sizes(hidden, heads, depth)
        if not 1 <= patch <= form.size:
            raise UserError(f"patch={patch} is no side length", expected=f"1 to {form.size} pixels")
        self.margin = -form.size % patch
        config = TimesformerConfig(
            image_size=form.size + self.margin,
            patch_size=patch,
            num_frames=form.frames,
            hidden_size=hidden,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            intermediate_size=4 * hidden,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            initializer_range=deviation(hidden),
        )
        self.normalise = Normalise()
        self.network = Architecture(TimesformerModel(config))
        # The library leaves them at 0, where moments are told apart only once they have grown.
        first: Any = self.network.model.embeddings
        nn.init.trunc_normal_(first.time_embeddings, std=deviation(hidden))
        self.project = nn.Linear(hidden, width)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.normalise.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, frames, side, side, 3)` -> Tokens `(batch, 1 + patches · frames, width)`.

        What sticks out at the right and bottom is filled with zeros, the mean colour.
        """
        pixels = self.normalise(field.data).permute(0, 1, 4, 2, 3)
        pixels = nn.functional.pad(pixels, (0, self.margin, 0, self.margin))
        return all_real(self.project(self.network(pixel_values=pixels)))
