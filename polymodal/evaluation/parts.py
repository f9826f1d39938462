"""A cell's parts, and the cell with each of them replaced: what a model is asked by occlusion.

| kind | parts | replaced by |
|---|---|---|
| image | patches of a grid of GRID x GRID | the picture's median colour |
| text | words | "~" for each of them, so that their number stays |
| audio | SPANS spans of what the form reads | silence |
| video | the frames that the form takes | the frame before; of the first, the one after |
| series | SPANS spans of steps, and channels | the channel's mean over some rows of the table |
| table | cells that are not missing | a missing cell |

There are PARTS at most of one sort: of more, neighbours make one part. Pictures and frames have at
most 224 pixels a side, in the whole cell that the others are compared with too.

After the grey squares of Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional
Networks".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.form import Form
from polymodal.modalities.audio.corruptions import _samples
from polymodal.modalities.audio.decode import LONGEST
from polymodal.modalities.image.corruptions import _pixels
from polymodal.modalities.series.corruptions import _steps
from polymodal.modalities.text.corruptions import _words
from polymodal.modalities.text.corruptions.dropped_words import BLANK
from polymodal.modalities.text.hashing import split
from polymodal.modalities.video.corruptions import dropped_frames
from polymodal.table.media import Media

PARTS, GRID, SPANS = 64, 7, 12


@dataclass(frozen=True)
class Parts:
    """Parts of one sort of a cell.

    Attributes:
        unit: what they are: "patches", "words", "seconds", "frames", "steps", "channels", "cells".
        replaced_by: in words.
        labels: what each is called; of a grid line by line.
        cells: the cell with each of them replaced.
        columns: of a grid; 0 if they are none.
    """

    unit: str
    replaced_by: str
    labels: list[str]
    cells: list[Any]
    columns: int = 0


def parts(
    kind: str, cell: Any, forms: Sequence[Form], sample: Iterable[Any]
) -> tuple[Any, list[Parts]]:
    """A cell as it is, and with each of its parts replaced.

    Both are brought to the same size and file format first, so that they differ by the part only.

    Args:
        kind: a folder of `forms/`.
        forms: fitted, which read the modality.
        sample: some present cells of the same modality.

    Raises:
        UserError: a cell cannot be decoded.
    """
    if kind == "image":
        return _image(cell)
    if kind == "text":
        return _text(cell)
    if kind == "audio":
        return _audio(cell, forms)
    if kind == "video":
        return _video(cell, forms)
    if kind == "series":
        return _series(cell, forms, sample)
    return _table(cell)


def _image(cell: Media) -> tuple[Any, list[Parts]]:
    pixels = _pixels.load(cell)
    colour = np.median(pixels, axis=(0, 1)).astype(np.uint8)
    lines, columns = (_spans(side, GRID) for side in pixels.shape[:2])
    labels, covered = [], []
    for i, (top, bottom) in enumerate(lines):
        for j, (left, right) in enumerate(columns):
            other = pixels.copy()
            other[top:bottom, left:right] = colour
            covered.append(Media(cell.label, values=other))
            labels.append(f"line {i + 1}, column {j + 1}")
    whole = Media(cell.label, values=pixels)
    replaced_by = "the picture's median colour"
    return whole, [Parts("patches", replaced_by, labels, covered, len(columns))]


def _text(cell: Any) -> tuple[Any, list[Parts]]:
    words = split(cell)
    labels, covered = [], []
    for start, end in _spans(len(words), PARTS):
        blanks = [BLANK] * (end - start)
        covered.append(_words.save(cell, [*words[:start], *blanks, *words[end:]]))
        labels.append(" ".join(words[start:end]))
    return cell, [Parts("words", f'"{BLANK}" for each word', labels, covered)]


def _audio(cell: Media, forms: Sequence[Form]) -> tuple[Any, list[Parts]]:
    samples, own = _samples.load(cell)
    # An array's samples are taken to be at the rate that its form asks for.
    rate = own or forms[0].settings.get("rate", 1)
    longest = max(form.settings.get("seconds", LONGEST) for form in forms)
    samples = samples[: ceil(longest * rate)]
    labels, covered = [], []
    for start, end in _spans(len(samples), SPANS):
        other = samples.copy()
        other[start:end] = 0
        covered.append(_samples.save(cell, other, own))
        labels.append(f"{start / rate:.2f}–{end / rate:.2f} s")
    return _samples.save(cell, samples, own), [Parts("seconds", "silence", labels, covered)]


def _video(cell: Media, forms: Sequence[Form]) -> tuple[Any, list[Parts]]:
    most = max(form.settings.get("frames", dropped_frames.FRAMES) for form in forms)
    clip = dropped_frames.load(cell, most)
    labels, covered = [], []
    for start, end in _spans(len(clip), PARTS):
        other = clip.copy()
        beside = start - 1 if start else end
        # A part that is the whole clip has no neighbour.
        other[start:end] = clip[beside] if beside < len(clip) else 0
        covered.append(Media(cell.label, values=other))
        labels.append(_numbered("frame", start, end))
    replaced_by = "the frame before (the first: the one after; a single one: black)"
    whole = Media(cell.label, values=clip)
    return whole, [Parts("frames", replaced_by, labels, covered)]


def _series(cell: Media, forms: Sequence[Form], sample: Iterable[Media]) -> tuple[Any, list[Parts]]:
    transposed = forms[0].state.get("transposed", False)
    steps = _steps.load(cell, transposed)
    means = [_steps.load(other, transposed).mean(0) for other in sample if _reads(forms[0], other)]
    typical = np.mean(means or [steps.mean(0)], axis=0)

    def covered(lines: slice, channels: slice) -> Media:
        other = steps.copy()
        other[lines, channels] = typical[channels]
        return _steps.save(cell, other, transposed)

    found, replaced_by = [], "the channel's mean over some rows"
    for unit, length, most in (("step", len(steps), SPANS), ("channel", steps.shape[1], PARTS)):
        if unit == "channel" and length == 1:
            continue  # it is the whole cell
        spans = _spans(length, most)
        lines = [slice(*span) if unit == "step" else slice(None) for span in spans]
        channels = [slice(*span) if unit == "channel" else slice(None) for span in spans]
        cells = list(map(covered, lines, channels))
        labels = [_numbered(unit, *span) for span in spans]
        found.append(Parts(f"{unit}s", replaced_by, labels, cells))
    return _steps.save(cell, steps, transposed), found


def _reads(form: Form, cell: Any) -> bool:
    """Whether a form can read a cell; one that it cannot counts as missing (`max_bad_rows`)."""
    try:
        form.encode(cell)
    except UserError:
        return False
    return True


def _table(cell: Mapping[str, Any]) -> tuple[Any, list[Parts]]:
    known = [name for name, value in cell.items() if value is not None]
    labels, covered = [], []
    for start, end in _spans(len(known), PARTS):
        gone = known[start:end]
        covered.append({n: None if n in gone else value for n, value in cell.items()})
        labels.append(", ".join(gone))
    return cell, [Parts("cells", "a missing cell", labels, covered)]


def _spans(length: int, most: int) -> list[tuple[int, int]]:
    """Starts and ends of `most` parts of nearly the same size; of one each if there are fewer."""
    cuts = np.linspace(0, length, min(length, most) + 1).round().astype(int).tolist()
    return list(pairwise(cuts))


def _numbered(what: str, start: int, end: int) -> str:
    """From 1: "step 3", "steps 3–5"."""
    return f"{what} {end}" if end == start + 1 else f"{what}s {start + 1}–{end}"
