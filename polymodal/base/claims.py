"""What in a folder is ours: nothing else is replaced or removed, and one at a time writes it."""

from __future__ import annotations

import fcntl
import glob
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polymodal.base.errors import UserError
from polymodal.base.files import read_json

LOCK = ".polymodal.lock"
# Keys of every metrics.json.
WRITTEN = ("rows", "ledger")


def refuse_input(out: Path, *sources: Any) -> None:
    """UserError if a file that is to be written is one of the tables that are read."""
    for source in sources:
        if isinstance(source, str | os.PathLike) and out.exists():
            found = glob.glob(str(source)) or [str(source)]
            if any(os.path.exists(one) and os.path.samefile(one, out) for one in found):
                raise UserError(
                    f"'{out}' is the table that is read, and would be replaced",
                    expected="another file or folder to write to",
                    do="give another `out`",
                )


def refuse_file(out: Path, ours: str | None = None) -> None:
    """UserError if a file to be written is there already, and is nothing that we would write.

    Args:
        ours: how such files of ours begin; None: they cannot be told from others.
    """
    if not out.is_file():
        return  # what else is there is not replaced: writing says why
    try:
        with open(out, "rb") as file:
            head = file.read(len(ours or "") or 1)
    except OSError:
        head = b"?"
    if head and (ours is None or head != ours.encode()):
        raise UserError(
            f"'{out}' is there already, and would be replaced",
            expected="a new file" + (", or one that the same command has written" if ours else ""),
            do="give another `out`, or `overwrite`",
        )


def refuse_others(folder: Path, names: Collection[str], marker: str, keys: Collection[str]) -> None:
    """UserError if a file to be written is there and was not written by us.

    Args:
        names: the files, which are written together.
        marker: the one of them that is a JSON object with these keys if they are ours.
    """
    there = sorted(name for name in names if os.path.lexists(folder / name))
    if there and not holds(folder / marker, keys):
        raise UserError(
            f"'{folder}' holds {', '.join(there)}, which would be replaced",
            expected="a new folder, or one with results that polymodal wrote",
            do="give another `out`, or move these files",
        )


def holds(path: Path, keys: Collection[str], only: re.Pattern[str] | None = None) -> bool:
    """Whether a file is a JSON object with these keys, and with none that `only` does not match."""
    try:
        found = read_json(path)
    except UserError:
        return False
    if not isinstance(found, dict) or not set(keys) <= set(found):
        return False
    return only is None or all(only.fullmatch(key) for key in found)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else is inside for the same folder meanwhile, of any process.

    Raises:
        UserError: somebody is.
    """
    path = folder / LOCK
    handle = _locked(path, folder)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _locked(path: Path, folder: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise UserError(
                f"Another fit is writing to '{folder}'",
                expected="a folder of its own for each fit",
                do="wait until it is done, or give another `out`",
            ) from error
        except OSError:
            return handle  # a file system without locks
        # Who held it may have removed the file meanwhile, which then is nobody's lock any more.
        try:
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)
