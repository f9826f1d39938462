"""What the forms of a picture share: which numbers are black and white, as `fit` learns it."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable
from typing import Any

from PIL import Image

from polymodal.contract.form import Form
from polymodal.modalities.image import picture as _picture
from polymodal.modalities.image.levels import PLAIN, Levels
from polymodal.table.media import Media


class PictureForm(Form, ABC):
    """A form of pictures, whose `levels` are learned by `fit`; of pages the first one is read."""

    kind = "image"
    ragged = False
    beyond = "has pages or frames after the first, which alone is read by {form}"

    levels: Levels = PLAIN

    def fit(self, cells: Iterable[Media]) -> None:
        self.levels = _picture.learn(cells)

    @property
    def state(self) -> dict[str, Any]:
        return self.levels.state

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.levels = Levels.of(state)

    @property
    def notes(self) -> list[str]:
        return self.levels.notes

    def read(self, cell: Media, size: int) -> Image.Image:
        """As `picture.read`, at the levels of the training pictures."""
        return _picture.read(cell, size, self.levels)

    def was_truncated(self, cell: Media) -> bool:
        """Whether there are pages or frames after the first."""
        return _picture.goes_on(cell)


def levels(form: Form) -> Levels:
    """Those that a form has learned; of a form that learns none by type."""
    return form.levels if isinstance(form, PictureForm) else PLAIN
