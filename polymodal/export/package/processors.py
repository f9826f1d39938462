"""What stands in for `nn.processors` in an exported model."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from polymodal.contract.answers import Array
from polymodal.export.package.pretrained import facts

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class Cutter:
    """A tokenizer, as `text.forms._pieces` asks it."""

    backend_tokenizer: Any
    unk_token_id: int | None


def tokenizer(path: str) -> Cutter:
    # Named where it is needed alone: models of pictures need no tokenizers.
    loaded = importlib.import_module("tokenizers").Tokenizer.from_file(str(Path(path) / TOKENIZER))
    return Cutter(loaded, facts(path)["unknown"])


class Pictures:
    """Pictures resized, cut and normalised as a processor of transformers does.

    Args:
        described: as `nn.processors.spelled` has it.
    """

    def __init__(self, described: Mapping[str, Any]) -> None:
        self.resize, self.crop = described["resize"], described["crop"]
        self.scale = described["scale"]
        self.size = dict(self.resize[0]) if self.resize else {}

    def __call__(
        self, pictures: Any, *, do_rescale: bool = True, do_normalize: bool = True, **options: Any
    ) -> dict[str, Array]:
        """`(pictures, 3, height, width)`: bytes where neither is asked for, else float32."""
        every = [pictures] if isinstance(pictures, Image.Image) else pictures
        made = np.stack([self._cut(one).transpose(2, 0, 1) for one in every])
        if self.scale is None or not (do_rescale or do_normalize):
            return {"pixel_values": made}
        first, second = (np.array(one)[:, None, None] for one in self.scale)
        return {"pixel_values": ((made - first) * second).astype(np.float32)}

    def _cut(self, picture: Image.Image) -> Array:
        if self.resize is not None:
            picture = picture.resize(self._sides(picture), Image.Resampling(self.resize[1]))
        return np.asarray(picture) if self.crop is None else _middle(np.asarray(picture), self.crop)

    def _sides(self, picture: Image.Image) -> tuple[int, int]:
        """Width and height."""
        size = self.size
        if size.get("height") and size.get("width"):
            return size["width"], size["height"]
        short, long = sorted(picture.size)
        least = size["shortest_edge"]
        other = int(least * long / short)
        return (least, other) if picture.width <= picture.height else (other, least)


def image_processor(path: str) -> Pictures:
    return Pictures(facts(path)["pictures"])


def side(processor: Pictures) -> int:
    return int(max(value for value in processor.size.values() if value))


def _middle(pixels: Array, size: Mapping[str, int]) -> Array:
    """The middle of a picture `(rows, columns, 3)`, black around it where it is smaller."""
    for axis, wanted in enumerate((size["height"], size["width"])):
        lacking = wanted - pixels.shape[axis]
        if lacking > 0:
            before = -(-lacking // 2)
            around = [(0, 0)] * 3
            around[axis] = (before, lacking - before)
            pixels = np.pad(pixels, around)
        else:
            pixels = pixels.take(np.arange(wanted) + -lacking // 2, axis)
    return pixels
