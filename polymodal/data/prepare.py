"""Every cell decoded once, kept on disk by content, and gathered into batches from there."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polymodal.batch import Field
from polymodal.columns import MEDIA, Column
from polymodal.contract import Form
from polymodal.data.cache import Files, Store
from polymodal.data.ledger import Ledger
from polymodal.data.media import resolve
from polymodal.data.read import Table
from polymodal.errors import UserError

# Cells handed over at a time: few where one may be large, many where a model batches them.
MEDIA_CHUNK, OTHER_CHUNK = 16, 256
# Starting worker processes costs a few seconds each, so they must have more than that to save.
POOL_SECONDS = 10.0

Progress = Callable[[int, int], None]
Array = np.ndarray[Any, Any]


class Prepared:
    """One modality's encoded cells, a row each, wherever they are stored.

    Attributes:
        present: `(rows,)` bool, False where the cell is missing (or bad).
        lengths: `(rows,)` int64: positions of a ragged form's array; for a fixed shape 1. 0 where
            the cell is missing.
        shape: of one position (ragged) or of the whole array (fixed). Keep it with a model, and
            give it to `prepare` for later tables.
    """

    def __init__(
        self,
        flat: Array,
        offsets: Array,
        lengths: Array,
        present: Array,
        failed: Array,
        shape: tuple[int, ...],
        ragged: bool,
    ) -> None:
        self.present, self.lengths, self.shape = present, lengths, shape
        self._flat, self._offsets, self._failed, self._ragged = flat, offsets, failed, ragged

    def __len__(self) -> int:
        return len(self.present)

    @property
    def bad(self) -> Array:
        """Rows whose cell could not be decoded, for the caller to drop: `(bad,)` int64."""
        return np.flatnonzero(self._failed)

    def take(self, rows: Array) -> Prepared:
        """Some of the rows, in this order; the storage is shared."""
        return Prepared(
            self._flat,
            self._offsets[rows],
            self.lengths[rows],
            self.present[rows],
            self._failed[rows],
            self.shape,
            self._ragged,
        )

    def gather(self, rows: Array) -> Field:
        """The Field of some rows; ragged ones are padded to the longest of them, at least 1."""
        lengths = self.lengths[rows]
        longest = int(lengths.max(initial=1))
        size = math.prod(self.shape)
        data = np.zeros((len(rows), longest * size), self._flat.dtype)
        flat = self._flat
        spans = zip(self._offsets[rows].tolist(), (lengths * size).tolist(), strict=True)
        for row, (start, count) in zip(data, spans, strict=True):
            row[:count] = flat[start : start + count]
        present = torch.from_numpy(self.present[rows])
        if not self._ragged:
            return Field(torch.from_numpy(data.reshape(-1, *self.shape)), None, present)
        mask = torch.from_numpy(np.arange(longest) < lengths[:, None])
        return Field(torch.from_numpy(data.reshape(-1, longest, *self.shape)), mask, present)


def prepare(
    table: Table,
    columns: Sequence[Column],
    form: Form,
    *,
    cache: Path,
    ledger: Ledger,
    workers: int = 0,
    max_bad_rows: int = 0,
    shape: tuple[int, ...] | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Encode every present cell of a modality that is not in the cache already.

    Numbers, categories and sets stay in memory: they take a few bytes a row and less time to
    parse than to look up, and a form fitted on other rows would store them all again.

    Args:
        columns: one, or for a table form several.
        form: fitted.
        cache: folder shared by all forms and runs.
        ledger: told of skipped and truncated rows.
        workers: processes that decode media where it takes long; 0: as many as cores.
        max_bad_rows: how many undecodable cells may be skipped.
        shape: `Prepared.shape` of the training table, which this one must match.
        progress: called with the numbers of encoded cells and of cells to encode.

    Raises:
        UserError: more than `max_bad_rows` cells are bad; no cell is present and `shape` is not
            given; the cache cannot be written.
    """
    reasons: dict[int, str] = {}
    if form.kind == "table":
        prepared = _in_memory(table, columns, form, reasons)
    else:
        workers = workers or os.cpu_count() or 1
        prepared = _on_disk(table, columns[0], form, cache, workers, shape, reasons, progress)
    what = " and ".join(f"'{c.name}'" for c in columns[:3]) + (" …" if len(columns) > 3 else "")
    _judge(f"{what} of {table.source}", len(table), reasons, max_bad_rows)
    ledger.count("skipped", f"{what} of {table.source} cannot be read", len(reasons))
    limit = form.settings.get("limit")
    if form.ragged and isinstance(limit, int):
        full = int((prepared.lengths >= limit).sum())
        ledger.count("truncated", f"{what} of {table.source} reach the limit of {limit}", full)
    return prepared


