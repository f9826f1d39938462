"""Which numbers of a picture are black and white: what its type could hold, or what is there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polymodal.base.errors import UserError

# What each type of number could hold. 16-bit images are of words, lists of whole numbers of bytes.
TOPS = {"byte": 255.0, "word": 65535.0, "whole": 255.0, "real": 1.0}
# A range that fills less of its type than this would come out almost flat in 8 bits.
PART = 0.25
# Of each picture's numbers, beyond which few count: a dead pixel is no white.
OUTLIERS = (0.1, 99.9)
# Numbers that are looked at in one picture.
_LOOKED = 100_000
# Rows of a picture that are brought to bytes at a time.
_ROWS = 256


@dataclass(frozen=True)
class Levels:
    """How the numbers of a column's pictures become brightness, as its training pictures say.

    Attributes:
        spans: type of number -> which are black and white, where not by the type's own range.
        backdrop: the colour under what is transparent.
    """

    spans: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    backdrop: str = "white"

    @property
    def state(self) -> dict[str, Any]:
        """JSON-able; {} for levels by type over white."""
        spans = {name: list(span) for name, span in self.spans.items()}
        return ({"spans": spans} if spans else {}) | (
            {"backdrop": self.backdrop} if self.backdrop != "white" else {}
        )

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Levels:
        """What `state` gave."""
        spans = {name: (low, high) for name, (low, high) in state.get("spans", {}).items()}
        return cls(spans, state.get("backdrop", "white"))

    @property
    def notes(self) -> list[str]:
        """What is unusual, in words."""
        said = [
            f"hold numbers from {low:g} to {high:g}: these are black and white, not 0 and "
            f"{TOPS[name]:g} as the type says"
            for name, (low, high) in self.spans.items()
        ]
        if self.backdrop != "white":
            said.append(f"vanish over white where transparent: they are put over {self.backdrop}")
        return said

    @property
    def wide(self) -> Levels:
        """The same for all but bytes, whose own numbers are kept: for who hands on bytes."""
        rest = {name: span for name, span in self.spans.items() if name != "byte"}
        return Levels(rest, self.backdrop)

    def to_bytes(self, array: np.ndarray[Any, Any], label: str) -> np.ndarray[Any, Any]:
        """Brightness `(height, width, channels)` to uint8; UserError if it is none."""
        if array.dtype == np.bool_:
            return array.astype(np.uint8) * np.uint8(255)
        if array.dtype.kind not in "iuf":
            raise UserError(f"{label} is an array of {array.dtype}, not of numbers")
        name = type_of(array)
        span = self.spans.get(name)
        if name == "byte" and span is None:
            return array
        low, high = float(array.min()), float(array.max())
        black, white = span or (0.0, TOPS[name])
        known = np.isfinite(low) and np.isfinite(high)
        if not known or (span is None and not (low >= black and high <= white)):
            raise UserError(
                f"{label} holds {array.dtype} numbers that are no brightness",
                expected="integers from 0 to 255, or floats from 0 to 1, unless all training rows"
                " hold others",
                got=f"numbers from {low:g} to {high:g}",
                do="scale them before they go into the table",
            )
        found = np.empty(array.shape, np.uint8)
        for start in range(0, len(array), _ROWS):
            part = (array[start : start + _ROWS] - np.float64(black)) * (255 / (white - black))
            found[start : start + _ROWS] = np.rint(part.clip(0, 255))
        return found


PLAIN = Levels()


def type_of(array: np.ndarray[Any, Any]) -> str:
    """One of TOPS."""
    if array.dtype.kind == "f":
        return "real"
    return {np.dtype(np.uint8): "byte", np.dtype(np.uint16): "word"}.get(array.dtype, "whole")


class Range:
    """The numbers of some pictures, of each type."""

    def __init__(self) -> None:
        self._ends: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def add(self, array: np.ndarray[Any, Any]) -> None:
        if array.dtype.kind not in "iuf" or not array.size:
            return
        numbers = array.ravel()[:: max(1, array.size // _LOOKED)]
        ends = np.percentile(numbers, OUTLIERS)
        if np.isfinite(ends).all():
            self._ends[type_of(array)].append((float(ends[0]), float(ends[1])))

    def fills(self, name: str) -> bool:
        """Whether enough of a type's own range is in use."""
        low, high = self._of(name)
        return low >= 0 and high <= TOPS[name] and high - low >= PART * TOPS[name]

    @property
    def spans(self) -> dict[str, tuple[float, float]]:
        """As of Levels: of types whose numbers fill little of their range, or leave it."""
        found = {name: self._of(name) for name in self._ends if not self.fills(name)}
        return {name: (low, high) for name, (low, high) in found.items() if low < high}

    def _of(self, name: str) -> tuple[float, float]:
        ends = self._ends.get(name) or [(0.0, 0.0)]
        return min(low for low, _ in ends), max(high for _, high in ends)


def some(cells: Iterable[Any], most: int) -> list[Any]:
    """At most `most` of the cells, each as likely as any other; always the same ones."""
    rng, kept = np.random.default_rng(0), []
    for i, cell in enumerate(cells):
        if i < most:
            kept.append(cell)
        elif (place := int(rng.integers(i + 1))) < most:
            kept[place] = cell
    return kept
