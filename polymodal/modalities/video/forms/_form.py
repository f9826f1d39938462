"""What the forms of a clip share: which numbers of arrays are black and white."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Iterator

from PIL import Image

from polymodal.modalities._levelled import LevelledForm
from polymodal.modalities.image import picture as _picture
from polymodal.modalities.video.decode import choose
from polymodal.table.media import Media


class ClipForm(LevelledForm, ABC):
    """A form of clips, whose `levels` are learned by `fit` of those that are arrays."""

    kind = "video"

    def fit(self, cells: Iterable[Media]) -> None:
        self.levels = _picture.learn(cell for cell in cells if cell.values is not None)

    def choose(self, cell: Media, frames: int) -> Iterator[Image.Image]:
        """As `decode.choose`, at the levels of the training clips."""
        return choose(cell, frames, self.levels)
