"""What was decoded once stays on disk: arrays by content, and files' hashes by their stamps."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from polymodal.base.errors import PolymodalError, UserError
from polymodal.table.media import Media

# Arrays wait in memory until they are worth one synchronised write.
FLUSH_BYTES = 16 * 2**20
# A file changed this recently may change again without its time stamp showing it.
SETTLED_SECONDS = 2.0
# The folder of scores (`scored.py`).
SCORES = "scores"
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def default_folder() -> Path:
    """`$POLYMODAL_CACHE`, or `~/.cache/polymodal`."""
    return Path(os.environ.get("POLYMODAL_CACHE") or Path.home() / ".cache" / "polymodal")


def kept(folder: Path) -> list[Path]:
    """The files that this package keeps in its cache, and no other that lies there."""
    stores = (index.parent for index in folder.glob("*/*/index.sqlite"))
    found = [path for store in stores for path in store.iterdir()]
    for pattern in (
        "files.sqlite*",
        "kernels.json",
        "tables/*.arrow",
        "unsaved/**/*",
        f"{SCORES}/*",
    ):
        found += folder.glob(pattern)
    return sorted(path for path in found if path.is_file())


def clear(folder: Path) -> None:
    """Delete what is kept, and the folders that this leaves empty.

    Raises:
        UserError: something cannot be deleted.
    """
    with explained(folder):
        files = kept(folder)
        for path in files:
            path.unlink(missing_ok=True)
        parents = {parent for path in files for parent in path.relative_to(folder).parents}
        for parent in sorted(parents, key=lambda p: len(p.parts), reverse=True):
            if parent.parts and not any((folder / parent).iterdir()):
                (folder / parent).rmdir()


class Entry(NamedTuple):
    """Where an array lies in the data file: `offset` in elements, and its shape."""

    offset: int
    shape: tuple[int, ...]


class Store:
    """Arrays of one dtype by content key: an append-only data file and an SQLite index.

    Data is written and synchronised before the index names it, inside the index's write
    transaction. So a process that dies leaves a valid store (what the index does not name is
    overwritten), and processes that write at once wait for each other.

    Args:
        folder: made if it does not exist.
        dtype: of every array.

    Raises:
        UserError: the disk is full, the folder cannot be written, or the index is damaged.
    """

    def __init__(self, folder: Path, dtype: str) -> None:
        self.folder, self.dtype = folder, np.dtype(dtype)
        self._pending: dict[bytes, np.ndarray[Any, Any]] = {}
        self._pending_bytes = 0
        self._truncated: set[bytes] = set()
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._index = _open_index(
                folder / "index.sqlite",
                "cells (key BLOB PRIMARY KEY, offset INT, shape TEXT)",
                "truncated (key BLOB PRIMARY KEY)",
            )
            self._path = folder / "data.bin"
            self._path.touch()
            self._forget_lost_data()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        # Even after Ctrl-C: what has been decoded need not be decoded again.
        try:
            self.flush()
        finally:
            self._index.close()

    def get(self, key: bytes) -> Entry | None:
        """Where the array under `key` lies, or None if it is not stored (or not flushed)."""
        with explained(self.folder):
            return self._get(key)

    def add(self, key: bytes, array: np.ndarray[Any, Any], *, truncated: bool = False) -> None:
        """Keep `array` under `key`; it can be read after the next `flush`.

        Args:
            truncated: whether the array lacks the end of what `key` stands for.
        """
        if array.dtype != self.dtype:
            raise PolymodalError(f"A form promised {self.dtype} and returned {array.dtype}")
        self._pending[key] = array
        if truncated:
            self._truncated.add(key)
        self._pending_bytes += array.nbytes
        if self._pending_bytes >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was added, then index it."""
        if not self._pending:
            return
        with explained(self.folder), _transaction(self._index):
            # Another process may have stored some of them meanwhile.
            new = {k: a for k, a in self._pending.items() if self._get(k) is None}
            offset = self._end()
            described = []
            with open(self._path, "r+b") as file:
                file.seek(offset * self.dtype.itemsize)
                for key, array in new.items():
                    file.write(np.ascontiguousarray(array).data)
                    described.append((key, offset, ",".join(map(str, array.shape))))
                    offset += array.size
                file.flush()
                os.fsync(file.fileno())
            self._index.executemany("INSERT INTO cells VALUES (?, ?, ?)", described)
            marked = [(key,) for key in self._truncated]
            self._index.executemany("INSERT OR IGNORE INTO truncated VALUES (?)", marked)
        self._pending.clear()
        self._truncated.clear()
        self._pending_bytes = 0

    def truncated(self) -> set[bytes]:
        """Keys of flushed arrays that lack the end of their cell."""
        with explained(self.folder):
            return {key for (key,) in self._index.execute("SELECT key FROM truncated")}

    def array(self) -> np.ndarray[Any, Any]:
        """Everything flushed, flat and memory-mapped read-only: `(elements,)`."""
        with explained(self.folder):
            end = self._end()
            if not end:
                return np.empty(0, self.dtype)
            # As a plain array: slicing a memmap object costs ten times more.
            return np.asarray(np.memmap(self._path, self.dtype, "r", shape=(end,)))

    def _get(self, key: bytes) -> Entry | None:
        found = self._index.execute("SELECT offset, shape FROM cells WHERE key = ?", (key,))
        row = found.fetchone()
        return None if row is None else Entry(row[0], _shape(row[1]))

    def _end(self) -> int:
        # Rows are appended in the order of the data, so the last one ends it.
        found = self._index.execute("SELECT offset, shape FROM cells ORDER BY rowid DESC LIMIT 1")
        last = found.fetchone()
        return 0 if last is None else last[0] + int(np.prod(_shape(last[1]), dtype=np.int64))

    def _forget_lost_data(self) -> None:
        """Empty the index if someone has shortened or deleted the data file."""
        with _transaction(self._index):
            if self._path.stat().st_size < self._end() * self.dtype.itemsize:
                self._index.execute("DELETE FROM cells")


