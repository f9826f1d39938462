"""What the forms of a series share: the layout that `fit` learns."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.form import Form
from polymodal.modalities.series.read import LAYOUTS, Layout, read
from polymodal.table.media import Media


class SeriesForm(Form, ABC):
    """A form of series whose `fit` learns which axis is time and how many channels there are.

    Args:
        layout: "steps_first" for arrays `(steps, channels)`, "channels_first" for the reverse,
            "auto" to tell from the training cells: channels are the axis whose length they share.
    """

    kind = "series"
    dtype = "float32"
    version: ClassVar[int] = 2

    def __init__(self, layout: str) -> None:
        if layout not in LAYOUTS:
            what = f"There is no layout '{layout}' of a series"
            raise lookup.unknown(what, layout, LAYOUTS, "choose one of these")
        self.layout = layout
        self._learned: Layout | None = None
        self._why: UserError | None = None

    def fit(self, cells: Iterable[Media]) -> None:
        found = Layout.learn(cells, self.layout)
        self._learned = found if isinstance(found, Layout) else None
        self._why = found if isinstance(found, UserError) else None

    @property
    def state(self) -> dict[str, Any]:
        return vars(self._learned).copy() if self._learned else {}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._learned = Layout(**state) if state else None

    @property
    def channels(self) -> int:
        """Numbers a step, as `fit` saw them. UserError if it saw no series that can be read."""
        return self._known().channels

    def load(self, cell: Media) -> np.ndarray[Any, Any]:
        """A cell as float32 `(steps, channels)`, all steps; UserErrors as `Layout.load` says."""
        if self._learned is None:
            read(cell)  # its own fault is told first
        return self._known().load(cell)

    def _known(self) -> Layout:
        if self._learned is None:
            first = self._why
            raise UserError(
                "No training row holds a series that can be read"
                + (f"; of the first, {first.what}" if first else ""),
                expected=(first.expected if first else "")
                or "at least one, to learn the number of channels from",
                got=first.got if first else "",
                do="check the column's cells, or overrule its kind with `kind`",
            ) from first
        return self._learned
