"""Videos that freeze."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from polymodal.contract.corruption import Corruption
from polymodal.contract.form import Form
from polymodal.modalities._levelled import levels
from polymodal.modalities.image.corruptions._pixels import SIDE
from polymodal.modalities.image.levels import PLAIN, Levels
from polymodal.modalities.video.decode import choose
from polymodal.table.media import Media

FRAMES = 32  # spread over the clip, where no form says how many it takes


def load(cell: Media, frames: int, levels: Levels = PLAIN) -> np.ndarray[Any, Any]:
    """At most `frames` frames, spread over a clip: uint8 `(frames, height, width, 3)`, at most SIDE
    a side."""
    pictures = list(choose(cell, frames, levels.wide))
    if pictures:
        pictures[0].thumbnail((SIDE, SIDE))
    return np.array([np.asarray(picture.resize(pictures[0].size)) for picture in pictures])


class DroppedFrames(Corruption):
    """The last frame kept in place of each, with chance `level`; black where none was kept yet.

    Only the frames that the form takes are decoded, at SIDE pixels a side or less.
    """

    kind: ClassVar[str] = "video"

    def __init__(self) -> None:
        self.frames = FRAMES
        self.levels = PLAIN

    def fit(self, form: Form, cells: Iterable[Any]) -> None:
        self.frames = form.settings.get("frames", FRAMES)
        self.levels = levels(form)

    def corrupt(self, cell: Media, level: float, rng: np.random.Generator) -> Media:
        clip = load(cell, self.frames, self.levels)
        if not len(clip):
            return cell  # and its form says what is wrong with it
        kept = rng.random(len(clip)) >= level
        shown = np.maximum.accumulate(np.where(kept, np.arange(len(clip)), -1))
        worse = clip[shown]
        worse[shown < 0] = 0
        return Media(cell.label, values=worse)
