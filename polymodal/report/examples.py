"""Cells of a table as one looks at them: pictures and curves, small; text, cut."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from polymodal.base.errors import UserError
from polymodal.modalities.audio import decode as _decode
from polymodal.modalities.image import picture as _picture
from polymodal.modalities.series.forms.steps import Steps
from polymodal.modalities.video.forms import frames
from polymodal.report.words import cut
from polymodal.table.media import Media
from polymodal.table.read import Table
from polymodal.table.schema import MEDIA, Column, Schema

# In one page: pictures and curves, a picture's side in pixels, characters of a text, cells of a
# row's numbers and categories, curves of a series.
PICTURES, SIDE, CHARACTERS, CELLS, CURVES = 200, 96, 200, 12, 6
# Of a sound: samples a second and seconds that are read, and columns or points of a curve.
RATE, SECONDS, POINTS = 8000, 30.0, 96
# Cells that tell which axis of a series is time.
LAYOUT = 20


class Examples:
    """Rows of a table as HTML, until PICTURES pictures and curves have been drawn.

    Args:
        table: what was measured.
        schema: its input columns are shown.
    """

    def __init__(self, table: Table, schema: Schema) -> None:
        self.table, self.schema = table, schema
        self.left = PICTURES
        self.layouts: dict[str, Steps] = {}

    def html(self, row: int) -> str:
        """A row's input cells."""
        single = [c for c in self.schema.inputs if c.kind in (*MEDIA, "text")]
        cells = [c for c in self.schema.inputs if c.kind not in (*MEDIA, "text")]
        shown = [f"<figure>{self._one(column, row)}</figure>" for column in single]
        pairs = [
            f"<dt>{escape(cut(c.name, 40))}</dt><dd>{self.value(c.name, row)}</dd>"
            for c in cells[:CELLS]
        ]
        if len(cells) > CELLS:
            pairs.append(f"<dt>…</dt><dd>and {len(cells) - CELLS} more</dd>")
        table = f"<dl>{''.join(pairs)}</dl>" if pairs else ""
        return f'<div class="cells">{"".join(shown)}{table}</div>'

    def media(self, name: str, row: int) -> str:
        """A picture or curve of one cell; words where there is none to draw."""
        media = next(self.table.media(name, [row]))
        if media is None:
            return "<p><i>missing</i></p>"
        if not self.left:
            return f"<p><i>{escape(cut(media.label, CHARACTERS))}</i></p>"
        self.left -= 1
        kind = self.schema.column(name).kind
        try:
            if kind == "series":
                return _series(self._layout(name).load(media))
            return DRAW[kind](media)
        except UserError as error:
            return f"<p><i>{escape(cut(error.what, CHARACTERS))}</i></p>"

    def value(self, name: str, row: int) -> str:
        """A number, category or set; nothing where the name is of several columns together."""
        known = name in self.table.names
        return _words(self._value(self.schema.column(name), row), 40) if known else ""

    def _one(self, column: Column, row: int) -> str:
        caption = f"<figcaption>{escape(cut(column.name, 40))}</figcaption>"
        if column.kind == "text":
            return caption + f"<p>{_words(self._value(column, row), CHARACTERS)}</p>"
        return caption + self.media(column.name, row)

    def _layout(self, name: str) -> Steps:
        """Which axis of a series is time: one cell alone may not tell."""
        if name not in self.layouts:
            self.layouts[name] = Steps()
            cells = self.table.media(name, range(min(LAYOUT, len(self.table))))
            self.layouts[name].fit(cell for cell in cells if cell is not None)
        return self.layouts[name]

    def _value(self, column: Column, row: int) -> Any:
        return self.table.data.column(column.name)[row].as_py()


def _words(value: Any, most: int) -> str:
    if value is None:
        return "<i>missing</i>"
    if isinstance(value, float):
        # All digits that a decimal number can have been given with, and none of binary rounding.
        value = f"{value:.15g}"
    return escape(cut(" ".join(map(str, value)) if isinstance(value, list) else str(value), most))


def _image(media: Media) -> str:
    return _thumbnail(_picture.read(media, SIDE))


def _video(media: Media) -> str:
    """Its middle frame."""
    frame = next(iter(frames.choose(media, 1)), None)
    if frame is None:
        raise UserError(f"{media.label} has no frame that can be decoded")
    return _thumbnail(frame)


def _thumbnail(picture: Image.Image) -> str:
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    content = base64.b64encode(file.getvalue()).decode()
    scale = SIDE / max(picture.size)
    width, height = (max(1, round(scale * side)) for side in picture.size)
    return f'<img alt="" width="{width}" height="{height}" src="data:image/jpeg;base64,{content}">'


def _sound(media: Media) -> str:
    """The highest and lowest sample in each of POINTS parts."""
    samples = _decode.waveform(media, RATE, SECONDS)
    parts = np.array_split(samples, min(POINTS, len(samples)))
    peak = float(np.abs(samples).max()) or 1.0
    path = "".join(
        f"M{i} {16 - 15 * part.max() / peak:.1f}V{16.5 - 15 * part.min() / peak:.1f}"
        for i, part in enumerate(parts)
    )
    return _curves(len(parts), f'<path d="{path}"/>')


def _series(values: np.ndarray[Any, Any]) -> str:
    """The first CURVES channels of `(steps, channels)`, all on one scale."""
    values = values[:, :CURVES].astype(float)
    places = np.linspace(0, len(values) - 1, min(POINTS, len(values)))
    low, high = float(values.min()), float(values.max())
    paths = []
    for channel, curve in enumerate(values.T):
        heights = 31 - 30 * (np.interp(places, np.arange(len(curve)), curve) - low) / (
            high - low or 1.0
        )
        points = " ".join(f"{i},{y:.1f}" for i, y in enumerate(heights))
        paths.append(f'<polyline class="c{channel}" points="{points}"/>')
    return _curves(len(places), "".join(paths))


def _curves(width: int, drawn: str) -> str:
    return (
        f'<svg class="curve" viewBox="0 0 {max(1, width - 1)} 32" preserveAspectRatio="none" '
        f'aria-hidden="true">{drawn}</svg>'
    )


DRAW = {"image": _image, "video": _video, "audio": _sound}
