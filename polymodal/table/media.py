"""One media cell, wherever it lies: a file, an address, bytes, a part of a file, an array."""

from __future__ import annotations

import builtins
import difflib
import hashlib
import io
import math
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.kind import kinds
from polymodal.table import fetch
from polymodal.table.fetch import is_address, struck

LARGEST = 2 * 2**30  # bytes of one cell's file
HELD = 512 * 2**20  # bytes of one that is read into memory
PART = 2**20  # bytes of a file read at a time
NPY = b"\x93NUMPY"  # what a file of one NumPy array begins with
# Its versions, and what reads the header of each.
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class Media:
    """A media cell that has not been decoded.

    Exactly one of `path`, `data` and `values` is set.

    Attributes:
        label: what to call it in messages: "row 12, column 'image': images/a.png".
        path: local path, or the URL of what may be fetched.
        offset: where in the file it starts (tar members, values inside an Arrow file).
        size: how many bytes it has, or None for the whole file.
        data: the encoded bytes themselves.
        values: an already decoded array, or a list that is no array because it is ragged or not
            of numbers.
    """

    label: str
    path: str | None = None
    offset: int = 0
    size: int | None = None
    data: builtins.bytes | None = None
    values: np.ndarray[Any, Any] | list[Any] | None = None

    def bytes(self, most: int = HELD) -> builtins.bytes:
        """The encoded bytes. UserError if they cannot be read, there are none, or more than
        `most`."""
        content = self._read(None, most)
        if self.size is not None and len(content) < self.size:
            raise UserError(
                f"{self.label} is cut short",
                expected=f"{self.size} bytes at offset {self.offset} of {self.path}",
                got=f"{len(content)} bytes",
                do="copy or download the file again",
            )
        return content

    def open(self) -> BinaryIO:
        """The encoded bytes as a file; a local one is not read into memory."""
        remote = self.path is not None and is_address(self.path)
        if self.path is None or remote or self.offset or self.size is not None:
            return io.BytesIO(self.bytes())
        self.head(1)  # explains what is wrong with a missing or empty file
        return open(self.path, "rb")

    def head(self, count: int | None) -> builtins.bytes:
        """At most the first `count` bytes (all of them if None), without reading the rest."""
        return self._read(count, LARGEST)

    def _read(self, count: int | None, most: int) -> builtins.bytes:
        if self.values is not None:
            raise UserError(
                f"{self.label} holds numbers where an encoded file was expected",
                got=preview(self.values),
                do="declare the column as a series with `kind`, or store files",
            )
        if self.path is not None:
            content = _fetch(self, count, most)
        else:
            content = (self.data or b"")[:count]
            _bounded(self, len(self.data or b""), most)
        if not content:
            raise UserError(f"{self.label} is empty", expected="a media file", got="0 bytes")
        return content

    def key(self) -> str:
        """Content hash: equal for equal content, wherever it lies."""
        digest = hashlib.blake2b(digest_size=16)
        for part in self._parts():
            digest.update(part)
        return digest.hexdigest()

    def _parts(self) -> Iterator[builtins.bytes]:
        """The content piece by piece: hours of sound need not fit into memory to be refused."""
        if isinstance(self.values, np.ndarray):
            # The same numbers in another shape are another content.
            yield f"{self.values.dtype}{self.values.shape}".encode()
            yield self.values.tobytes()
        elif self.values is not None:
            yield repr(self.values).encode()
        elif self.path is None or is_address(self.path) or self.size is not None:
            yield self.bytes()
        else:
            self.head(1)  # explains what is wrong with a missing or empty file
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                while part := file.read(PART):
                    yield part


def kind_of_name(name: str) -> str | None:
    """The kind of media that a file's suffix promises: "a/b.PNG" -> "image"."""
    suffix = suffix_of(name) if "." in name else ""
    # Most cells of a table name no file, which is soon said.
    if not suffix or suffix.isdigit():
        return None
    return next((name for name, kind in kinds().items() if suffix in kind.suffixes), None)


def unquoted(name: str) -> str:
    """A name without blanks and quotes around it."""
    name = name.strip()
    quoted = len(name) > 2 and name[0] in "'\"" and name[-1] == name[0]
    return name[1:-1].strip() if quoted else name


def suffix_of(name: str) -> str:
    """What a file's name ends in: "a/b.PNG " -> "png"; of an address, what its path ends in."""
    name = unquoted(name)
    path = name.split("?")[0].split("#")[0] if is_address(name) else name
    return os.path.splitext(path)[1].lower().lstrip(".")


def kind_of_content(head: builtins.bytes) -> str | None:
    """The kind of media that a file's first 16 bytes or more promise, by their magic numbers."""
    return next((name for name, kind in kinds().items() if kind.opens(head)), None)


def kind_of_array(array: np.ndarray[Any, Any]) -> str | None:
    """The kind of media that an array is one cell of, by its axes."""
    return next((name for name, kind in kinds().items() if kind.holds(array)), None)


