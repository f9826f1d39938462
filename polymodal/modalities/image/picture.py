"""A picture as people have it to a square of RGB pixels; what the image and video forms share."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps

from polymodal.base.errors import UserError
from polymodal.table.media import Media

# Above this a picture is refused by its header, before any memory is taken for it.
MAX_PIXELS = 50_000_000
# Only formats that are pictures throughout: others (EPS, WMF) run programs to be drawn.
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
RESIZES = ("pad", "stretch")
SMALLEST, LARGEST = 8, 1024


def read(media: Media, size: int) -> Image.Image:
    """The picture in a media cell, upright and opaque, as 8-bit RGB.

    Args:
        media: encoded bytes, or an array as `from_array` takes it.
        size: the side in pixels that it will be brought to. A larger JPEG is decoded at a
            fraction of its resolution, never under twice this.

    Raises:
        UserError: no picture, a broken or cut one, or one of more than MAX_PIXELS.
    """
    if media.values is not None:
        return from_array(media.values, media.label)
    opened = open_picture(media.bytes(), media.label)
    opened.draft("RGB", (2 * size, 2 * size))
    return to_rgb(opened, media.label)


def shape(media: Media) -> tuple[int, int]:
    """Width and height, from the header alone where there is one; errors as `read`."""
    if media.values is not None:
        return from_array(media.values, media.label).size
    opened = open_picture(media.bytes(), media.label)
    # Only cameras turn pictures, and they write JPEG; elsewhere EXIF may need all be decoded.
    if opened.format not in ("JPEG", "MPO"):
        return opened.size
    try:
        sideways = opened.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    except Exception as error:
        raise broken(media.label, error) from error
    return opened.size[::-1] if sideways else opened.size


def open_picture(content: bytes, label: str) -> Image.Image:
    """Read the header only; UserError if there is none or it announces too many pixels."""
    Image.init()
    # A Pillow built without, say, AVIF does not know its name.
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(content), formats=formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(label, str(error)) from error
    # A broken file can raise almost anything in a decoder, and each means the same.
    except Exception as error:
        raise UserError(
            f"{label} is not an image that can be read",
            expected=f"one of {', '.join(FORMATS)}",
            got=f"{len(content)} bytes starting with {content[:12]!r}",
            do="replace the file or leave its cell empty",
        ) from error
    check_pixels(opened.width, opened.height, label)
    return opened


def to_rgb(picture: Image.Image, label: str) -> Image.Image:
    """Decode the current frame: upright by its EXIF, over white where it is transparent, RGB."""
    try:
        picture.load()
        picture = ImageOps.exif_transpose(picture)
    except Exception as error:
        raise broken(label, error) from error
    if picture.mode == "F":
        return from_array(np.asarray(picture), label)
    if picture.mode.startswith("I"):
        # 16-bit grey, which some formats hand out as 32-bit numbers.
        grey = np.asarray(picture)
        fits = grey.min() >= 0 and grey.max() <= 65535
        return from_array(grey.astype(np.uint16) if fits else grey, label)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def broken(label: str, error: Exception) -> UserError:
    """What to raise when a decoder gives up on a file that began well."""
    return UserError(
        f"{label} is broken or truncated",
        expected="a whole file",
        got=str(error) or type(error).__name__,
        do="copy or download the file again, or leave its cell empty",
    )


def from_array(values: Any, label: str) -> Image.Image:
    """`(height, width)` or `(height, width, 1 | 3 | 4)` numbers to an RGB picture.

    Integers are 0 to 255 (0 to 65 535 if the array is of 16-bit numbers, as 16-bit images are),
    floats 0 to 1; a fourth channel is opacity. UserError for anything else.
    """
    array = to_array(values, label)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or array.size == 0:
        raise UserError(
            f"{label} is an array that is no picture",
            expected="shape (height, width) or (height, width, channels), 1, 3 or 4 channels",
            got=f"shape {np.shape(values)}",
            do="put the channels last; one row holds one picture",
        )
    check_pixels(array.shape[1], array.shape[0], label)
    array = to_bytes(array, label)
    if array.shape[2] == 1:
        array = array.repeat(3, axis=2)
    picture = Image.fromarray(np.ascontiguousarray(array))
    return picture if array.shape[2] == 3 else to_rgb(picture, label)


def to_array(values: Any, label: str) -> np.ndarray[Any, Any]:
    """A list of lists as an array; UserError if their lengths differ."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise UserError(
            f"{label} is a ragged list",
            expected="rows of equal length",
            got=str(error),
        ) from error


def to_bytes(array: np.ndarray[Any, Any], label: str) -> np.ndarray[Any, Any]:
    """Brightness in any of the accepted scales to uint8 0 to 255; UserError if out of range."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "iuf":
        raise UserError(f"{label} is an array of {array.dtype}, not of numbers")
    top = 1.0 if array.dtype.kind == "f" else 65535.0 if array.dtype == np.uint16 else 255.0
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= top):  # NaN fails this too
        raise UserError(
            f"{label} holds {array.dtype} numbers that are no brightness",
            expected="integers from 0 to 255, or floats from 0 to 1",
            got=f"numbers from {low:g} to {high:g}",
            do="scale them before they go into the table",
        )
    return np.rint(array * (255.0 / top)).astype(np.uint8)


def square(picture: Image.Image, size: int, resize: str) -> np.ndarray[Any, Any]:
    """An RGB picture to uint8 `(size, size, 3)`, antialiased.

    Args:
        resize: "stretch" ignores the aspect ratio; "pad" keeps it and continues the edge's pixels
            on both sides, so that no border is drawn that the picture does not have.
    """
    width, height = picture.size
    if resize == "pad":
        scale = size / max(width, height)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
    else:
        width = height = size
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
    left, top = (size - width) // 2, (size - height) // 2
    margins = ((top, size - height - top), (left, size - width - left), (0, 0))
    return np.pad(np.asarray(picture), margins, mode="edge")


def suggest(shapes: Sequence[tuple[int, int]], largest: int) -> dict[str, Any]:
    """Options `size` and `resize` for pictures of these widths and heights; {} for none.

    No larger than half of the pictures are, for that would only cost time; stretched if nearly
    all have the same aspect ratio, for then all are distorted alike and no pixel is wasted.
    """
    if not shapes:
        return {}
    sides = np.array(shapes)
    low, high = np.quantile(sides[:, 0] / sides[:, 1], (0.1, 0.9))
    size = int(np.clip(np.median(sides.max(1)), SMALLEST, largest))
    return {"size": size, "resize": "stretch" if high < 1.1 * low else "pad"}


def check_options(size: int, resize: str) -> None:
    """UserError unless `size` and `resize` mean something."""
    if not SMALLEST <= size <= LARGEST:
        expected = f"{SMALLEST} to {LARGEST} pixels"
        raise UserError(f"size={size} is no side length", expected=expected)
    if resize not in RESIZES:
        raise UserError(f"resize='{resize}' is unknown", expected=" or ".join(RESIZES))


def check_pixels(width: int, height: int, label: str) -> None:
    """UserError if a picture of this size is larger than MAX_PIXELS."""
    if width * height > MAX_PIXELS:
        raise _too_large(label, f"{width} x {height} pixels")


def _too_large(label: str, got: str) -> UserError:
    return UserError(
        f"{label} is too large an image",
        expected=f"at most {MAX_PIXELS // 1_000_000} million pixels",
        got=got,
        do="scale it down first; training uses a few hundred pixels a side at most",
    )
