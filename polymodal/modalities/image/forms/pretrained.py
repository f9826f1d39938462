"""A picture for a pretrained model: cut to its size, or a frozen model's output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.modalities._pretrained import PretrainedForm
from polymodal.modalities.image.forms._form import PictureForm
from polymodal.nn import pretrained, processors
from polymodal.table.media import Media

IMAGE = pretrained.Half("image", ("pixel_values",), "vision_model")
# Side of a grid at most: beyond it every place of usual models is a token of its own.
FINEST = 32
# Pictures that go through a frozen model together.
BATCH = 32


class Pretrained(PretrainedForm, PictureForm):
    """What a pretrained model is given of a picture, or what it makes of it if it is frozen.

    A model that is trained on is given uint8 `(height, width, 3)`, resized and cropped as its own
    processor does; its normalisation is left to the encoder, so that pictures are kept as bytes. A
    frozen one's output is computed once and kept: float32 `(1, width)`, the mean over its last
    hidden state, or with a grid float16 `(grid², width)`, line by line.

    Convolutional networks give maps and Transformers patches (ResNet, EfficientNet; ViT, DINOv2,
    SigLIP, CLIP's half for pictures): either has positions to take the mean over.

    Args:
        path: name of a package of weights, folder or hub id of the model.
        tune: whether the model is trained on.
        grid: side of a grid of tokens that the model's places are averaged to, for who reads where
            things are, as decoders do; None: of a frozen model their mean, else all of them.
    """

    version = 3
    opens = ("_processor",)

    def __init__(self, *, path: str, tune: bool = False, grid: int | None = None) -> None:
        super().__init__(path, tune)
        if grid is not None and not 1 <= grid <= FINEST:
            raise UserError(
                f"A picture is no grid of {grid} by {grid} tokens",
                expected=f"a grid from 1 to {FINEST}",
                do="leave `grid` out for one token of a frozen model, all of a trained one",
            )
        self.grid = grid
        self.dtype = "uint8" if tune else "float32" if grid is None else "float16"

    @property
    def shows_all(self) -> bool:  # type: ignore[override]
        return processors.stretches(self._processor)

    @property
    def size(self) -> int:
        """Width of the model's outputs."""
        return pretrained.width(self.path, IMAGE)

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        """A Media -> its array."""
        return self._cut(cell) if self.tune else self._outputs([cell])[0]

    def encode_many(self, cells: Sequence[Media]) -> list[np.ndarray[Any, Any]]:
        """Several pictures, of a frozen model BATCH at once."""
        if self.tune:
            return [self._cut(cell) for cell in cells]
        starts = range(0, len(cells), BATCH)
        return [out for start in starts for out in self._outputs(cells[start : start + BATCH])]

    def _cut(self, cell: Media) -> np.ndarray[Any, Any]:
        """uint8 `(height, width, 3)`."""
        picture = self.read(cell, self._side)
        processed = self._processor(
            picture, do_rescale=False, do_normalize=False, return_tensors="np"
        )
        return np.asarray(processed["pixel_values"][0], np.uint8).transpose(1, 2, 0)

    def _outputs(self, cells: Sequence[Media]) -> list[np.ndarray[Any, Any]]:
        """`(1, width)` or `(grid², width)` each."""
        pictures = [self.read(cell, self._side) for cell in cells]
        inputs = self._processor(pictures, return_tensors="np")["pixel_values"]
        (hidden,) = self.reader(pixel_values=np.asarray(inputs, np.float32))
        if self.grid is None:
            return list(pooled(hidden)[:, None])
        values = (
            hidden if hidden.ndim == 3 else hidden.reshape(*hidden.shape[:2], -1).swapaxes(1, 2)
        )
        means = averaging(values.shape[1], np.shape(inputs)[-2:], self.grid, self.patch)
        return list((means @ values).astype(np.float16))

    @cached_property
    def patch(self) -> int | None:
        """Side of the model's patches, where it says that it has some."""
        found: int | None = pretrained.told(self.path, IMAGE, "patch_size")
        return found

    @cached_property
    def _side(self) -> int:
        """The longest side that the processor asks for."""
        return processors.side(self._processor)

    @cached_property
    def _processor(self) -> Any:
        pretrained.check_frames(self.path, IMAGE)
        return processors.image_processor(self.path)

    @cached_property
    def reader(self) -> Any:
        return pretrained.reader(self.path, IMAGE, ("pixel_values",))

    def along(self, folder: Path) -> dict[str, Any]:
        """How pictures are cut and normalised, and the side of the model's patches."""
        pictures = processors.spelled(self._processor, self.path)
        return {"pictures": pictures, "patch_size": self.patch}


def pooled(hidden: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Means over positions `(batch, positions, width)` or places `(batch, width, rows, columns)`:
    `(batch, width)`."""
    means: np.ndarray[Any, Any] = hidden.mean(1) if hidden.ndim == 3 else hidden.mean((2, 3))
    return means


@lru_cache(maxsize=8)
def averaging(
    positions: int, sides: tuple[int, ...], grid: int, patch: int | None = None
) -> np.ndarray[Any, Any]:
    """What makes tokens of a model's positions: float32 `(grid², positions)`, rows that sum to 1.

    Args:
        positions: the picture's places line by line, and before them marks that stand for none.
        sides: height and width of the picture, which its places share out alike.
        grid: places of the model overlap where their number is no multiple of it.
        patch: side of a place, as the model says; where it says none, or its later layers join
            patches, there are as many places as the positions have room for.
    """
    height, width = sides
    lines, columns = (side // patch if patch else 0 for side in sides)
    if not 0 < lines * columns <= positions:
        columns = max(1, math.isqrt(positions * width // height))
        lines = min(max(1, round(columns * height / width)), positions // columns)
    found = np.zeros((grid * grid, positions), np.float32)
    found[:, positions - lines * columns :] = np.kron(_shares(lines, grid), _shares(columns, grid))
    return found


def _shares(count: int, parts: int) -> np.ndarray[Any, Any]:
    """`(parts, count)`: each part is the mean of those that lie in it, if only with an end."""
    found = np.zeros((parts, count), np.float32)
    for part, own in enumerate(found):
        own[part * count // parts : -(-(part + 1) * count // parts)] = 1
    return found / found.sum(1, keepdims=True)