def cells(table: Table, columns: Sequence[Column], rows: Array | None = None) -> Iterator[Any]:
    """A modality's cells as `Form.fit` and `Form.encode` take them, None where missing.

    A media cell is a Media, a text a string or a list of words, a row of several table columns a
    mapping. Only a few hundred cells are in memory at a time. UserError at a cell that is no
    media.
    """
    rows = np.arange(len(table)) if rows is None else rows
    for start in range(0, len(rows), OTHER_CHUNK):
        for row, raw in _raw(table, columns, rows[start : start + OTHER_CHUNK]):
            yield _cell(table, columns, row, raw)


def content_keys(
    table: Table, column: Column, files: Files
) -> tuple[list[bytes | None], dict[int, str]]:
    """Hashes of a text or media column's contents, row by row, None where missing or unreadable.

    Returns:
        The keys, and for each unreadable row the reason.
    """
    keys: list[bytes | None] = []
    reasons: dict[int, str] = {}
    for start in range(0, len(table), OTHER_CHUNK):
        chunk = np.arange(start, min(start + OTHER_CHUNK, len(table)))
        for row, raw in _raw(table, [column], chunk):
            key = None
            try:
                cell = _cell(table, [column], row, raw)
                if cell is not None:
                    key = files.key(cell) if column.kind in MEDIA else _text_key(cell)
            except UserError as error:
                reasons[row] = error.what
            keys.append(key)
    return keys, reasons


def _raw(table: Table, columns: Sequence[Column], rows: Array) -> Iterator[tuple[int, list[Any]]]:
    part = table.take(rows)
    yield from zip(
        rows.tolist(), zip(*(part.cells(c.name) for c in columns), strict=True), strict=True
    )


def _cell(table: Table, columns: Sequence[Column], row: int, raw: Sequence[Any]) -> Any:
    column, value = columns[0], raw[0]
    if column.kind in MEDIA:
        return resolve(value, table.base, f"row {row + 1}, column '{column.name}'")
    if column.kind == "text":
        return value if value is None or isinstance(value, list) else str(value)
    if all(v is None for v in raw):
        return None
    return {c.name: v for c, v in zip(columns, raw, strict=True)}


def _text_key(cell: str | list[str]) -> bytes:
    return hashlib.blake2b(json.dumps(cell).encode(), digest_size=16).digest()


def _in_memory(
    table: Table, columns: Sequence[Column], form: Form, reasons: dict[int, str]
) -> Prepared:
    present = np.zeros(len(table), bool)
    empty = form.encode({c.name: None for c in columns})
    flat = np.zeros((len(table), *empty.shape), form.dtype)
    for row, cell in enumerate(cells(table, columns)):
        if cell is None:
            continue
        try:
            flat[row] = form.encode(cell)
            present[row] = True
        except UserError as error:
            reasons[row] = f"row {row + 1}: {error.what}"
    offsets = np.arange(len(table)) * empty.size
    failed = _mask(len(table), reasons)
    lengths = present.astype(np.int64)
    return Prepared(flat.ravel(), offsets, lengths, present, failed, empty.shape, ragged=False)


