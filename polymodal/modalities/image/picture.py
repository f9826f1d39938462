"""A picture as people have it to a square of RGB pixels; what the image and video forms share."""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps

from polymodal.base.errors import UserError
from polymodal.modalities.image.levels import PLAIN, Levels, Range, some
from polymodal.table.media import Media

# What it has to say of broken files is said by the errors that these raise.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# Above this a picture is refused by its header, before any memory is taken for it.
MAX_PIXELS = 50_000_000
# Only formats that are pictures throughout: others (EPS, WMF) run programs to be drawn.
FORMATS = (
    *("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "DIB", "MPO"),
    *("ICO", "PCX", "SGI", "QOI", "TGA", "HEIF"),
)
# Formats whose colours of 16 bits FFmpeg reads whole.
_CODECS = {"PNG": "png_pipe", "TIFF": "tiff_pipe"}
MAX_SCANS = 64  # of a JPEG; cameras and optimisers write up to a dozen
# Pictures that levels are learned from, and how many pixels of them.
SAMPLE, BYTES_LOOKED, DEEP_LOOKED = 120, 20_000_000, 100_000_000
BACKDROPS = ("white", "black", "grey")
RESIZES = ("pad", "stretch")
SMALLEST, LARGEST = 8, 1024


def read(media: Media, size: int, levels: Levels = PLAIN) -> Image.Image:
    """The picture in a media cell, upright and opaque, as 8-bit RGB.

    Args:
        media: encoded bytes, or an array as `from_array` takes it.
        size: the side in pixels that it will be brought to. A larger JPEG is decoded at a
            fraction of its resolution, never under twice this.
        levels: which numbers are black and white.

    Raises:
        UserError: no picture, a broken or cut one, or one of more than MAX_PIXELS.
    """
    if media.values is not None:
        return from_array(media.values, media.label, levels)
    opened = open_picture(media.bytes(), media.label)
    opened.draft("RGB", (2 * size, 2 * size))
    return to_rgb(opened, media.label, levels)


def learn(cells: Iterable[Media]) -> Levels:
    """The levels of a column's training pictures, from some of them.

    Numbers are scaled by their type's range where they fill a good part of it, and else by their
    own: twelve bits of content in a 16-bit file are no black picture. Cells that cannot be read are
    passed over: whoever prepares the table reports them.
    """
    found, left = Range(), {"byte": BYTES_LOOKED, "other": DEEP_LOOKED}
    lost = dict.fromkeys(BACKDROPS, 0)
    for media in some(cells, SAMPLE):
        with suppress(UserError):
            array = media.values
            if array is None:
                opened = open_picture(media.bytes(), media.label)
                opened.draft("RGB", (256, 256))
                kind = "other" if _is_deep(opened) else "byte"
                clear = opened.has_transparency_data and kind == "byte"
                if left[kind] <= 0 or (kind == "byte" and found.fills("byte") and not clear):
                    continue
                left[kind] -= opened.width * opened.height
                array = _numbers(opened, media.label)
                if isinstance(array, Image.Image):
                    if clear and np.ptp(array.convert("RGBA").getchannel("A").getextrema()):
                        for colour in BACKDROPS:
                            lost[colour] += _vanishes(array, colour)
                        continue
                    array = np.asarray(_flat(array, "white"))
            found.add(to_array(array, media.label))
    return Levels(found.spans, min(BACKDROPS, key=lost.__getitem__))


def goes_on(media: Media) -> bool:
    """Whether there are pages or frames after the first, which alone is read; by the header."""
    if media.values is not None:
        return False
    head = media.head(2**16)
    if head.startswith(b"\x89PNG"):
        return b"acTL" in head
    if not head.startswith((b"GIF8", b"II*", b"MM\0*")) and head[8:12] not in (b"WEBP", b"avis"):
        return False
    try:
        opened = open_picture(media.bytes(), media.label)
        with _quiet():
            return bool(getattr(opened, "is_animated", False))
    except UserError:
        raise
    except Exception as error:
        raise broken(media.label, error) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Pillow warns of: tags that it skips are no news, and sizes are checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def shape(media: Media) -> tuple[int, int]:
    """Width and height, from the header alone where there is one; errors as `read`."""
    if media.values is not None:
        height, width = _shaped(media.values, media.label).shape[:2]
        return width, height
    opened = open_picture(media.bytes(), media.label)
    # Only cameras turn pictures, and they write JPEG; elsewhere EXIF may need all be decoded.
    if opened.format not in ("JPEG", "MPO"):
        return opened.size
    try:
        with _quiet():
            sideways = opened.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    except Exception as error:
        raise broken(media.label, error) from error
    return opened.size[::-1] if sideways else opened.size


def open_picture(content: bytes, label: str) -> Image.Image:
    """Read the header only; UserError if there is none or it announces too many pixels."""
    try:
        with _quiet():
            opened = Image.open(io.BytesIO(content), formats=_formats())
    except Image.DecompressionBombError as error:
        raise _too_large(label, str(error)) from error
    # A broken file can raise almost anything in a decoder, and each means the same.
    except Exception as error:
        raise UserError(
            f"{label} is not an image that can be read",
            expected=f"one of {', '.join(_formats())}",
            got=f"{len(content)} bytes starting with {content[:12]!r}",
            do="replace the file or leave its cell empty"
            + ("; pip install pillow-heif reads HEIC" if content[4:8] == b"ftyp" else ""),
        ) from error
    check_pixels(opened.width, opened.height, label)
    # Every scan of a JPEG goes over the whole picture, and a small file can hold thousands.
    scans = content.count(b"\xff\xda") if opened.format in ("JPEG", "MPO") else 0
    if scans > MAX_SCANS or scans * opened.width * opened.height > 10 * MAX_PIXELS:
        raise _too_large(label, f"{scans} scans of {opened.width} x {opened.height} pixels")
    return opened


@cache
def _formats() -> tuple[str, ...]:
    """Those of FORMATS that can be read here."""
    Image.init()
    # Where it is installed, pictures of telephones are read too.
    with suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    # A Pillow built without, say, AVIF does not know its name.
    return tuple(name for name in FORMATS if name in Image.OPEN)


def to_rgb(picture: Image.Image, label: str, levels: Levels = PLAIN) -> Image.Image:
    """Decode the current frame: upright by its EXIF, RGB, over `levels.backdrop` where it is
    transparent."""
    found = _numbers(picture, label)
    if not isinstance(found, Image.Image):
        return from_array(found, label, levels)
    found = _flat(found, levels.backdrop)
    if "byte" in levels.spans:
        found = Image.fromarray(levels.to_bytes(np.asarray(found), label))
    return found


def _numbers(picture: Image.Image, label: str) -> Image.Image | np.ndarray[Any, Any]:
    """The current frame, upright: of 8 bits a picture, of more an array for `from_array`."""
    try:
        if _is_deep(picture) and not picture.mode.startswith(("I", "F")):
            return _all_bits(picture)
        with _quiet():
            picture.load()
            picture = ImageOps.exif_transpose(picture)
    except Exception as error:
        raise broken(label, error) from error
    if picture.mode == "F":
        return np.asarray(picture)
    if picture.mode.startswith("I"):
        # 16-bit grey, which some formats hand out as 32-bit numbers.
        grey = np.asarray(picture)
        fits = grey.min() >= 0 and grey.max() <= 65535
        return grey.astype(np.uint16) if fits else grey
    return picture


def _is_deep(picture: Any) -> bool:
    """Whether a picture that is not loaded has more than 8 bits a channel."""
    # Pillow keeps the upper 8 bits of colours of 16, and says so where it says how to unpack them.
    packed = any("16" in str(tile[3]) for tile in picture.tile)
    deep = packed and picture.format in _CODECS and picture.mode in ("RGB", "RGBA", "LA")
    return bool(deep or picture.mode.startswith(("I", "F")))


def _all_bits(picture: Any) -> np.ndarray[Any, Any]:
    """Colours of 16 bits, uint16 `(height, width, 3 | 4)`."""
    import av

    picture.fp.seek(0)
    name = _CODECS[picture.format]
    options = {"format_whitelist": name, "protocol_whitelist": "none"}
    with av.open(picture.fp, "r", format=name, options=options) as container:
        frame = next(iter(container.decode(video=0)))
        return frame.to_ndarray(format="rgb48le" if picture.mode == "RGB" else "rgba64le")


def _flat(picture: Image.Image, backdrop: str) -> Image.Image:
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, backdrop), picture)
    return picture.convert("RGB")


