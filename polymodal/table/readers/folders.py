"""Folders: a table beside its media, a folder per class, or parts of a data set."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from polymodal.base.errors import UserError
from polymodal.contract.kind import kinds
from polymodal.table.media import kind_of_name
from polymodal.table.readers.memory import from_rows

# What file managers leave behind.
_LITTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
# Names of the parts of a data set, and of the table that describes a folder.
_TRAIN, _VALID = ("train", "training"), ("val", "valid", "validation", "dev", "eval")
_PARTS = (*_TRAIN, *_VALID, "test", "testing", "holdout")
_TABLES = ("metadata", "labels", "annotations")
# Bytes of a table that is called otherwise, and how many names of media are looked for there.
_SEARCHED, _LOOKED = 2**16, 20
# Cells of a text table; and texts of a JSON file that are no keys.
JSON = (".json", ".jsonl", ".ndjson")
_FIELDS = re.compile(r"[^\t\r\n,;|]+")
_JSON_TEXTS = re.compile(r"\"((?:[^\"\\]|\\.)*)\"\s*(?=[,}\]])")


def table_of(folder: Path, suffixes: Sequence[str]) -> Path | None:
    """The table that lies beside its media in a folder: called metadata or labels, or the only one
    that names some of them; None if there is none.

    Raises:
        UserError: it may be any of several.
    """
    tables = [p for p in _entries(folder) if p.suffix.lower() in suffixes and p.is_file()]
    named = [p for p in tables if p.stem.lower() in _TABLES]
    if not named:
        # Series lie in files that could be tables.
        others = (p for p in _walk(folder) if p.suffix.lower() not in suffixes)
        media = list(islice((p for p in others if kind_of_name(p.name)), _LOOKED))
        named = [p for p in tables if not media or _names_any(p, media)]
    if len(named) > 1:
        raise UserError(
            f"{folder} holds several tables",
            expected="one of them",
            got=", ".join(path.name for path in named[:8]),
            do=f"name one, for example {named[0]}",
        )
    return named[0] if named else None


def shards(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of these suffixes in a folder, in order, all of one part of a data set.

    Raises:
        UserError: they are of several parts.
    """
    found = [p for p in _entries(folder) if p.suffix.lower() in suffixes]
    parts = {re.split(r"[^a-z]", path.name.lower())[0]: path for path in reversed(found)}
    if len(parts) > 1 and all(part in _PARTS for part in parts):
        one = next((part for part in parts if part in _TRAIN), min(parts))
        raise _several(folder, sorted(parts), f"name one, for example '{folder}/{one}*'")
    return found


def read_tree(folder: Path) -> tuple[pa.Table, tuple[str, ...]]:
    """A folder per class: one row a file, its path under the kind of its suffix, and "label"; or
    media without classes.

    Returns:
        The rows, and sentences about what is not in them.

    Raises:
        UserError: no class folder, no media in them, a file of unknown kind, a folder that may not
            be read, or folders that are parts of a data set.
    """
    classes = [path for path in _entries(folder) if path.is_dir()]
    _refuse_parts(folder, classes)
    rows: list[dict[str, Any]] = []
    unknown: list[str] = []
    empty: list[str] = []
    for group in classes:
        before = len(rows) + len(unknown)
        for path in _walk(group):
            name, kind = path.relative_to(folder).as_posix(), kind_of_name(path.name)
            if kind is None or not path.is_file():
                unknown.append(name)
            else:
                rows.append({kind: name, "label": group.name})
        if len(rows) + len(unknown) == before:
            empty.append(group.name)
    loose = [path.name for path in _entries(folder) if not path.is_dir()]
    if not rows and not unknown:
        # New media, to be predicted, have no classes yet.
        rows = [{kind: name} for name in loose if (kind := kind_of_name(name)) is not None]
        loose = [name for name in loose if kind_of_name(name) is None]
    if not rows:
        raise UserError(
            f"{folder} holds no table and no media",
            expected="a folder per class with media files in it, such as cats/1.jpg; a table "
            "beside its media; or .parquet, .arrow or .tar files",
            got=", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "an empty folder",
        )
    if unknown:
        raise UserError(
            f"{folder} holds {len(unknown)} files that are no known media",
            expected=f"{' or '.join(name for name, k in kinds().items() if k.suffixes)} files only",
            got=", ".join(unknown[:5]),
            do="remove them, or list the files to use in a CSV",
        )
    return from_rows(rows, str(folder)), tuple(
        f"{folder}: {what}"
        for what in (
            loose and f"{_counted(loose, 'file')} beside what is read",
            empty and f"{_counted(empty, 'class folder')} without media: no such class",
        )
        if what
    )


def _refuse_parts(folder: Path, groups: Sequence[Path]) -> None:
    """UserError if folders are training and test parts of a data set, or each class has such."""
    parts = [path for path in groups if path.name.lower() in _PARTS]
    divided = [path for path in parts if any(inner.is_dir() for inner in _entries(path))]
    if parts and (len(parts) == len(groups) or len(divided) > 1):
        train, valid, test = (
            next((path for path in parts if path.name.lower() in names), None)
            for names in (_TRAIN, _VALID, ("test", "testing", "holdout"))
        )
        do = f"name one: {train or parts[0]}"
        do += f", with `valid {valid}`" if train and valid else ""
        do += f"; and evaluate on {test}" if train and test else ""
        raise _several(folder, [path.name for path in parts], do)
    below = {inner.name for path in groups for inner in _entries(path) if inner.is_dir()}
    if len(below) > 1 and all(name.lower() in _PARTS for name in below):
        raise _several(
            folder, sorted(below), "put the parts above the classes: train/cats, test/cats"
        )


def _several(folder: Path, parts: Sequence[str], do: str) -> UserError:
    return UserError(
        f"{folder} holds parts of a data set, which are no classes",
        expected="one part, with a folder per class or a table in it",
        got=", ".join(parts[:8]),
        do=do,
    )


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, in order, but for what is hidden; UserError if it may not be read."""
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(
            f"The folder {folder} cannot be read ({error.strerror})",
            do="let it be read, or remove it: its files would be missing silently",
        ) from error
    return [p for p in found if not p.name.startswith(".") and p.name.lower() not in _LITTER]


def _walk(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """All files below a folder, through links too, but never in a circle."""
    place = os.path.realpath(folder)
    if place in above:
        return
    for path in _entries(folder):
        if path.is_dir():
            yield from _walk(path, above | {place})
        else:
            yield path


def _names_any(table: Path, media: Sequence[Path]) -> bool:
    try:
        with open(table, "rb") as file:
            text = file.read(_SEARCHED).decode(errors="replace")
    except OSError:
        return False
    pattern = _JSON_TEXTS if table.suffix.lower() in JSON else _FIELDS
    cells = {cell.strip().strip("\"'") for cell in pattern.findall(text)}
    # A number is hardly the name of a file: it stands in any table. And where a class's name stands
    # alone, the class is meant.
    stems = {p.stem for p in media if _number(p.stem) is None and p.stem != p.parent.name}
    named = {Path(cell.replace("\\", "/")).name for cell in cells}
    return bool(stems & cells) or any(path.name in named for path in media)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _counted(names: Sequence[str], what: str) -> str:
    return f"{len(names)} {what}{'s' * (len(names) > 1)} (such as '{names[0]}')"
