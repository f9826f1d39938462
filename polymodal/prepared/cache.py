"""What was decoded once stays on disk: arrays by content, and files' hashes by their stamps.

Everything is kept with a checksum: what a disk or a hand has spoilt counts as not kept.
"""

from __future__ import annotations

import math
import os
import re
import time
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import gettempdir
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from polymodal.base.claims import holds
from polymodal.base.errors import PolymodalError
from polymodal.prepared.index import explained, is_ours, opened, transaction
from polymodal.table.media import Media

# Arrays wait in memory until they are worth one synchronised write.
FLUSH_BYTES = 16 * 2**20
# Keys that are looked up together: SQLite takes 999 in the oldest versions about.
AT_ONCE = 500
# A file changed this recently may change again without its time stamp showing it.
SETTLED_SECONDS = 2.0
# The folder of scores (`scored.py`).
SCORES = "scores"
# The folder of weights that packages brought in another form, and of runs' encoders
# (`modalities._package`).
WEIGHTS = "weights"
_HASHED = re.compile(r"[0-9a-f]{32}(-[0-9a-f]{32})?\.[a-z]+")
_CONVERTED = re.compile(r"[a-z0-9_]+-[0-9A-Za-z.+!]+-[0-9]+")
_CHOICE = re.compile(r"[0-9a-f]{32}|seal")


def default_folder() -> Path:
    """`$POLYMODAL_CACHE`, or `~/.cache/polymodal`; who has no home has a temporary folder."""
    given = os.environ.get("POLYMODAL_CACHE")
    if given:
        return Path(given)
    try:
        return Path.home() / ".cache" / "polymodal"
    except RuntimeError:  # a container, run by a number that is nobody's
        return Path(gettempdir()) / f"polymodal-{os.getuid()}"


def usable_folder() -> Path | None:
    """`default_folder` if it can be written to; else None: nothing is kept then."""
    folder = default_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}.{time.time_ns()}"
        probe.touch()
        probe.unlink()
    except OSError:
        return None
    return folder


