"""What the forms of pictures and clips share: which numbers are black and white."""

from __future__ import annotations

from abc import ABC
from typing import Any

from polymodal.contract.form import Form, plain
from polymodal.modalities.image.levels import PLAIN, Levels


class LevelledForm(Form, ABC):
    """A form whose `levels` are learned by its `fit`."""

    ragged = False
    levels: Levels = PLAIN

    @property
    def state(self) -> dict[str, Any]:
        return self.levels.state

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.levels = Levels.of(state)

    @property
    def notes(self) -> list[str]:
        return self.levels.notes


def levels(form: Form) -> Levels:
    """Those that a form has learned; of a form that learns none by type."""
    learned = (one.levels for one in plain([form]) if isinstance(one, LevelledForm))
    return next(learned, PLAIN)
