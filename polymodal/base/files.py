"""Files written whole or not at all: under a temporary name first, then renamed."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from polymodal.base.errors import UserError
from polymodal.base.sheets import csv_of

# What a cell that is a file is called.
_FILED = re.compile(r"\d{6,}\.(png|bin)")
# No document of ours comes near it; twenty times as much memory is needed to parse one.
LARGEST_JSON = 128 * 2**20


def make_folder(folder: Path) -> None:
    """Create a folder for results; UserError if that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(folder, error) from error


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path to write a file or folder at, renamed to `path` once all is written.

    Whatever goes wrong, nothing is left under the temporary name. A device or pipe, such as
    /dev/stdout, is written to directly.

    Raises:
        UserError: the disk is full, or the place cannot be written to.
    """
    special = path.exists() and not path.is_file() and not path.is_dir()
    # Threads of one process may write the same file.
    own = f"{os.getpid()}.{threading.get_ident()}"
    temporary = path if special else path.with_name(f"{path.name}.{own}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = None if special else _mode(temporary)
        yield temporary
        if mode is not None:
            if temporary.is_file():  # some writers make theirs for the owner alone
                temporary.chmod(mode)
            os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise _refused(path, error) from error
    finally:
        if not special and temporary.exists():
            shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink()


def _mode(path: Path) -> int:
    """The permissions that this process gives a new file, here `path`, which is gone again."""
    path.touch()
    mode = path.stat().st_mode & 0o777
    path.unlink()
    return mode


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8; halves of characters, which it cannot hold, become "?"."""
    with whole(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "replace"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document, with null for what is no finite number: JSON knows no NaN."""
    write_text(path, json.dumps(finite(value), indent=1, ensure_ascii=False, allow_nan=False))


def finite(value: Any) -> Any:
    """The same with None for every float that is not finite."""
    if isinstance(value, Mapping):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path) -> Any:
    """Read a JSON document of ours; UserError if it is damaged, or far too large to be ours."""
    try:
        if path.stat().st_size > LARGEST_JSON or not path.is_file():
            raise ValueError("too large, or no regular file")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, error) from error


def write_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns of equal length as a CSV file: see `sheets.csv_of`."""
    write_text(path, csv_of(columns))


def write_predictions(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """As `write_csv`; cells that are files stand in a folder beside it, and are named.

    Of a column `picture` of `drawn.csv` that is `drawn.picture/`, which is replaced whole if it
    holds nothing but such files.

    Raises:
        UserError: such a folder holds others' files, or cannot be written.
    """
    told = dict(columns)
    for name, cells in columns.items():
        if any(isinstance(cell, bytes) for cell in cells):
            told[name] = _filed(path.with_name(f"{path.stem}.{name.replace(os.sep, '_')}"), cells)
    write_csv(path, told)


def _filed(folder: Path, cells: Sequence[Any]) -> list[Any]:
    """Write cells that are files into a folder: their names from beside it, other cells as are."""
    others = [one.name for one in folder.glob("*") if not _FILED.fullmatch(one.name)]
    if others or (folder.exists() and not folder.is_dir()):
        raise UserError(
            f"'{folder}' is there already, and holds what would be lost",
            expected="no such folder, or one of files that the same command has written",
            got=", ".join(sorted(others)[:3]) or "a file",
            do="give another `out`, or move it",
        )
    names = [
        f"{row:06d}.{_suffix(one)}" if isinstance(one, bytes) else None
        for row, one in enumerate(cells)
    ]
    with whole(folder) as temporary:
        temporary.mkdir()
        for name, cell in zip(names, cells, strict=True):
            if name is not None:
                (temporary / name).write_bytes(cell)
        if folder.exists():
            shutil.rmtree(folder)
    return [
        cell if name is None else f"{folder.name}/{name}"
        for name, cell in zip(names, cells, strict=True)
    ]


def _suffix(content: bytes) -> str:
    return "png" if content.startswith(b"\x89PNG") else "bin"


def write_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    """Write an array as .npy."""
    with whole(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array)


def damaged(path: Path, error: Exception) -> UserError:
    """What to raise when something that was written whole is whole no longer."""
    return UserError(
        f"'{path}' is missing or damaged",
        expected="what polymodal wrote there",
        got=f"{type(error).__name__}: {error}"[:200],
        do="copy the folder again, or delete it and fit again",
    )


def _refused(path: Path, error: Exception) -> UserError:
    if isinstance(error, IsADirectoryError | NotADirectoryError | FileExistsError):
        return UserError(
            f"'{path}' cannot be written",
            expected="a new place, or what stands there already to be of the same sort",
            got="a folder in a file's place" if path.is_dir() else "a file in a folder's place",
            do="write somewhere else (`out`, or POLYMODAL_CACHE for the cache)",
        )
    return UserError(
        f"'{path}' cannot be written",
        expected="a writable place with room on its disk",
        got=getattr(error, "strerror", None) or str(error),
        do="free some space, or write somewhere else (`out`, or POLYMODAL_CACHE for the cache)",
    )
