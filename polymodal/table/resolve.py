"""What a table's cell means as media: a path, an address, bytes, an array; and what it may name."""

from __future__ import annotations

import json
import math
import os
import posixpath
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urljoin

import numpy as np

from polymodal.base.errors import UserError
from polymodal.table import inline, listed
from polymodal.table.fetch import is_address, struck
from polymodal.table.media import NPY, Media, kind_of_name, load_npy, preview, unquoted, wav


@dataclass(frozen=True)
class Reach:
    """What a table's cells may name, by where the table came from.

    By default anything local, as it is for what the user writes.

    Attributes:
        files: absolute paths of files that keep the table itself, which its cells may point into.
        inside: structs name files of the table's folder only: whoever wrote them was elsewhere.
        sealed: cells name no files but `files`: the table came inside an archive.
        urls: cells may name addresses.
    """

    files: frozenset[str] = frozenset()
    inside: bool = False
    sealed: bool = False
    urls: bool = False

    def __or__(self, other: Reach) -> Reach:
        """Of rows of two tables: what both may name."""
        return Reach(
            self.files | other.files,
            self.inside or other.inside,
            self.sealed or other.sealed,
            self.urls and other.urls,
        )


ANYWHERE = Reach()


def resolve(cell: Any, base: str | None, label: str, reach: Reach = ANYWHERE) -> Media | None:
    """What a table's cell means as media; nothing is opened yet.

    Args:
        cell: a path or URL, with or without blanks around it; a data URI, or a file in base64;
            bytes; `{"bytes", "path"}` (Hugging Face); `{"path" or "tar", "offset", "size"}` (a part
            of a file); `{"array", "sampling_rate"}` (sound, which becomes a WAV so that its rate
            travels with it); an array, a list, or such a list as JSON; a list of one of these;
            None, NaN or "" where the cell is missing.
        base: folder that relative paths start from; None is the current folder.
        label: what to call the cell in messages ("row 12, column 'image'").
        reach: what the cell may name.

    Returns:
        The media, or None for a missing cell.

    Raises:
        UserError: the cell is none of these, or names what it may not.
    """
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, str | os.PathLike):
        return _resolve_text(os.fspath(cell), base, label, reach)
    if isinstance(cell, bytes | bytearray | memoryview):
        data = bytes(cell)
        if data.startswith(NPY):
            return Media(label, values=load_npy(data, label))
        return Media(label, data=data)
    if isinstance(cell, Mapping):
        return _resolve_mapping(cell, base, label, reach)
    if isinstance(cell, list | tuple | np.ndarray):
        return _resolve_list(cell, base, label, reach)
    raise UserError(
        f"{label} is not media",
        expected="a path, a URL, bytes, an array, or {'bytes', 'path'}",
        got=f"{type(cell).__name__} {preview(cell)}",
        do="overrule the column's kind with `kind`",
    )


def is_outside(path: str, base: str | None) -> bool:
    """Whether a path leads out of a folder, by its words: links are the user's own."""
    folder = os.path.abspath(base or "")
    place = os.path.abspath(os.path.join(folder, path))
    return os.path.commonpath([folder, place]) != folder


def _resolve_text(text: str, base: str | None, label: str, reach: Reach) -> Media | None:
    bare = text.strip()
    if not bare:
        return None
    values = listed.numbers(bare)
    if values is not None:
        return Media(label, values=values)
    if bare.startswith("[") and bare.endswith("]"):
        if listed.SHORTENED in bare:
            raise UserError(
                f"{label} lacks numbers: NumPy left them out where it printed '{listed.SHORTENED}'",
                expected="all of them",
                got=preview(bare),
                do="write the table again, with `array.tolist()` or .npy files",
            )
        try:
            found = json.loads(bare)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{label} looks like a JSON list but cannot be parsed ({str(error)[:200]})",
                expected="[1.0, 2.5, ...] or [[1, 2], [3, 4], ...]",
                got=preview(bare),
            ) from error
        return _resolve_list(found, base, label, reach)
    content = inline.decoded(bare)
    if content is not None:
        return resolve(content, base, label, reach)
    if unquoted(bare) != bare:
        bare = text = unquoted(bare)
    if base is not None and is_address(base):
        # What came from there names nothing here.
        if bare.lower().startswith("file:"):
            raise UserError(
                f"{label} names a file of this machine, in a table that comes from elsewhere",
                expected="addresses, or names beside the table",
                got=preview(bare),
                do="download the table if these files are yours",
            )
        bare = beside(base, bare)
    elif bare.lower().startswith("file:"):
        bare = text = _local(bare)
    called = f"{label}: {preview(struck(bare))}"
    if is_address(bare):
        if not reach.urls or reach.sealed:
            raise UserError(
                f"{called} is an address: only `allow_urls` lets it be fetched",
                expected="a local file",
                do="download it, or allow addresses of public hosts: `allow_urls`",
            )
        return Media(called, path=bare)
    if reach.sealed:
        raise UserError(
            f"{called} is a file outside the archive that names it",
            expected="media that lie in the archive themselves",
            do="put the file into the archive, or list the paths in a table of your own",
        )
    return Media(called, path=_found(text, base))


