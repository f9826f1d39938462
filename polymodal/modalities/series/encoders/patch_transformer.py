"""A Transformer over patches of each channel, from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.series.forms.steps import Steps
from polymodal.nn.architecture import Architecture, check_sizes
from polymodal.nn.initial import deviation
from polymodal.nn.masked import Standardise


class PatchTransformer(Encoder):
    """PatchTST (Nie et al. 2023, arXiv 2211.14730), of transformers' layers.

    One network reads every channel alone; a token is a patch's states of all channels, mixed by a
    linear map. Normalised per position where the paper normalises over the batch, which would
    count padding. The paper's for long series is hidden 128, depth 3, heads 16, patch 16, stride 8.

    Args:
        form: the fitted form.
        width: of the tokens.
        hidden: of the states of one channel.
        depth: layers.
        heads: of its attention; must divide `hidden`.
        patch: steps to a patch.
        stride: from one patch to the next; at most `patch`.
        instance: whether each series' channels are brought to mean 0 and deviation 1 of their own
            (then their level and scale are not known), or to the training rows'.
        dropout: in the Transformer.
    """

    kind: ClassVar[str] = "series"
    form: ClassVar[str] = "steps"

    def __init__(
        self,
        form: Steps,
        width: int,
        *,
        hidden: int = 64,
        depth: int = 3,
        heads: int = 4,
        patch: int = 8,
        stride: int = 4,
        instance: bool = False,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        from transformers import PatchTSTConfig
        from transformers.models.patchtst.modeling_patchtst import PatchTSTEncoder

        check_sizes(hidden, heads, depth)
        if not 1 <= stride <= patch:
            raise UserError(
                f"stride={stride} leaves out steps, or stands still",
                expected=f"from 1 to the patch, {patch}",
            )
        self.patch, self.stride, self.instance = patch, stride, instance
        self.most = -(-max(form.limit - patch, 0) // stride) + 1
        config = PatchTSTConfig(
            num_input_channels=form.channels,
            context_length=patch + stride * (self.most - 1),
            patch_length=patch,
            patch_stride=stride,
            num_hidden_layers=depth,
            d_model=hidden,
            num_attention_heads=heads,
            ffn_dim=4 * hidden,
            init_std=deviation(hidden),
            norm_type="layernorm",
            attention_dropout=dropout,
            path_dropout=dropout,
            ff_dropout=dropout,
        )
        self.network = Architecture(PatchTSTEncoder(config, self.most))
        self.scale = Standardise(form.channels)
        self.project = nn.Linear(form.channels * hidden, width)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.scale.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, steps, channels)` -> Tokens `(batch, about steps / stride, width)`."""
        assert field.mask is not None
        model: Any = self.network.model
        x = self.scale(field)
        if self.instance:
            x = _own_scale(x, field.mask)
        # Room for the last patch of the longest and for the only one of the shortest series.
        x = nn.functional.pad(x, (0, 0, 0, self.patch - 1))
        patches = x.unfold(1, self.patch, self.stride).transpose(1, 2)
        mask = self._mask(field.mask, patches.shape[2])
        states = model.embedder(patches)
        known = torch.arange(states.shape[2], device=x.device).clamp(max=self.most - 1)
        states = (states + model.positional_encoder.position_enc[known]).flatten(0, 1)
        # A row without a series reads what there is, which is finite, and is set to zero below.
        read = (mask | ~mask.any(1, keepdim=True)).repeat_interleave(patches.shape[1], 0)
        read = read[:, None, None, :].expand(-1, -1, read.shape[1], -1)
        if self.network.attention == "plain":  # which adds its mask
            read = torch.where(read, 0.0, torch.finfo(states.dtype).min).to(states.dtype)
        for layer in model.layers:
            states = _layer(layer, states, read)
        by_patch = states.unflatten(0, (-1, patches.shape[1])).transpose(1, 2).flatten(2)
        return Tokens(torch.where(mask.unsqueeze(2), self.project(by_patch), 0), mask)

    def _mask(self, mask: Tensor, patches: int) -> Tensor:
        """Which patches are real, `(batch, patches)`: as many as cover a series."""
        steps = mask.sum(1, keepdim=True)
        start = self.stride * torch.arange(patches, device=mask.device)
        return (steps > 0) & ((start == 0) | (start < steps - self.patch + self.stride))


def _layer(layer: Any, states: Tensor, read: Tensor) -> Tensor:
    """What the layer itself does with series that are all of one length."""
    attended = layer.self_attn(layer.norm_sublayer1(states), attention_mask=read)[0]
    states = states + layer.dropout_path1(attended)
    made: Tensor = states + layer.dropout_path3(layer.ff(layer.norm_sublayer3(states)))
    return made


def _own_scale(x: Tensor, mask: Tensor) -> Tensor:
    """Each channel of each row less its mean and by its deviation; zeros where masked."""
    real, count = mask.unsqueeze(2), mask.sum(1).clamp(min=1).view(-1, 1, 1)
    off = torch.where(real, x - torch.where(real, x, 0).sum(1, keepdim=True) / count, 0)
    return off / ((off**2).sum(1, keepdim=True) / count + 1e-5).sqrt()
