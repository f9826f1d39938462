"""From a media cell to numbers `(steps, channels)`, whichever way round they were stored."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.modalities.series.files import table
from polymodal.table import listed
from polymodal.table.media import NPY, Media, load_npy

LAYOUTS = ("auto", "steps_first", "channels_first")
SAMPLE = 1000  # cells that are enough to tell channels from steps
FORMATS = "a list of numbers, a list of equally long lists, or a .npy, .csv or .json file of them"
NO_HEADER = "numbers, one line a step, one column a channel; a header and times are allowed"


@dataclass(frozen=True)
class Layout:
    """Which axis of a column's arrays is time, and how many channels the other one has.

    Attributes:
        channels: numbers a step.
        transposed: True if arrays are stored `(channels, steps)`; a CSV file never is.
    """

    channels: int
    transposed: bool

    @classmethod
    def learn(cls, cells: Iterable[Media], layout: str) -> Layout | UserError | None:
        """The layout of the training cells; if none of them can be read, why the first one cannot.

        With "auto", the channels are the axis whose length most cells agree on; where all agree
        on both, the shorter one; of a square, the second.
        """
        arrays: list[tuple[int, ...]] = []
        tables: list[tuple[int, ...]] = []
        why: UserError | None = None
        for cell in islice(cells, SAMPLE):
            try:
                array, is_table = read(cell)
            except UserError as error:
                why = why or error  # `encode` meets this cell again and reports it with its row
                continue
            (tables if is_table else arrays).append(array.shape)
        transposed = bool(arrays) and _is_transposed(arrays, layout)
        widths = [shape[0 if transposed else 1] for shape in arrays] + [s[1] for s in tables]
        return cls(Counter(widths).most_common(1)[0][0], transposed) if widths else why

    def load(self, media: Media) -> np.ndarray[Any, Any]:
        """A cell as float32 `(steps, channels)`.

        Raises:
            UserError: not numbers, ragged, another number of channels than in training, no steps,
                or numbers that are not finite in float32; the message names `media.label`.
        """
        array, is_table = read(media)
        if self.transposed and not is_table:
            array = array.T
        if array.shape[1] != self.channels:
            raise UserError(
                f"{media.label} has another number of channels than the training rows",
                expected=f"{self.channels} channels",
                got=f"{array.shape[1]} channels of {array.shape[0]} steps",
                do="check the row; if steps and channels are exchanged, set the option layout",
            )
        return _finite(media, filled(media, array))


def _finite(media: Media, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is reported below
        array = np.ascontiguousarray(array, np.float32)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        step, channel = (int(i) for i in bad[0])
        raise UserError(
            f"{media.label} has numbers that are not finite",
            expected="finite numbers; gaps are empty or NaN",
            got=f"{array[step, channel]} at step {step}, channel {channel}"
            + (f", and {len(bad) - 1} more" if len(bad) > 1 else ""),
            do="mend them, or drop the row",
        )
    return array


def filled(media: Media, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """`(steps, channels)` without gaps (NaN): padding at both ends is cut off, others are bridged.

    A gap is filled by a straight line between the numbers around it, at an end by the nearest.

    Raises:
        UserError: a channel has no number.
    """
    gaps = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, bool)
    if not gaps.any():
        return array
    real = np.flatnonzero(~gaps.all(1))
    empty = np.flatnonzero(gaps.all(0))
    if len(empty):
        raise UserError(
            f"{media.label} has no number in {'any channel' if gaps.all() else 'one channel'}",
            expected="at least one in every channel",
            got=f"{len(array)} gaps in channel {empty[0]}",
            do="leave the cell empty where nothing was measured, or drop the channel",
        )
    array, gaps = array[real[0] : real[-1] + 1].copy(), gaps[real[0] : real[-1] + 1]
    steps = np.arange(len(array))
    for channel in np.flatnonzero(gaps.any(0)):
        known = ~gaps[:, channel]
        array[:, channel] = np.interp(steps, steps[known], array[known, channel])
    return array


def read(media: Media) -> tuple[np.ndarray[Any, Any], bool]:
    """A cell's numbers as stored, `(n, m)`, and whether they are a text table (a line a step)."""
    if media.values is not None:
        return _matrix(media, media.values), False
    content = media.bytes()
    if content.startswith(NPY):
        return _matrix(media, load_npy(content, media.label)), False
    try:
        wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = content.decode("utf-16" if wide else "utf-8-sig").strip()
    except ValueError as error:
        raise _unreadable(media, str(error), NO_HEADER) from error
    values = listed.numbers(text) if text.startswith(("[", "(", "array(")) else None
    if values is not None:
        return _matrix(media, values), False
    try:
        if text.startswith("["):
            return _matrix(media, json.loads(text)), False
        return _matrix(media, table(text)), True
    except ValueError as error:  # also of JSON
        raise _unreadable(media, str(error), NO_HEADER) from error


def _is_transposed(shapes: list[tuple[int, ...]], layout: str) -> bool:
    if layout != "auto":
        return layout == "channels_first"
    (rows, agree_rows), (columns, agree_columns) = (
        Counter(shape[axis] for shape in shapes).most_common(1)[0] for axis in (0, 1)
    )
    return rows < columns if agree_rows == agree_columns else agree_rows > agree_columns


def _matrix(media: Media, values: Any) -> np.ndarray[Any, Any]:
    try:
        array = np.asarray(values)
    except ValueError as error:
        lengths = [len(v) if isinstance(v, list) else 1 for v in values]
        raise UserError(
            f"{media.label} is ragged",
            expected=FORMATS,
            got=f"lists of {min(lengths)} to {max(lengths)} numbers",
            do="give every step the same number of channels, or drop the row",
        ) from error
    if array.dtype.kind == "O":
        array = _gapped(values, array)
    if array.size == 0:
        raise UserError(
            f"{media.label} has no steps",
            expected="at least one",
            got="an empty series",
            do="drop the row",
        )
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2):
        raise UserError(
            f"{media.label} is not a series of numbers",
            expected=FORMATS,
            got=f"{_stranger(array)!r:.80}, of {array.size:,} values on {array.ndim} axes",
            do="convert or drop the row, or overrule the column's kind with `kind`",
        )
    return array[:, None] if array.ndim == 1 else array


def _stranger(array: np.ndarray[Any, Any]) -> Any:
    """The first value that is no number; the first of all where every one is."""
    found = (v for v in array.ravel().tolist() if not _is_number(v))
    return next(found, array.flat[0])


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _gapped(values: Any, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Numbers with None for gaps, as floats; what is anything else as it is."""
    try:
        return np.array(values, np.float64)
    except (TypeError, ValueError):
        return array


def _unreadable(media: Media, got: str, expected: str) -> UserError:
    return UserError(
        f"{media.label} cannot be read as a series: {got}",
        expected=expected,
        do="correct the file or drop the row",
    )
