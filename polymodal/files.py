"""Files written whole or not at all: under a temporary name first, then renamed."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from polymodal.errors import UserError


def make_folder(folder: Path) -> None:
    """Create a folder for results; UserError if that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(folder, error) from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    _write(path, lambda file: file.write(text.encode("utf-8")))


def write_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns of equal length as a CSV file with a header."""

    def write(file: IO[bytes]) -> None:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
        text.flush()
        text.detach()

    _write(path, write)


def write_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    """Write an array as .npy."""
    _write(path, lambda file: np.save(file, array))


def _write(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            write(file)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> UserError:
    return UserError(
        f"'{path}' cannot be written",
        expected="a writable place with room on its disk",
        got=error.strerror or str(error),
        do="free some space, or write somewhere else (--out)",
    )
