"""Any supported source to one Table."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from polymodal.base import lookup
from polymodal.base.arrow import is_text
from polymodal.base.errors import UserError
from polymodal.table import chat
from polymodal.table.fetch import is_address, struck
from polymodal.table.media import Media, kind_of_name
from polymodal.table.named import Named
from polymodal.table.readers import (
    _posing,
    captions,
    columnar,
    delimited,
    excel,
    folders,
    memory,
    remote,
    shards,
)
from polymodal.table.readers.plain import plain
from polymodal.table.readers.separated import check_names
from polymodal.table.resolve import ANYWHERE, Reach, is_outside, resolve

CSV = (".csv", ".tsv", ".tab", ".psv")
EXCEL = (".xlsx", ".xlsm")
JSON = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".feather", ".ipc")
TAR = (".tar",)
HOLLOW = 2**30  # bytes from which a file without contents is not even looked into
SUFFIXES = CSV + EXCEL + JSON + PARQUET + ARROW + TAR


@dataclass(frozen=True)
class Odd:
    """Cells of a table that count as missing because they are not of their column's kind.

    Attributes:
        column, kind: the column's.
        rows: their numbers.
        example: one of the cells, with the reason.
    """

    column: str
    kind: str
    rows: np.ndarray[Any, Any]
    example: str


@dataclass(frozen=True)
class Table:
    """Rows of named columns.

    Attributes:
        data: the columns; missing cells are null.
        base: folder that relative media paths start from; None is the current folder.
        source: what to call the table in messages.
        reach: what its cells may name.
        notes: what is not in it that one might expect, each a sentence.
        odd: cells that count as missing since they are not of their column's kind.
        numbers: `(rows,)`, rising: of the first of the rows that each was gathered from; or None.
    """

    data: pa.Table
    base: str | None
    source: str
    reach: Reach = ANYWHERE
    notes: tuple[str, ...] = ()
    odd: tuple[Odd, ...] = ()
    numbers: np.ndarray[Any, Any] | None = None

    def __len__(self) -> int:
        return int(self.data.num_rows)

    def number(self, row: int) -> int:
        """What people know a row by: its number before rows were gathered, if they were."""
        return row if self.numbers is None else int(self.numbers[row])

    def place(self, number: int) -> int:
        """Where the row with a number is."""
        return number if self.numbers is None else int(np.searchsorted(self.numbers, number))

    @property
    def names(self) -> list[str]:
        """Column names, in order."""
        return list(self.data.column_names)

    def cells(self, name: str) -> list[Any]:
        """A column's Python values, None where missing. UserError if there is no such column."""
        return self._column(name).to_pylist()

    def media(self, name: str, rows: Sequence[int] | None = None) -> Iterator[Media | None]:
        """A column's cells as media, one at a time, for all rows or for `rows`."""
        column = self._column(name)
        for row in range(len(self)) if rows is None else rows:
            yield self.medium(column[int(row)].as_py(), int(row), name)

    def medium(self, cell: Any, row: int, name: str) -> Media | None:
        """A cell of this table as a medium; None where missing."""
        return resolve(cell, self.base, f"row {self.number(row)}, column '{name}'", self.reach)

    def outside(self, name: str) -> list[int]:
        """Rows whose cell is a path that leads out of the table's folder."""
        column = self._column(name)
        if not is_text(column.type) or self.base is None or is_address(self.base):
            return []
        return [
            row
            for row, cell in enumerate(column.to_pylist())
            if cell is not None
            and kind_of_name(cell)
            and not is_address(cell)
            and is_outside(cell.strip(), self.base)
        ]

    def take(self, rows: Sequence[int] | np.ndarray[Any, Any]) -> Table:
        """The rows with these numbers, in this order."""
        own = None if self.numbers is None else self.numbers[np.asarray(rows, np.int64)]
        return replace(self, data=self.data.take(pa.array(rows, pa.int64())), odd=(), numbers=own)

    def slice(self, start: int, stop: int | None = None) -> Table:
        """The rows from `start` to before `stop`, which are not copied."""
        length = None if stop is None else stop - start
        end = len(self) if stop is None else stop
        inside = [(o, o.rows[(o.rows >= start) & (o.rows < end)] - start) for o in self.odd]
        odd = tuple(replace(one, rows=rows) for one, rows in inside if len(rows))
        own = None if self.numbers is None else self.numbers[start:end]
        # Rows of a part are counted from its first one on.
        own = own if own is None else own - own[:1]
        return replace(self, data=self.data.slice(start, length), odd=odd, numbers=own)

    def drop(self, names: Sequence[str]) -> Table:
        """The table without these columns."""
        for name in names:
            self._column(name)
        return replace(self, data=self.data.drop_columns(list(names)))

    def concat(self, *others: Table) -> Table:
        """The rows of tables with the same columns, this one's first.

        Where their folders differ, relative paths of media that exist are made absolute.

        Raises:
            UserError: a table lacks a column of this one or has another, or types do not fit.
        """
        for other in others:
            lacks = set(self.names) - set(other.names)
            adds = set(other.names) - set(self.names)
            if lacks or adds:
                raise UserError(
                    f"{other.source} has other columns than {self.source}",
                    expected=", ".join(self.names),
                    got=" and ".join(
                        f"{word} {', '.join(sorted(names))}"
                        for word, names in (("without", lacks), ("with", adds))
                        if names
                    ),
                )
        tables, base = [self, *others], self.base
        if any(table.base != base for table in others):
            tables, base = [absolute(table) for table in tables], None
        reach, notes = tables[0].reach, tables[0].notes
        for table in tables[1:]:
            reach, notes = reach | table.reach, notes + table.notes
        try:
            data = pa.concat_tables([t.data for t in tables], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise UserError(
                f"{self.source} and {others[0].source} hold a column in different types ({error})",
                do="write them in one format",
            ) from error
        source = " + ".join([self.source, *(t.source for t in others[:2])])
        return Table(data, base, source, reach, notes)

    def _column(self, name: str) -> pa.ChunkedArray:
        if self.data.schema.get_field_index(name) < 0:
            what = f"{self.source} has no column '{name}'"
            raise lookup.unknown(what, name, self.names, "check the table's header")
        return self.data.column(name)


def read(
    source: Any,
    base: str | None = None,
    cache: Path | None = None,
    *,
    allow_urls: bool = False,
    encoding: str | None = None,
) -> Table:
    """Read a table.

    Args:
        source: a .csv, .tsv, .xlsx, .jsonl, .parquet, .arrow, .feather or .tar file, the address of
            one (http, https, or of a store such as s3), or a glob of them; a folder that `datasets`
            saved, of such shards, with a table beside its media (such as metadata.csv), or with a
            folder per class; a pandas DataFrame, pyarrow Table, `datasets.Dataset`, list of
            mappings, mapping of lists; or a Table, returned as it is.
        base: folder that relative media paths start from; by default the file's own.
        cache: folder where large binary columns of Parquet files are unpacked; without it they
            are held in memory.
        allow_urls: fetch media behind addresses of public hosts that cells name.
        encoding: of a CSV file that is not UTF-8, such as "cp1252".

    Raises:
        UserError: there is no such file, its format is unknown or broken, it repeats a column
            name, or it has no rows.
    """
    if isinstance(source, Table):
        return source
    if isinstance(source, Named):
        source, allow_urls = source.source, allow_urls or source.allow_urls
    try:
        table = _read(source, base, cache, encoding)
    except UserError:
        raise
    # Whatever a file or an object holds that no reader has thought of.
    except Exception as error:
        called = source if isinstance(source, str | os.PathLike) else type(source).__name__
        raise UserError(
            f"{struck(str(called))[:300]} cannot be read as a table",
            got=f"{type(error).__name__}: {error}"[:300],
            do="look at it with the program that wrote it, and write it again",
        ) from error
    return replace(table, reach=replace(table.reach, urls=allow_urls))


def _read(source: Any, base: str | None, cache: Path | None, encoding: str | None) -> Table:
    if isinstance(source, str) and "://" in source:
        return _read_remote(source, base, cache, encoding)
    if isinstance(source, str | os.PathLike):
        tables = [_read_file(path, base, cache, encoding) for path in _paths(Path(source))]
        if len(tables) > 1:
            return replace(tables[0].concat(*tables[1:]), source=str(source))
        return tables[0]
    return _table(memory.held(source), base, f"the given {type(source).__name__}")


def _read_remote(url: str, base: str | None, cache: Path | None, encoding: str | None) -> Table:
    """A table behind an address, kept in the cache; without one only what is read into memory."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) if cache is None else cache / "tables"
        path, start = remote.fetched(url, folder)
        if cache is None and path.suffix in ARROW + TAR:
            raise UserError(
                f"The table at {struck(url)} needs a cache",
                expected="a place for the file: Arrow tables and archives are read where they lie",
                got="no cache that can be written to",
                do="download it, or set POLYMODAL_CACHE to a folder that can be written to",
            )
        return replace(_read_file(path, base or start, cache, encoding), source=struck(url))


def _paths(source: Path) -> list[Path]:
    """The files (or one folder of classes) that a source names."""
    if source.is_dir():
        saved = columnar.dataset_files(source)
        if saved is not None:
            return saved
        others = [suffix for suffix in SUFFIXES if suffix not in PARQUET + ARROW + TAR]
        beside = folders.table_of(source, others)
        if beside is not None:
            return [beside]
        return folders.shards(source, PARQUET + ARROW + TAR) or [source]
    if source.is_file():
        return [source]
    if glob.has_magic(str(source)):
        found = sorted(Path(name) for name in glob.glob(str(source), recursive=True))
        if found:
            return found
        raise UserError(f"No file matches '{source}'", do=f"the current folder is {Path.cwd()}")
    folder = source.parent
    names = os.listdir(folder) if folder.is_dir() else []
    match = lookup.nearest(source.name, names)
    raise UserError(
        f"The file '{source}' does not exist",
        expected="an existing file, folder or glob",
        got=f"the folder {folder.resolve()} " + ("without it" if names else "is not there"),
        do=f"did you mean '{folder / match}'?" if match else "check the path",
    )


def _read_file(path: Path, base: str | None, cache: Path | None, encoding: str | None) -> Table:
    if path.is_dir():
        data, notes = folders.read_tree(path)
        table = _table(data, base or str(path), str(path))
        return replace(table, reach=Reach(inside=True), notes=notes)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(
            f"'{path}' is not of a known table format",
            expected=f"a file that ends in {', '.join(SUFFIXES)}, or a folder",
            got=f"'{path.suffix}'",
            do=_posing.advice(suffix),
        )
    try:
        status = path.stat()
        if status.st_size == 0:
            raise UserError(f"{path} is empty", expected="a table with a header and rows")
        if status.st_size > HOLLOW and 512 * status.st_blocks < status.st_size / 16:
            raise UserError(
                f"{path} is nearly empty",
                expected="a table with a header and rows",
                got=f"{status.st_size / 2**30:,.1f} GiB, nearly none of which is on the disk",
            )
        data, kept, notes = _parse(path, suffix, cache, encoding)
    except PermissionError as error:
        raise UserError(f"{path} may not be read (permission denied)") from error
    table = _table(data, base or str(path.parent), str(path))
    if not base:
        start, told = captions.folder_of(table.data.columns, str(path.parent))
        table, notes = replace(table, base=start), (*notes, *told)
    reach = Reach(frozenset({str(kept.resolve())}), inside=True, sealed=suffix in TAR)
    return replace(table, reach=reach, notes=notes)


def _parse(
    path: Path, suffix: str, cache: Path | None, encoding: str | None
) -> tuple[pa.Table, Path, tuple[str, ...]]:
    """A file's rows, the file that its own cells may point into, and what is not in the table."""
    if suffix in PARQUET:
        return *columnar.read_parquet(path, cache), ()
    if suffix in CSV + JSON:
        _posing.refuse(path)
    if suffix in JSON:
        data, notes = memory.read_json(path)
        return data, path, notes
    if suffix in CSV:
        return delimited.read(path, encoding), path, ()
    if suffix in EXCEL:
        return excel.read(path), path, ()
    return (columnar.read_arrow if suffix in ARROW else shards.read_tar)(path), path, ()


def _table(data: pa.Table, base: str | None, source: str) -> Table:
    """Names and rows checked, cells brought to plain types."""
    check_names(data.column_names, source)
    if chat.MESSAGES in data.column_names and chat.holds(data.column(chat.MESSAGES)):
        data = memory.from_rows(data.to_pylist(), source)
    if not data.num_rows or not data.num_columns:
        raise UserError(
            f"{source} has no rows",
            expected="a header and at least one row",
            got=f"columns {', '.join(data.column_names)}" if data.num_columns else "no columns",
        )
    columns = {n: captions.unnumbered(plain(data.column(n))) for n in data.column_names}
    for name, column in columns.items():
        if pa.types.is_map(column.type) or pa.types.is_union(column.type):
            raise UserError(
                f"{source}: the column '{name}' holds what no model reads",
                expected="numbers, texts, dates, lists, structs or bytes",
                got=f"values of type {column.type}",
                do="make a column of each key, or leave the column out of the table",
            )
    return Table(pa.table(columns), base, source)


def absolute(table: Table) -> Table:
    """The table with the paths of media that exist made absolute, so that it needs no base.

    UserError of one behind an address: only its base tells that its cells name nothing here.
    """
    if table.base is not None and is_address(table.base):
        what = f"{table.source} lies behind an address, other tables elsewhere"
        raise UserError(what, do="download it and its media first")

    def absolute(cell: str | None) -> str | None:
        if cell is None or kind_of_name(cell) is None or is_address(cell):
            return cell
        path = os.path.abspath(os.path.join(table.base or "", cell.strip()))
        return path if os.path.isfile(path) else cell

    data = table.data
    for i, field in enumerate(data.schema):
        if is_text(field.type):
            cells = [absolute(cell) for cell in data.column(i).to_pylist()]
            data = data.set_column(i, field.name, pa.array(cells, field.type))
    return replace(table, data=data, base=None)
