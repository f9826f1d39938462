"""What the forms of a clip share: which numbers of arrays are black and white."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Iterator
from typing import Any

from PIL import Image

from polymodal.contract.form import Form
from polymodal.modalities.image import picture as _picture
from polymodal.modalities.image.levels import PLAIN, Levels
from polymodal.modalities.video.decode import choose
from polymodal.table.media import Media


class ClipForm(Form, ABC):
    """A form of clips, whose `levels` are learned by `fit` of those that are arrays."""

    kind = "video"
    ragged = False
    levels: Levels = PLAIN

    def fit(self, cells: Iterable[Media]) -> None:
        self.levels = _picture.learn(cell for cell in cells if cell.values is not None)

    @property
    def state(self) -> dict[str, Any]:
        return self.levels.state

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.levels = Levels.of(state)

    @property
    def notes(self) -> list[str]:
        return self.levels.notes

    def choose(self, cell: Media, frames: int) -> Iterator[Image.Image]:
        """As `decode.choose`, at the levels of the training clips."""
        return choose(cell, frames, self.levels)


def levels(form: Form) -> Levels:
    """Those that a form has learned; of a form that learns none by type."""
    return form.levels if isinstance(form, ClipForm) else PLAIN
