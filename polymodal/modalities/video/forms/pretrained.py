"""A clip for a pretrained model, or a frozen model's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.modalities._pretrained import PretrainedForm
from polymodal.modalities.image import picture as _picture
from polymodal.modalities.image.forms.pretrained import pooled
from polymodal.modalities.video.forms._form import ClipForm
from polymodal.nn import pretrained, processors
from polymodal.table.media import Media

VIDEO = pretrained.Half("video or image", ("pixel_values",), "vision_model", frames=True)
# Frames that go through a frozen model together.
BATCH = 32


class Pretrained(PretrainedForm, ClipForm):
    """What a pretrained model is given of a clip, or what it makes of it if it is frozen.

    A model of video (VideoMAE, TimeSformer) is given as many frames as it was trained on, spread
    evenly over the clip; a model of pictures is given `frames` of them, one by one. A model that is
    trained on is given uint8 `(frames, height, width, 3)`, cut as its own processor does. A frozen
    one's outputs are computed once and kept: float32 `(1, width)` of a model of video, the mean
    over its last hidden state, and `(frames, width)` of one of pictures, the mean for each.

    Args:
        path: name of a package of weights, folder or hub id of the model.
        tune: whether the model is trained on.
        frames: how many a model of pictures is given.
    """

    opens = ("_processor",)

    def __init__(self, *, path: str, tune: bool = False, frames: int = 8) -> None:
        super().__init__(path, tune)
        if not 1 <= frames <= 256:
            raise UserError(f"frames={frames} is no number of frames", expected="1 to 256")
        self.together = pretrained.told(path, VIDEO, "num_frames")
        self.frames = self.together or frames
        self.dtype = "uint8" if tune else "float32"

    @property
    def size(self) -> int:
        """Width of the model's outputs."""
        return pretrained.width(self.path, VIDEO)

    @property
    def places(self) -> int:
        """How many outputs a frozen model keeps of a clip."""
        return 1 if self.together else self.frames

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        """A Media -> its array."""
        return self.encode_many([cell])[0]

    def encode_many(self, cells: Sequence[Media]) -> list[np.ndarray[Any, Any]]:
        """Several clips, of a frozen model about BATCH frames at once."""
        if self.tune:
            cut = [self._processed(cell, do_rescale=False, do_normalize=False) for cell in cells]
            return [frames.round().astype(np.uint8).transpose(0, 2, 3, 1) for frames in cut]
        step = max(1, BATCH // self.frames)
        starts = range(0, len(cells), step)
        return [out for start in starts for out in self._outputs(cells[start : start + step])]

    def _processed(self, cell: Media, **options: bool) -> np.ndarray[Any, Any]:
        """`(frames, 3, height, width)`; a clip that is shorter ends in copies of its last frame."""
        chosen = [frame.convert("RGB") for frame in self.choose(cell, self.frames)]
        if not chosen:
            raise _picture.broken(cell.label, EOFError("no frame could be decoded"))
        chosen += [chosen[-1]] * (self.frames - len(chosen))
        made = self._processor(chosen, return_tensors="np", **options)["pixel_values"]
        # Processors of video put a clip into a list of clips.
        return np.asarray(made, np.float32).reshape(self.frames, *np.shape(made)[-3:])

    def _outputs(self, cells: Sequence[Media]) -> list[np.ndarray[Any, Any]]:
        """float32 `(1 or frames, width)` each."""
        clips = np.stack([self._processed(cell) for cell in cells])
        pixels = clips if self.together else clips.reshape(-1, *clips.shape[2:])
        (hidden,) = self.reader(pixel_values=pixels)
        return list(pooled(hidden).reshape(len(cells), self.places, -1))

    @cached_property
    def _processor(self) -> Any:
        return processors.image_processor(self.path)

    @cached_property
    def reader(self) -> Any:
        return pretrained.reader(self.path, VIDEO, ("pixel_values",))

    def along(self, folder: Path) -> dict[str, Any]:
        """How frames are cut and normalised, and whether the model reads them at once."""
        pictures = processors.spelled(self._processor, self.path)
        return {"pictures": pictures, "num_frames": self.together}