def wav(array: Any, rate: int) -> builtins.bytes:
    """A WAV file of `array` `(samples,)` or `(channels, samples)` at `rate` Hz.

    Floats are taken to lie in [-1, 1], whole numbers to be 16-bit samples.
    """
    samples = np.asarray(array)
    pcm = samples.astype("<i2" if samples.dtype.kind in "iu" else "<f4").T
    channels = 1 if pcm.ndim == 1 else pcm.shape[1]
    width = pcm.dtype.itemsize
    step, data = channels * width, pcm.tobytes()
    # 1: whole numbers; 3: floats.
    kind = 1 if pcm.dtype.kind == "i" else 3
    about = struct.pack("<HHIIHH", kind, channels, rate, rate * step, step, 8 * width)
    parts = (b"fmt ", about), (b"data", data)
    body = b"".join(name + struct.pack("<I", len(part)) + part for name, part in parts)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def load_npy(data: builtins.bytes, label: str) -> np.ndarray[Any, Any]:
    """The array in a .npy file; UserError if it is broken or lacks what its header promises."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"its version, {version[0]}.{version[1]}, is unknown")
        shape, columns_first, kind = HEADERS[version](file)
        if kind.hasobject:
            raise ValueError("it holds pickled objects, which are not read")
        # Memory is taken by the header's word.
        need, left = math.prod(shape) * kind.itemsize, len(data) - file.tell()
        if need > left:
            raise ValueError(f"its numbers need {need:,} bytes, and {left:,} are there")
        order: Literal["C", "F"] = "F" if columns_first else "C"
        return np.ndarray(shape, kind, data, file.tell(), order=order).copy(order=order)
    except Exception as error:  # the header is parsed as Python, which fails in many ways
        raise UserError(f"{label} is a broken .npy file ({str(error)[:200]})") from error


def _bounded(media: Media, size: int, most: int) -> None:
    if size > most:
        raise UserError(
            f"{media.label} is too large",
            expected=f"at most {most / 2**20:,.0f} MiB",
            got=f"{size / 2**20:,.0f} MiB",
            do="cut it into smaller files, one a row, or leave its cell empty",
        )


def _fetch(media: Media, count: int | None, most: int) -> builtins.bytes:
    """The bytes (at most `count`) behind a path or URL, of which there may be `most`."""
    assert media.path is not None
    sizes = [size for size in (media.size, count) if size is not None]
    if is_address(media.path):
        return _fetch_url(media, min(sizes, default=None), most)
    try:
        status = os.stat(media.path)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            # Reading a pipe or a device may never end.
            raise UserError(f"{media.label} is no regular file", expected="a media file")
        there = max(0, status.st_size - media.offset)
        _bounded(media, there if media.size is None else min(there, media.size), most)
        with open(media.path, "rb") as file:
            file.seek(media.offset)
            # What a file's size does not count, as that of the system's own, is never read.
            return file.read(min(there, *sizes) if sizes else there)
    except (OSError, ValueError) as error:
        _fail(media, error)


def _fetch_url(media: Media, count: int | None, most: int) -> builtins.bytes:
    assert media.path is not None
    protocol = media.path.split("://")[0]
    try:
        content = fetch.fetch(media.path, most, None if count is None else media.offset + count)
        return content[media.offset :]
    except ImportError as error:
        raise UserError(
            f"{media.label} is behind '{protocol}://', whose fsspec package is not installed",
            do=struck(str(error)),
        ) from error
    except Exception as error:  # every store has errors of its own, and each is the user's URL
        raise UserError(
            f"{media.label} cannot be fetched ({struck(f'{type(error).__name__}: {error}')[:200]})",
            got=struck(media.path),
            do="check the address, the network and your credentials",
        ) from error


def _fail(media: Media, error: Exception) -> NoReturn:
    """Explain why a local file could not be opened."""
    assert media.path is not None
    path = Path(media.path)
    where = f"a file at {preview(os.path.abspath(path), 300)}"
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        raise UserError(
            f"{media.label} does not exist",
            expected=f"{where} (relative paths start from the table's folder)",
            do=_advice(path),
        ) from error
    if isinstance(error, IsADirectoryError):
        raise UserError(f"{media.label} is a folder", expected="a media file") from error
    if isinstance(error, PermissionError):
        raise UserError(
            f"{media.label} may not be read (permission denied)", expected=where
        ) from error
    raise UserError(f"{media.label} cannot be read ({error})", expected=where) from error


def _advice(path: Path) -> str:
    folder = next(parent for parent in path.parents if parent.is_dir())
    if folder != path.parent:
        return f"'{path.parent}' does not exist either, only '{folder}'; was the table moved?"
    names = {name.lower(): name for name in os.listdir(folder)}
    close = difflib.get_close_matches(path.name.lower(), names, n=1)
    return f"did you mean '{names[close[0]]}'?" if close else f"look into '{folder}'"


def preview(value: Any, limit: int = 80) -> str:
    """A value in words, cut where it is long."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
