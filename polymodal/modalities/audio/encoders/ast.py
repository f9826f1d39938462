"""A Transformer over patches of the log-mel spectrogram, from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.audio.forms.mel import Mel
from polymodal.nn.architecture import Architecture, check_sizes
from polymodal.nn.initial import deviation
from polymodal.nn.masked import Standardise

MARKS = 2  # tokens for the whole sound that come first: of classes, and of distillation


class Ast(Encoder):
    """The Audio Spectrogram Transformer (Gong et al. 2021, arXiv 2104.01778) by transformers.

    Tokens are its two for the whole sound and one a patch, lowest band first. A place in time has
    learned positions up to the form's `seconds`; what a training batch is stretched beyond that
    shares the last one.

    The paper's is hidden 768, depth 12, heads 12, patch 16, overlap 6 with 128 mels and 1024 frames
    (86 M parameters without the answer's layer).

    Args:
        form: the fitted form.
        width: of the tokens.
        hidden: of the Transformer's states.
        depth: of its layers.
        heads: of its attention; must divide `hidden`.
        patch: side of a patch, in mel bands and frames.
        overlap: of neighbouring patches, in bands and frames.
        dropout: in the Transformer.
    """

    kind: ClassVar[str] = "audio"
    form: ClassVar[str] = "mel"

    def __init__(
        self,
        form: Mel,
        width: int,
        *,
        hidden: int = 128,
        depth: int = 4,
        heads: int = 4,
        patch: int = 16,
        overlap: int = 0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        from transformers import ASTConfig, ASTModel

        check_sizes(hidden, heads, depth)
        if not (1 <= patch <= form.mels and 0 <= overlap < patch):
            raise UserError(
                "Patches do not fit the spectrogram",
                expected=f"patch from 1 to the {form.mels} mel bands, overlap from 0 to patch - 1",
                got=f"patch={patch}, overlap={overlap}",
            )
        self.patch, self.stride = patch, patch - overlap
        frames = ceil(form.seconds * 1000 / form.hop_ms)
        # As many frames as whole patches cover all of them.
        longest = patch + self.stride * -(-max(frames - patch, 0) // self.stride)
        config = ASTConfig(
            hidden_size=hidden,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            intermediate_size=4 * hidden,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            initializer_range=deviation(hidden),
            patch_size=patch,
            frequency_stride=self.stride,
            time_stride=self.stride,
            max_length=longest,
            num_mel_bins=form.mels,
        )
        self.network = Architecture(ASTModel(config))
        first: Any = self.network.model.embeddings
        self.bands, self.times = first.get_shape(config)
        # The library leaves them at 0, where the two first tokens would stay alike for ever.
        for part in (first.cls_token, first.distillation_token, first.position_embeddings):
            nn.init.trunc_normal_(part, std=deviation(hidden))
        self.scale = Standardise(form.mels)
        self.project = nn.Linear(hidden, width)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.scale.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, frames, mels)` -> Tokens `(batch, 2 + bands · times, width)`."""
        assert field.mask is not None
        model: Any = self.network.model
        # Room for the one patch of the shortest sound, whatever there is beside it.
        x = nn.functional.pad(self.scale(field), (0, 0, 0, self.patch - 1))
        maps = model.embeddings.patch_embeddings.projection(x.transpose(1, 2).unsqueeze(1))
        states, mask = self._placed(maps), self._mask(field.mask, maps.shape[3])
        # A row without a sound reads what there is, which is finite, and is set to zero below.
        read = mask | ~mask.any(1, keepdim=True)
        read = read[:, None, None, :].expand(-1, -1, states.shape[1], -1)
        if self.network.attention == "plain":  # which adds its mask
            none = torch.finfo(states.dtype).min
            read = torch.where(read, 0.0, none).to(states.dtype)
        for layer in model.layers:
            states = layer(states, read)
        values = self.project(model.layernorm(states))
        return Tokens(torch.where(mask.unsqueeze(2), values, 0), mask)

    def _placed(self, maps: Tensor) -> Tensor:
        """Maps `(batch, hidden, bands, times)` to patches in their places, two marks before them.

        The result is `(batch, 2 + bands · times, hidden)`.
        """
        first: Any = self.network.model.embeddings
        marks = torch.cat([first.cls_token, first.distillation_token], 1)
        places = first.position_embeddings[0]
        known = torch.arange(maps.shape[3], device=maps.device).clamp(max=self.times - 1)
        by_band = places[MARKS:].view(self.bands, self.times, -1)[:, known]
        patches = (maps.permute(0, 2, 3, 1) + by_band).flatten(1, 2)
        marks = (marks + places[:MARKS]).expand(maps.shape[0], -1, -1)
        placed: Tensor = first.dropout(torch.cat([marks, patches], 1))
        return placed

    def _mask(self, mask: Tensor, times: int) -> Tensor:
        """Which tokens are real, `(batch, 2 + bands · times)`."""
        frames = mask.sum(1, keepdim=True)
        start = self.stride * torch.arange(times, device=mask.device)
        real = (frames > 0) & ((start == 0) | (start < frames - self.patch + self.stride))
        return torch.cat([(frames > 0).expand(-1, MARKS), real.repeat(1, self.bands)], 1)
