"""What the forms of a picture share: which numbers are black and white, as `fit` learns it."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable

from PIL import Image

from polymodal.modalities._levelled import LevelledForm
from polymodal.modalities.image import picture as _picture
from polymodal.table.media import Media


class PictureForm(LevelledForm, ABC):
    """A form of pictures, whose `levels` are learned by `fit`; of pages the first one is read."""

    kind = "image"
    beyond = "has pages or frames after the first, which alone is read by {form}"

    def fit(self, cells: Iterable[Media]) -> None:
        self.levels = _picture.learn(cells)

    def read(self, cell: Media, size: int) -> Image.Image:
        """As `picture.read`, at the levels of the training pictures."""
        return _picture.read(cell, size, self.levels)

    def was_truncated(self, cell: Media) -> bool:
        """Whether there are pages or frames after the first."""
        return _picture.goes_on(cell)