def _on_disk(
    table: Table,
    column: Column,
    form: Form,
    cache: Path,
    workers: int,
    shape: tuple[int, ...] | None,
    reasons: dict[int, str],
    progress: Progress | None,
) -> Prepared:
    with Files(cache) as files:
        keys, unreadable = content_keys(table, column, files)
    reasons.update(unreadable)
    with Store(cache / form.kind / form.fingerprint, form.dtype) as store:
        first = {key: row for row, key in reversed(list(enumerate(keys))) if key is not None}
        rows = np.array(sorted(row for key, row in first.items() if not store.get(key)), np.int64)
        undecodable: dict[bytes, str] = {}
        for row, outcome in _encode_rows(table, column, form, rows, workers, progress):
            key = keys[row]
            assert key is not None
            if isinstance(outcome, str):
                undecodable[key] = outcome
            else:
                store.add(key, outcome)
        store.flush()
        entries = [None if key is None else store.get(key) for key in keys]
        flat = store.array()
    reasons.update({r: undecodable[k] for r, k in enumerate(keys) if k in undecodable})
    tails = {r: e.shape[form.ragged :] for r, e in enumerate(entries) if e is not None}
    if shape is None:
        shape = _common(tails, column, table)
    for row, tail in tails.items():
        if tail != shape:
            reasons[row] = f"row {row + 1} has the shape {tail}, where {shape} was expected"
            entries[row] = None
    found = [(0, 0, False) if e is None else (e.offset, e.shape[0], True) for e in entries]
    offsets, lengths, present = (np.array(v) for v in zip(*found, strict=True))
    lengths = lengths if form.ragged else present
    failed = _mask(len(table), reasons)
    return Prepared(flat, offsets, lengths.astype(np.int64), present, failed, shape, form.ragged)


def _encode_rows(
    table: Table,
    column: Column,
    form: Form,
    rows: Array,
    workers: int,
    progress: Progress | None,
) -> Iterator[tuple[int, Array | str]]:
    """Each row's array or, if it cannot be decoded, the reason; by processes where that pays."""
    poolable = form.parallel and column.kind in MEDIA and workers > 1
    size = MEDIA_CHUNK if column.kind in MEDIA else OTHER_CHUNK
    chunks = [rows[i : i + size] for i in range(0, len(rows), size)]
    loaded = (list(cells(table, [column], chunk)) for chunk in chunks)
    done = 0
    for i, outcomes in enumerate(_encode_chunks(form, loaded, len(chunks), workers * poolable)):
        yield from zip(chunks[i].tolist(), outcomes, strict=True)
        done += len(outcomes)
        if progress is not None:
            progress(done, len(rows))


def _encode_chunks(
    form: Form, chunks: Iterator[list[Any]], count: int, workers: int
) -> Iterator[list[Array | str]]:
    for i in range(count):
        started = time.perf_counter()
        yield _encode([*islice(chunks, 1)][0], form)
        # The first chunk also pays for imports, so the second one is judged by.
        if workers and i and (time.perf_counter() - started) * (count - i - 1) > POOL_SECONDS:
            yield from _encode_in_pool(form, chunks, workers)
            return


def _encode_in_pool(
    form: Form, chunks: Iterator[list[Any]], workers: int
) -> Iterator[list[Array | str]]:
    # Not multiprocessing's pool: its fresh processes run the user's script again, which fails
    # where the script has no `if __name__ == "__main__"`; and forking a process with OpenMP's
    # threads can hang.
    from joblib.externals.loky import ProcessPoolExecutor

    pool = ProcessPoolExecutor(workers, env={"OMP_NUM_THREADS": "1"})
    waiting: deque[Any] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_encode, chunk, form))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(kill_workers=True)


def _encode(chunk: list[Any], form: Form) -> list[Array | str]:
    try:
        return list(form.encode_many(chunk))
    except UserError:
        return [_encode_one(cell, form) for cell in chunk]


def _encode_one(cell: Any, form: Form) -> Array | str:
    try:
        return form.encode(cell)
    except UserError as error:
        return error.what


def _common(tails: dict[int, tuple[int, ...]], column: Column, table: Table) -> tuple[int, ...]:
    if not tails:
        raise UserError(
            f"No cell of column '{column.name}' in {table.source} can be used",
            expected="at least one present, readable cell",
            do=f"leave the column out: --drop {column.name}",
        )
    return Counter(tails.values()).most_common(1)[0][0]


def _mask(count: int, rows: dict[int, str]) -> Array:
    failed = np.zeros(count, bool)
    failed[list(rows)] = True
    return failed


def _judge(what: str, rows: int, reasons: dict[int, str], max_bad_rows: int) -> None:
    if len(reasons) <= max_bad_rows:
        return
    first = [reasons[row] for row in sorted(reasons)[:5]]
    more = [f"and {len(reasons) - 5} more"] if len(reasons) > 5 else []
    raise UserError(
        f"{len(reasons):,} of {rows:,} cells in column {what} cannot be read",
        expected=f"at most {max_bad_rows} (--max-bad-rows)",
        got="; ".join(first + more),
        do="mend or empty these cells, or skip their rows with --max-bad-rows",
    )
