"""Cells as one looks at them, in HTML: pictures and curves, small; text, cut."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import Any

from PIL import Image

from polymodal.base.spelling import cut

# A picture's side in pixels, characters of a text, points or columns of a curve.
SIDE, CHARACTERS, POINTS = 96, 200, 96


def words(value: Any, most: int = CHARACTERS) -> str:
    """A number, a name, or several; "missing" where there is none."""
    if value is None:
        return "<i>missing</i>"
    if isinstance(value, float):
        # All digits that a decimal number can have been given with, and none of binary rounding.
        value = f"{value:.15g}"
    return escape(cut(" ".join(map(str, value)) if isinstance(value, list) else str(value), most))


def thumbnail(picture: Image.Image) -> str:
    """A picture of at most SIDE pixels a side; the given one is made as small."""
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    content = base64.b64encode(file.getvalue()).decode()
    scale = SIDE / max(picture.size)
    width, height = (max(1, round(scale * side)) for side in picture.size)
    return f'<img alt="" width="{width}" height="{height}" src="data:image/jpeg;base64,{content}">'


def curves(width: int, drawn: str) -> str:
    """SVG shapes in a frame of so many points by 32."""
    return (
        f'<svg class="curve" viewBox="0 0 {max(1, width - 1)} 32" preserveAspectRatio="none" '
        f'aria-hidden="true">{drawn}</svg>'
    )
