"""Placing: a task whose answers are places in media, such as boxes in pictures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from polymodal.contract.task import Task


class Placing(Task):
    """A task that tells where something is in media that models read.

    No training copy of these is moved, for what it tells would have to move along.
    """

    @property
    @abstractmethod
    def looks_at(self) -> tuple[str, ...]:
        """Those of `columns` that hold the media: it takes their cells as `table.media.Media`."""

    @abstractmethod
    def located(
        self, found: dict[str, list[Any]], media: Mapping[str, Sequence[Any]]
    ) -> dict[str, list[Any]]:
        """What `decode` found, told in the units of the rows' own media.

        Args:
            found: columns of predictions.
            media: of `looks_at`: column -> cells, None where missing.
        """