class Files:
    """Content hashes of media, remembered for local files by path, size and times of change.

    Args:
        folder: where the memory lies; shared by all stores.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._new: dict[str, tuple[str, bytes]] = {}
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._index = _open_index(
                folder / "files.sqlite", "files (path TEXT PRIMARY KEY, stamp TEXT, key BLOB)"
            )

    def __enter__(self) -> Files:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            with explained(self.folder), _transaction(self._index):
                rows = [(path, stamp, key) for path, (stamp, key) in self._new.items()]
                self._index.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)
        finally:
            self._index.close()

    def key(self, media: Media) -> bytes:
        """Content hash of `media`; UserError if it cannot be read."""
        if media.path is None or "://" in media.path:
            return bytes.fromhex(media.key())
        path = f"{os.path.abspath(media.path)}|{media.offset}|{media.size}"
        try:
            status = os.stat(media.path)
        except (OSError, ValueError):
            return bytes.fromhex(media.key())  # which explains what is wrong with the path
        # ctime too: it changes when a program writes and then sets the old mtime again.
        stamp = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
        with explained(self.folder):
            found = self._index.execute("SELECT stamp, key FROM files WHERE path = ?", (path,))
            known = found.fetchone()
        if known is not None and known[0] == stamp:
            return bytes(known[1])
        key = bytes.fromhex(media.key())
        if time.time() - max(status.st_mtime, status.st_ctime) > SETTLED_SECONDS:
            self._new[path] = (stamp, key)
        return key


def _open_index(path: Path, *tables: str) -> sqlite3.Connection:
    index = sqlite3.connect(path, timeout=60, isolation_level=None)
    for table in tables:
        index.execute(f"CREATE TABLE IF NOT EXISTS {table}")
    return index


@contextmanager
def _transaction(index: sqlite3.Connection) -> Iterator[None]:
    """Everything or nothing, and nobody else writes meanwhile."""
    index.execute("BEGIN IMMEDIATE")
    try:
        yield
        index.execute("COMMIT")
    except BaseException:
        # A full disk makes SQLite roll back by itself.
        if index.in_transaction:
            index.execute("ROLLBACK")
        raise


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """The system's errors about the cache, as UserErrors."""
    elsewhere = "set POLYMODAL_CACHE to a folder on a disk with room that you may write to"
    try:
        yield
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_FULL":
            what, do = f"The disk that holds the cache {folder} is full", elsewhere
        elif name in ("SQLITE_CORRUPT", "SQLITE_NOTADB"):
            what, do = f"The cache {folder} is damaged ({error})", "delete that folder and repeat"
        elif name.startswith("SQLITE_BUSY"):
            what = f"Another process has kept the cache {folder} locked for a minute"
            do = "wait for it, or give this one a cache of its own by POLYMODAL_CACHE"
        elif isinstance(error, sqlite3.OperationalError):
            what, do = f"The cache {folder} cannot be written ({error})", elsewhere
        else:
            raise
        raise UserError(what, do=do) from error
    except OSError as error:
        full = error.errno in _NO_SPACE
        raise UserError(
            f"The disk that holds the cache {folder} is full"
            if full
            else f"The cache {folder} cannot be written ({error.strerror or error})",
            do=elsewhere,
        ) from error


def _shape(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(","))) if text else ()
