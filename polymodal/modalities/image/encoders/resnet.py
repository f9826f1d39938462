"""ResNet, trained from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from torch import Tensor, nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.image.forms.pixels import Pixels
from polymodal.nn.architecture import Architecture
from polymodal.nn.masked import all_real
from polymodal.nn.strided import strided
from polymodal.nn.trunk import Normalise, on_present

# Layers -> kind of block, blocks a stage: He et al.'s, and two smaller ones of each kind.
DEPTHS: dict[int, tuple[str, tuple[int, ...]]] = {
    10: ("basic", (1, 1, 1, 1)),
    14: ("bottleneck", (1, 1, 1, 1)),
    18: ("basic", (2, 2, 2, 2)),
    26: ("bottleneck", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
# Smaller pictures lose no resolution to the stem's pooling, as in He et al.'s network for CIFAR.
SMALL = 128


class Resnet(Encoder):
    """`transformers.ResNetModel`'s last map as tokens, one a place.

    He et al. 2016, "Deep Residual Learning for Image Recognition". Each stage after the first
    halves the map's side; stages that would leave less than two places a side are left out, and so
    is the stem's pooling for pictures of fewer than 128 pixels a side. Of the paper's size it is
    with channels 64 and pictures of 224.

    Args:
        form: gives `(batch, size, size, 3)` uint8.
        width: of the tokens.
        depth: layers: 10, 18 or 34 of basic blocks, 14, 26, 50, 101 or 152 of bottlenecks, which
            have four times as many channels.
        channels: of the first stage's blocks; each later stage has twice as many.
        dropout: on the last map.
    """

    kind: ClassVar[str] = "image"
    form: ClassVar[str] = "pixels"

    def __init__(
        self,
        form: Pixels,
        width: int,
        *,
        depth: int = 10,
        channels: int = 24,
        dropout: float = 0.1,
    ) -> None:
        from transformers import ResNetConfig, ResNetModel

        super().__init__()
        if depth not in DEPTHS:
            raise UserError(
                f"There is no ResNet of {depth} layers",
                expected=", ".join(map(str, DEPTHS)),
                got=f"depth={depth}",
            )
        if channels < 4:
            raise UserError(f"channels={channels} is too small", expected="at least 4")
        layer, blocks = DEPTHS[depth]
        wider = 4 if layer == "bottleneck" else 1
        small = form.size < SMALL
        side, stages = -(-form.size // (2 if small else 4)), 1
        while stages < len(blocks) and side > 2:
            side, stages = -(-side // 2), stages + 1
        sizes = [wider * channels << stage for stage in range(stages)]
        model = ResNetModel(
            ResNetConfig(
                embedding_size=channels,
                hidden_sizes=sizes,
                depths=list(blocks[:stages]),
                layer_type=layer,
            )
        )
        if small:
            model.embedder.pooler = nn.Identity()  # type: ignore[assignment]
        _thin(model)
        self.normalise = Normalise()
        self.backbone = Architecture(model)
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(sizes[-1], width))

    def adapt(self, fields: Iterable[Field]) -> None:
        self.normalise.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        return all_real(on_present(self._encode, field, self.training))

    def _encode(self, pixels: Tensor) -> Tensor:
        maps = self.backbone(pixel_values=self.normalise(pixels).permute(0, 3, 1, 2))
        tokens: Tensor = self.project(maps.flatten(2).transpose(1, 2))
        return tokens


def _thin(model: nn.Module) -> None:
    """Let 1 x 1 convolutions with a stride skip places before they convolve (see `strided`), with
    the same answers."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) != module.stride:
            module.register_forward_pre_hook(partial(_skip, module.stride))
            module.stride = (1, 1)


def _skip(step: tuple[int, ...], module: nn.Module, given: tuple[Tensor]) -> Tensor:
    return strided(given[0], step)
