"""Two networks of one clip: one sees few frames in detail, one all of them at a glance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.video.encoders._volumes import Convolution, Pool, Strides
from polymodal.modalities.video.forms.frames import Frames
from polymodal.nn.masked import all_real
from polymodal.nn.trunk import Normalise, on_present

# Of a stage's widest maps, to its narrow ones; and of what goes over, to the fast channels.
WIDE, OVER = 4, 2
REACH = 5  # frames under a connection from the fast to the slow way
# Frames under each stage's kernels, on the slow way and on the fast one.
SLOW, FAST = (1, 1, 3, 3), (3, 3, 3, 3)


class Slowfast(Encoder):
    """SlowFast (Feichtenhofer et al. 2019, arXiv 1812.03982) on ResNets: one token a slow frame.

    The slow way sees every `alpha`-th frame; the fast one sees all, on `1 / beta` of the channels,
    and gives to the slow one before each stage, by convolutions that stride over time. A token
    joins both. Maps are halved no further than to 4 places a side. The paper's 4 x 16 on ResNet-50
    is channels 64, blocks (3, 4, 6, 3), alpha 8 and beta 8 on 32 frames (33.6 M parameters without
    the answer's layer, 34.5 M with one of 400 classes).

    Args:
        form: gives `(batch, frames, size, size, 3)` uint8.
        width: of the tokens.
        channels: of the slow way's first layer; each stage has twice those of the one before.
        blocks: of each of the four stages.
        alpha: frames to one that the slow way sees.
        beta: channels of the slow way to one of the fast.
        dropout: on the features.
    """

    kind: ClassVar[str] = "video"
    form: ClassVar[str] = "frames"

    def __init__(
        self,
        form: Frames,
        width: int,
        *,
        channels: int = 16,
        blocks: Sequence[int] = (1, 1, 1, 1),
        alpha: int = 4,
        beta: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if len(blocks) != len(SLOW) or min(blocks) < 1:
            raise UserError(f"blocks={list(blocks)} are no stages", expected="four numbers ≥ 1")
        if alpha < 1 or not 1 <= beta <= channels:
            raise UserError(
                "SlowFast's ways do not fit together",
                expected=f"alpha ≥ 1, and beta from 1 to the channels, {channels}",
                got=f"alpha={alpha}, beta={beta}",
            )
        self.alpha = alpha
        self.normalise = Normalise()
        slow, fast = channels, channels // beta
        strides = Strides(form.frames, form.size)
        first, pooled = strides.halve(), strides.halve()
        self.starts = nn.ModuleList(
            nn.Sequential(Convolution(3, size, times, 7, first), Pool(pooled))
            for size, times in ((slow, 1), (fast, 5))
        )
        self.over, self.slow, self.fast = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        now = [slow, fast]
        for stage, count in enumerate(blocks):
            self.over.append(Convolution(now[1], OVER * now[1], REACH, stride=(alpha, 1)))
            stride = strides.halve(space=stage > 0)
            ways = ((self.slow, slow, SLOW, OVER * now[1]), (self.fast, fast, FAST, 0))
            for way, (layers, size, times, more) in enumerate(ways):
                narrow = size << stage
                layers.append(_stage(now[way] + more, narrow, count, times[stage], stride[1]))
                now[way] = WIDE * narrow
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(sum(now), width)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.normalise.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, frames, side, side, 3)` -> Tokens `(batch, slow frames, width)`."""
        return all_real(on_present(self._encode, field, self.training))

    def _encode(self, clips: Tensor) -> Tensor:
        pixels = self.normalise(clips).permute(0, 4, 1, 2, 3)
        slow, fast = self.starts[0](pixels[:, :, :: self.alpha]), self.starts[1](pixels)
        for over, on_slow, on_fast in zip(self.over, self.slow, self.fast, strict=True):
            slow, fast = on_slow(torch.cat([slow, over(fast)], 1)), on_fast(fast)
        seen = fast.mean((3, 4))
        # The fast frames that a slow one stands for; the last may have fewer.
        seen = F.avg_pool1d(seen, self.alpha, ceil_mode=True)
        joined = torch.cat([slow.mean((3, 4)), seen], 1).transpose(1, 2)
        tokens: Tensor = self.project(self.dropout(joined))
        return tokens


class Bottleneck(nn.Module):
    """Narrow convolutions, of which the first sees time, beside a direct way (He et al. 2016)."""

    def __init__(self, before: int, narrow: int, times: int, stride: int) -> None:
        super().__init__()
        after = WIDE * narrow
        self.layers = nn.Sequential(
            Convolution(before, narrow, times),
            Convolution(narrow, narrow, side=3, stride=(1, stride)),
            Convolution(narrow, after, active=False),
        )
        changed = before != after or stride > 1
        direct = Convolution(before, after, stride=(1, stride), active=False)
        self.direct = direct if changed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.direct(x) + self.layers(x))


def _stage(before: int, narrow: int, count: int, times: int, stride: int) -> nn.Sequential:
    layers = [Bottleneck(before, narrow, times, stride)]
    layers += [Bottleneck(WIDE * narrow, narrow, times, 1) for _ in range(count - 1)]
    return nn.Sequential(*layers)