def _vanishes(picture: Image.Image, backdrop: str) -> bool:
    """Whether next to nothing is seen of a picture over a colour."""
    return bool(np.ptp(np.asarray(_flat(picture, backdrop)), (0, 1)).max() < 16)


def broken(label: str, error: Exception) -> UserError:
    """What to raise when a decoder gives up on a file that began well."""
    return UserError(
        f"{label} is broken or truncated",
        expected="a whole file",
        got=str(error) or type(error).__name__,
        do="copy or download the file again, or leave its cell empty",
    )


def from_array(values: Any, label: str, levels: Levels = PLAIN) -> Image.Image:
    """`(height, width)` or `(height, width, 1 | 3 | 4)` numbers to an RGB picture.

    Where `levels` do not say otherwise, integers are 0 to 255 (0 to 65 535 if the array is of
    16-bit numbers, as 16-bit images are), floats 0 to 1; a fourth channel is opacity, by its type's
    range. UserError for anything else.
    """
    array = _shaped(values, label)
    check_pixels(array.shape[1], array.shape[0], label)
    if array.shape[2] == 4:
        colours = levels.to_bytes(array[:, :, :3], label)
        array = np.concatenate([colours, PLAIN.to_bytes(array[:, :, 3:], label)], 2)
        return _flat(Image.fromarray(array), levels.backdrop)
    array = levels.to_bytes(array, label)
    if array.shape[2] == 1:
        array = array.repeat(3, axis=2)
    return Image.fromarray(np.ascontiguousarray(array))


def _shaped(values: Any, label: str) -> np.ndarray[Any, Any]:
    """`(height, width, 1 | 3 | 4)`, of any numbers; UserError for another shape."""
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
    return array


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
        raise UserError(f"size={size} is out of range", expected=expected)
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
