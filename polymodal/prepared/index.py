"""SQLite indexes of the cache: whose they are, and what is said where one cannot be used."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from polymodal.base.errors import UserError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
# What SQLite files of ours say they are ("pmod"), and how their tables are laid out; the tables of
# earlier layouts.
_APPLICATION, _LAYOUT = 0x706D6F64, 2
_EARLIER = {"cells", "truncated", "files"}


class CacheError(UserError):
    """The cache cannot be used; whoever only reads a model can do without."""


def opened(path: Path, table: str) -> sqlite3.Connection:
    """An index with this table; one of an earlier layout is emptied.

    Raises:
        CacheError: it is another program's.
    """
    index = sqlite3.connect(path, timeout=60, isolation_level=None)
    try:
        new = _said(index) != (_APPLICATION, _LAYOUT)
        # Together with the table: the disk is waited for once.
        with transaction(index) if new else nullcontext():
            if new and _said(index) != (_APPLICATION, _LAYOUT):  # nor by another process meanwhile
                names = _tables(index)
                if not names <= _EARLIER:
                    raise CacheError(
                        f"'{path}' is not what polymodal keeps in its cache",
                        do="set POLYMODAL_CACHE to a new folder",
                    )
                for name in names:
                    index.execute(f"DROP TABLE {name}")
                index.execute(f"PRAGMA application_id = {_APPLICATION}")
                index.execute(f"PRAGMA user_version = {_LAYOUT}")
            # One that is ours already may hold other tables alone.
            index.execute(f"CREATE TABLE IF NOT EXISTS {table}")
    except BaseException:
        index.close()
        raise
    return index


def _said(index: sqlite3.Connection) -> tuple[int, int]:
    """Whose an index says it is, and of which layout."""
    pragmas = ("application_id", "user_version")
    application, layout = (index.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas)
    return application, layout


def _tables(index: sqlite3.Connection) -> set[str]:
    return {name for (name,) in index.execute("SELECT name FROM sqlite_master WHERE type='table'")}


def is_ours(path: Path) -> bool:
    """Whether an index is ours, of whatever layout; a damaged one is nobody's."""
    if not path.is_file() or path.is_symlink():
        return False
    try:
        index = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            names = _tables(index)
            return _said(index)[0] == _APPLICATION or (bool(names) and names <= _EARLIER)
        finally:
            index.close()
    except sqlite3.DatabaseError:
        return False


@contextmanager
def transaction(index: sqlite3.Connection) -> Iterator[None]:
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
    except sqlite3.Error as error:
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
        raise CacheError(what, do=do) from error
    except OSError as error:
        full = error.errno in _NO_SPACE
        raise CacheError(
            f"The disk that holds the cache {folder} is full"
            if full
            else f"The cache {folder} cannot be written ({error.strerror or error})",
            do=elsewhere,
        ) from error