def kept(folder: Path) -> list[Path]:
    """The files that this package keeps in its cache, and no other that lies there.

    An index says whose it is; scores and unpacked tables are called by a hash,
    converted weights by their package and its version.
    """
    found: list[Path] = []
    for index in [*folder.glob("*/*/index.sqlite"), folder / "files.sqlite"]:
        if is_ours(index):
            found += [index.with_name(index.name + end) for end in ("", "-wal", "-shm", "-journal")]
            found += [index.with_name("data.bin")] if index.name == "index.sqlite" else []
    choices = folder / "kernels.json"
    if holds(choices, (), _CHOICE) or not holds(choices, ()):  # a spoilt one is nobody else's
        found.append(choices)
    for name in ("tables", SCORES):
        found += (p for p in folder.glob(f"{name}/*") if _HASHED.fullmatch(p.name))
    for made in folder.glob(f"{WEIGHTS}/*"):
        if _CONVERTED.fullmatch(made.name):
            found += made.glob("*")
    for run in folder.glob("unsaved/*/fit.json"):
        if run.parent.name.isdigit():
            found += run.parent.rglob("*")
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


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
            self._index = opened(
                folder / "index.sqlite",
                "arrays (key BLOB PRIMARY KEY, offset INT, shape TEXT, cut INT, sum INT)",
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

    def places(self, keys: Iterable[bytes]) -> dict[bytes, Entry]:
        """Where the arrays under some keys lie, but for those not stored (or not flushed)."""
        found: dict[bytes, Entry] = {}
        some = list(dict.fromkeys(keys))
        with explained(self.folder):
            for start in range(0, len(some), AT_ONCE):
                part = some[start : start + AT_ONCE]
                marks = ",".join("?" * len(part))
                for one in self._index.execute(
                    f"SELECT * FROM arrays WHERE key IN ({marks})", part
                ):
                    if (row := _Row.of(one)) is not None:
                        found[row.key] = Entry(row.offset, row.shape)
        return found

    def sound(self, key: bytes) -> Entry | None:
        """As `places`, of one array, whose checksum fits; one that has been spoilt is forgotten."""
        with explained(self.folder):
            row = self._row(key)
            if row is None or self._is_sound(row):
                return None if row is None else Entry(row.offset, row.shape)
            self._index.execute("DELETE FROM arrays WHERE key = ?", (key,))
        return None

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
        with explained(self.folder), transaction(self._index):
            # Another process may have stored some of them meanwhile.
            new = {k: a for k, a in self._pending.items() if self._row(k) is None}
            offset = self._end()
            described = []
            with open(self._path, "r+b") as file:
                file.seek(offset * self.dtype.itemsize)
                for key, array in new.items():
                    data, cut = np.ascontiguousarray(array).data, int(key in self._truncated)
                    shape = ",".join(map(str, array.shape))
                    file.write(data)
                    described.append((key, offset, shape, cut, _sum(key, shape, cut, data)))
                    offset += array.size
                file.flush()
                os.fsync(file.fileno())
            insert = "INSERT OR REPLACE INTO arrays VALUES (?, ?, ?, ?, ?)"
            self._index.executemany(insert, described)
        self._pending.clear()
        self._truncated.clear()
        self._pending_bytes = 0

    def truncated(self) -> set[bytes]:
        """Keys of flushed arrays that lack the end of their cell."""
        with explained(self.folder):
            return {key for (key,) in self._index.execute("SELECT key FROM arrays WHERE cut")}

    def array(self) -> np.ndarray[Any, Any]:
        """Everything flushed, flat and memory-mapped read-only: `(elements,)`."""
        with explained(self.folder):
            end = self._end()
            if not end:
                return np.empty(0, self.dtype)
            # As a plain array: slicing a memmap object costs ten times more.
            return np.asarray(np.memmap(self._path, self.dtype, "r", shape=(end,)))

    def _row(self, key: bytes) -> _Row | None:
        found = self._index.execute("SELECT * FROM arrays WHERE key = ?", (key,)).fetchone()
        return None if found is None else _Row.of(found)

    def _end(self) -> int:
        # Rows are appended in the order of the data, so the last one ends it.
        found = self._index.execute("SELECT * FROM arrays ORDER BY rowid DESC LIMIT 1").fetchone()
        if found is None:
            return 0
        last = _Row.of(found)
        if last is not None and self._is_sound(last):
            return last.offset + last.size
        # Where it ends is not to be believed: nothing that may be somebody's is overwritten.
        return -(-self._path.stat().st_size // self.dtype.itemsize)

    def _is_sound(self, row: _Row) -> bool:
        start, size = row.offset * self.dtype.itemsize, row.size * self.dtype.itemsize
        if start + size > self._path.stat().st_size:
            return False
        with open(self._path, "rb") as file:
            file.seek(start)
            return row.sum == _sum(row.key, row.spelled, row.cut, file.read(size))

    def _forget_lost_data(self) -> None:
        """Empty the index if someone has shortened or deleted the data file."""
        with transaction(self._index):
            found = self._index.execute("SELECT * FROM arrays ORDER BY rowid DESC LIMIT 1")
            last = found.fetchone()
            row = None if last is None else _Row.of(last)
            end = 0 if row is None else (row.offset + row.size) * self.dtype.itemsize
            if self._path.stat().st_size < end:
                self._index.execute("DELETE FROM arrays")


class _Row(NamedTuple):
    """One array of the index."""

    key: bytes
    offset: int
    shape: tuple[int, ...]
    spelled: str
    cut: int
    sum: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @classmethod
    def of(cls, found: Sequence[Any]) -> _Row | None:
        """What the index holds; None if that can be no array's place."""
        key, offset, spelled, cut, sum_ = found
        try:
            row = cls(bytes(key), int(offset), _shape(spelled), spelled, int(cut), int(sum_))
        except (TypeError, ValueError, AttributeError):
            return None
        return row if row.offset >= 0 and all(n >= 0 for n in row.shape) else None


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
            self._index = opened(
                folder / "files.sqlite",
                "hashes (path TEXT PRIMARY KEY, stamp TEXT, key BLOB, sum INT)",
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
            with explained(self.folder), transaction(self._index):
                rows = [
                    (path, stamp, key, _sum(key, path, 0, stamp.encode()))
                    for path, (stamp, key) in self._new.items()
                ]
                insert = "INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?)"
                self._index.executemany(insert, rows)
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
            found = self._index.execute(
                "SELECT stamp, key, sum FROM hashes WHERE path = ?", (path,)
            )
            known = found.fetchone()
        if known is not None and known[0] == stamp and isinstance(known[1], bytes):
            key, sum_ = known[1:]
            if sum_ == _sum(key, path, 0, stamp.encode()):
                return bytes(key)
        key = bytes.fromhex(media.key())
        if time.time() - max(status.st_mtime, status.st_ctime) > SETTLED_SECONDS:
            self._new[path] = (stamp, key)
        return key


def _sum(key: bytes, text: str, mark: int, data: Any) -> int:
    """Checksum of one entry; `data` is a buffer."""
    return zlib.crc32(data, zlib.crc32(f"{text} {mark} ".encode("utf-8", "surrogateescape") + key))


def _shape(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(","))) if text else ()