def beside(base: str, name: str) -> str:
    """The address of what a table behind the address `base` names: nothing of this machine."""
    if is_address(name):
        return name
    folder, name = f"{base.rstrip('/')}/", name.replace("\\", "/")
    if base.lower().startswith(("http://", "https://")):
        return urljoin(folder, quote(name))
    store, _, inside = folder.partition("://")
    bucket, _, place = inside.partition("/")
    path = posixpath.normpath("/" + place + name.lstrip("/"))
    return f"{store}://{bucket}{path}"


def _found(text: str, base: str | None) -> str:
    """Where a path leads. Blanks belong to no name, and a backslash parts folders, unless there is
    such a file."""
    places = [text.strip(), text, text.strip().replace("\\", "/")]
    places = [os.path.join(base or "", place) for place in dict.fromkeys(places)]
    return next((p for p in places if len(places) > 1 and _exists(p)), places[0])


def _exists(path: str) -> bool:
    try:
        return os.path.exists(path)
    except ValueError:  # no path at all
        return False


def _local(url: str) -> str:
    """The path in a file: URL, as it is or with its characters encoded."""
    path = url[5:].removeprefix("//").removeprefix("localhost")
    return path if _exists(path) else unquote(path)


def _resolve_list(cell: Any, base: str | None, label: str, reach: Reach) -> Media | None:
    """An array; or the one file that is in a list."""
    files = [one for one in cell if isinstance(one, str | bytes | Mapping)]
    if len(files) == len(cell) == 1:
        return resolve(files[0], base, label, reach)
    if len(files) > 1 and all(isinstance(one, Mapping) or _is_named(one) for one in files):
        raise UserError(
            f"{label} holds {len(files)} files",
            expected="one a cell",
            got=preview(struck(str(cell))),
            do="give each a column of its own, or a row",
        )
    return Media(label, values=_as_array(cell))


def _is_named(one: Any) -> bool:
    return isinstance(one, bytes) or kind_of_name(one) is not None


def _resolve_mapping(
    cell: Mapping[str, Any], base: str | None, label: str, reach: Reach
) -> Media | None:
    if cell.get("array") is not None:
        return Media(label, data=_sampled(cell, label))
    content = cell.get("bytes")
    if content is not None and not isinstance(content, str):
        return _kept(resolve(content, base, label, reach), base, label, reach)
    # A text among the bytes is base64, or a path like any other.
    path = next((cell[key] for key in ("tar", "bytes", "path") if cell.get(key) is not None), None)
    if path is None:
        if cell.keys() & {"array", "bytes", "path", "tar"}:
            return None
        raise UserError(
            f"{label} is not media",
            expected="a mapping with 'bytes', 'path', 'tar' or 'array'",
            got=f"one with {', '.join(map(str, cell)) or 'nothing'}",
        )
    path = str(path)
    if path in reach.files:
        whole: Media | None = Media(f"{label}: {preview(path)}", path=path)
    else:
        whole = _kept(_resolve_text(path, base, label, reach), base, label, reach)
    if whole is None or cell.get("size") is None:
        return whole
    try:
        offset, size = int(cell.get("offset") or 0), int(cell["size"])
    except (TypeError, ValueError) as error:
        raise UserError(f"{label} has no 'offset' and 'size' that are whole numbers") from error
    if offset < 0 or size < 0:
        raise UserError(f"{label} lies {offset} bytes into a file, and has {size}")
    return Media(whole.label, path=whole.path, offset=offset, size=size)


def _kept(found: Media | None, base: str | None, label: str, reach: Reach) -> Media | None:
    """What a struct names, unless it lies outside the folder that it is kept to."""
    named = None if found is None else found.path
    local = named is not None and not is_address(named)
    if local and reach.inside and named not in reach.files and is_outside(named or "", base):
        raise UserError(
            f"{label} points outside the table's folder",
            expected=f"a file in {os.path.abspath(base or '')}",
            got=preview(named or ""),
            do="move the files there, or list the paths in a column of texts",
        )
    return found


def _sampled(cell: Mapping[str, Any], label: str) -> bytes:
    rate = cell.get("sampling_rate")
    if not rate:
        raise UserError(f"{label} is a sound without 'sampling_rate'", expected="samples a second")
    try:
        return wav(cell["array"], int(rate))
    # What else than samples stands there: texts, rows of several lengths, rates of no WAV.
    except (TypeError, ValueError, OverflowError, struct.error) as error:
        raise UserError(
            f"{label} is no sound ({str(error)[:100]})",
            expected="'array' of numbers (samples,) or (channels, samples), and 'sampling_rate'",
        ) from error


def _as_array(values: Any) -> np.ndarray[Any, Any] | list[Any]:
    """An array where the values form one of numbers; else the nested list, for a form to judge."""
    nested = (
        values.tolist() if isinstance(values, np.ndarray) and values.dtype == object else values
    )
    try:
        array = np.asarray(nested)
    except ValueError:  # ragged
        return list(nested)
    return array if array.dtype.kind in "biuf" else list(nested)
