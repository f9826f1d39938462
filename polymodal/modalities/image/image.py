"""Images: pictures in files, or arrays of pixels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, final

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.block import Block
from polymodal.contract.form import Form
from polymodal.contract.kind import Weights
from polymodal.contract.parts import Parts, spans
from polymodal.modalities import _drawing
from polymodal.modalities._levelled import levels
from polymodal.modalities._media import CELLS, Medium
from polymodal.modalities.image import picture
from polymodal.modalities.image.corruptions import _pixels
from polymodal.modalities.image.levels import PLAIN
from polymodal.nn.blocks import Descriptors
from polymodal.table.media import Media

# Patches of a picture that an explanation covers, a side.
GRID = 7
_MAGIC = (
    *(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\0\0\1\0", b"qoif"),
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"\n\5\1\x08", b"\x28\0\0\0", b"\1\xda"),
    *(b"P%d%c" % (i, end) for i in range(1, 7) for end in b" \n\r\t"),
)
# Brands of ISO files that are pictures.
_HEIF = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")

# Pictures of fewer pixels a side show little of what models of photographs know.
SMALL = 64


@final
class Image(Medium):
    """Pictures: files, or arrays `(height, width, 3)` and uint8 `(height, width)`."""

    columns: ClassVar = {"image": CELLS}
    order: ClassVar[int] = 10
    suffixes: ClassVar = (
        *("png", "apng", "jpg", "jpeg", "jpe", "jfif", "gif", "bmp", "dib", "webp"),
        *("tif", "tiff", "ppm", "pgm", "pbm", "pnm", "avif", "avifs", "jp2", "j2k"),
        *("jpf", "jpx", "j2c", "jpc", "heic", "heif", "hif", "ico", "pcx", "sgi", "qoi"),
        *("tga",),
    )
    axes: ClassVar = (3,)
    accepts: ClassVar[str] = "image/*"
    most: ClassVar = (25e6, "25 million pixels")
    encoder: ClassVar[str] = "cnn"
    raw: ClassVar[str] = "patch"
    sampled: ClassVar[bool] = True
    described: ClassVar[str | None] = "summary"
    drawn: ClassVar[str | None] = "pixels"
    gridded: ClassVar[str | None] = "tiles"
    hub: ClassVar = (
        Weights("EfficientNet", "google/efficientnet-b0", "", "Apache-2.0", "ImageNet pictures"),
        Weights("DINOv2", "facebook/dinov2-small", "", "Apache-2.0", "pictures without labels"),
    )

    def opens(self, head: bytes) -> bool:
        webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
        return webp or (head[4:8] == b"ftyp" and head[8:12] in _HEIF) or head.startswith(_MAGIC)

    def holds(self, array: np.ndarray[Any, Any]) -> bool:
        return array.ndim == 3 or (array.ndim == 2 and array.dtype == np.uint8)

    def familiar(self, cells: Sequence[Media]) -> bool:
        """Icons and scans of single signs are no photographs, however much they are enlarged."""
        sides = []
        for cell in cells:
            with contextlib.suppress(UserError):  # said when all cells are prepared
                sides.append(max(picture.shape(cell)))
        return not sides or float(np.median(sides)) >= SMALL

    def measure(self, cell: Media) -> float:
        width, height = self.sides(cell)
        return width * height

    def sides(self, cell: Media) -> tuple[int, int]:
        return picture.shape(cell)

    def block(self, form: Form, most: int) -> Block:
        return Descriptors()

    def parts(
        self, cell: Media, forms: Sequence[Form], sample: Iterable[Any]
    ) -> tuple[Any, list[Parts]]:
        """Patches of a grid of GRID x GRID, replaced by the picture's median colour; it has at most
        224 pixels a side, in the whole cell too."""
        pixels = _pixels.load(cell, next(map(levels, forms), PLAIN))
        colour = np.median(pixels, axis=(0, 1)).astype(np.uint8)
        lines, columns = (spans(side, GRID) for side in pixels.shape[:2])
        labels, covered = [], []
        for i, (top, bottom) in enumerate(lines):
            for j, (left, right) in enumerate(columns):
                other = pixels.copy()
                other[top:bottom, left:right] = colour
                covered.append(Media(cell.label, values=other))
                labels.append(f"line {i + 1}, column {j + 1}")
        whole = Media(cell.label, values=pixels)
        replaced_by = "the picture's median colour"
        return whole, [Parts("patches", replaced_by, labels, covered, "grid", len(columns))]

    def drawing(self, sample: Callable[[], Iterable[Any]]) -> Callable[[Any], str]:
        learned = picture.learn(sample())
        return lambda cell: _drawing.thumbnail(picture.read(cell, _drawing.SIDE, learned))
