"""Every cell decoded once, kept on disk by content, and gathered into batches from there."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polymodal.base.errors import UserError
from polymodal.contract import kind
from polymodal.contract.batch import Field
from polymodal.contract.beside import Beside
from polymodal.contract.form import Form
from polymodal.prepared.cache import Entry, Store
from polymodal.prepared.cells import Contents, cells
from polymodal.prepared.encode import Progress, encode, encode_here
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table
from polymodal.table.schema import Column

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
        form: Form,
        keys: Sequence[bytes | None] | None,
    ) -> None:
        self.present, self.lengths, self.shape = present, lengths, shape
        self._flat, self._offsets, self._failed = flat, offsets, failed
        self._form, self._keys = form, keys

    @classmethod
    def of(cls, arrays: Sequence[Array | None], form: Form, shape: tuple[int, ...]) -> Prepared:
        """Cells that a form has encoded already, None where missing, held in memory.

        Args:
            shape: `Prepared.shape` of the form's other cells.
        """
        present = np.array([array is not None for array in arrays])
        flat = [np.zeros(0, form.dtype) if array is None else array.ravel() for array in arrays]
        lengths = [0 if array is None else len(array) if form.ragged else 1 for array in arrays]
        offsets = np.cumsum([0, *(len(values) for values in flat)])[:-1]
        failed = np.zeros(len(arrays), bool)
        return cls(
            np.concatenate(flat),
            offsets,
            np.array(lengths),
            present,
            failed,
            shape,
            form,
            None,
        )

    def __len__(self) -> int:
        return len(self.present)

    @property
    def bad(self) -> Array:
        """Rows whose cell could not be decoded and counts as missing: `(bad,)` int64."""
        return np.flatnonzero(self._failed)

    def digest(self, rows: Array) -> bytes:
        """Hash of what some rows hold, as media and texts wrote it, and of how it was encoded."""
        found = hashlib.blake2b(repr((self._form.fingerprint, self.shape)).encode(), digest_size=16)
        found.update(self.present[rows].tobytes())
        if self._keys is None:
            found.update(self.gather(rows).data.numpy().tobytes())
        else:
            found.update(repr([self._keys[row] for row in rows.tolist()]).encode())
        return found.digest()

    def arrays(self, rows: Array) -> list[Array]:
        """Each row's own array, as the form encoded it; zeros for a cell that is missing."""
        lead = [(length,) for length in self.lengths[rows].tolist()] if self._form.ragged else None
        found = []
        for i, start in enumerate(self._offsets[rows].tolist()):
            shape = (*(lead[i] if lead else ()), *self.shape)
            count = math.prod(shape)
            own = self._flat[start : start + count]
            is_here = self.present[rows[i]]
            found.append(own.reshape(shape) if is_here else np.zeros(shape, self._flat.dtype))
        return found

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
        if not self._form.ragged:
            return Field(torch.from_numpy(data.reshape(len(rows), *self.shape)), None, present)
        mask = torch.from_numpy(np.arange(longest) < lengths[:, None])
        return Field(torch.from_numpy(data.reshape(len(rows), longest, *self.shape)), mask, present)


class Joined(Prepared):
    """Cells of a form that is made of two: each is prepared, and kept, by itself."""

    def __init__(self, form: Beside, frozen: Prepared, plain: Prepared) -> None:
        self.present = frozen.present & plain.present
        ahead = form.lines(plain.shape[0]) if form.ragged else 0
        self.lengths = np.where(self.present, plain.lengths + ahead, 0)
        self.shape = plain.shape if form.ragged else (form.width + plain.shape[0],)
        self._form, self._parts = form, (frozen, plain)

    @property
    def bad(self) -> Array:
        return np.union1d(*(part.bad for part in self._parts))

    def digest(self, rows: Array) -> bytes:
        found = hashlib.blake2b(digest_size=16)
        for part in self._parts:
            found.update(part.digest(rows))
        return found.digest()

    def arrays(self, rows: Array) -> list[Array]:
        assert isinstance(self._form, Beside)
        frozen, plain = (part.arrays(rows) for part in self._parts)
        return [self._form.join(one, other) for one, other in zip(frozen, plain, strict=True)]

    def gather(self, rows: Array) -> Field:
        assert isinstance(self._form, Beside)
        frozen, plain = (part.gather(rows) for part in self._parts)
        return self._form.joined(frozen, plain, torch.from_numpy(self.present[rows]))


def prepare(
    table: Table,
    columns: Sequence[Column],
    form: Form,
    *,
    cache: Path | None,
    ledger: Ledger,
    workers: int = 0,
    max_bad_rows: int = 0,
    shape: tuple[int, ...] | None = None,
    progress: Progress | None = None,
    contents: Contents | None = None,
) -> Prepared:
    """Encode every present cell of a modality that is not in the cache already.

    The cells of a joint kind stay in memory: they take a few bytes a row and less time to parse
    than to look up, and a form fitted on other rows would store them all again.

    Args:
        columns: one, or of a joint kind several.
        form: fitted.
        cache: folder shared by all forms and runs; None: nothing is kept, and no disk is touched
            but for the media that cells name.
        ledger: told of truncated rows and of those with an undecodable cell.
        workers: processes that decode media where it takes long; 0: as many as cores.
        max_bad_rows: how many undecodable cells may count as missing.
        shape: `Prepared.shape` of the training table, which this one must match.
        progress: called with the numbers of encoded cells and of cells to encode.
        contents: the table's, where they are asked for more than once.

    Raises:
        UserError: more than `max_bad_rows` cells are bad; no cell is present and `shape` is not
            given; the cache cannot be written.
    """
    if isinstance(form, Beside):
        # The model's own width is all that is not known of the shape.
        shapes = (None, None) if shape is None else form.shapes(shape)
        parts = (
            prepare(
                table,
                columns,
                part,
                cache=cache,
                ledger=ledger,
                workers=workers,
                max_bad_rows=max_bad_rows,
                shape=own,
                progress=progress,
                contents=contents,
            )
            for part, own in zip(form.made_of, shapes, strict=True)
        )
        return Joined(form, *parts)
    truncated: list[int] = []
    if kind.of(columns[0].kind).joint:
        prepared, reasons = _in_memory(table, columns, form)
    elif cache is None:
        entries, flat, reasons, truncated = _direct(table, columns[0], form)
        prepared = _arrange(table, entries, None, flat, form, shape, reasons)
    else:
        workers = workers or os.cpu_count() or 1
        entries, keys, flat, reasons, truncated = _stored(
            contents or Contents(table, cache), columns[0], form, cache, workers, progress
        )
        prepared = _arrange(table, entries, keys, flat, form, shape, reasons)
    what, names = _describe(columns, table), ", ".join(c.name for c in columns)
    _judge(what, len(table), reasons, max_bad_rows)
    if shape is None and not prepared.present.any():
        raise UserError(
            f"No cell of {what} can be used",
            expected="at least one present, readable cell",
            do=f"leave it out: `drop {columns[0].name}`",
        )
    lost = f"{what} cannot be read: taken as missing"
    ledger.add("incomplete", lost, sorted(reasons), column=names)
    name = f"{form.kind}/{type(form).__module__.rpartition('.')[2]}"
    ledger.add("truncated", f"{what} {form.beyond.format(form=name)}", truncated, column=names)
    return prepared


def _in_memory(
    table: Table, columns: Sequence[Column], form: Form
) -> tuple[Prepared, dict[int, str]]:
    reasons: dict[int, str] = {}
    empty = form.encode({c.name: None for c in columns})
    shape = empty.shape[int(form.ragged) :]
    arrays = [np.zeros((0, *shape) if form.ragged else shape, form.dtype)] * len(table)
    present = np.zeros(len(table), bool)
    for row, cell in enumerate(cells(table, columns)):
        if cell is None:
            continue
        try:
            arrays[row] = form.encode(cell)
            present[row] = True
        except UserError as error:
            reasons[row] = f"row {table.number(row)}: {error.what}"
        except (ValueError, ArithmeticError, TypeError) as error:
            reasons[row] = f"row {table.number(row)}: {type(error).__name__}: {error!s:.200}"
    sizes = np.array([array.size for array in arrays], np.int64)
    counts = [len(array) for array in arrays] if form.ragged else present
    lengths = np.array(counts, np.int64)
    failed = _mask(len(table), reasons)
    prepared = Prepared(
        np.concatenate([array.ravel() for array in arrays]),
        np.cumsum(sizes) - sizes,
        lengths,
        present,
        failed,
        shape,
        form,
        None,
    )
    return prepared, reasons


def _direct(
    table: Table, column: Column, form: Form
) -> tuple[list[Entry | None], Array, dict[int, str], list[int]]:
    """As `_stored`, without keys: every cell encoded here and now, and kept nowhere."""
    reasons: dict[int, str] = {}
    present: list[tuple[int, Any]] = []
    for row in range(len(table)):
        try:
            cell = next(cells(table, [column], np.array([row])))
        except UserError as error:
            reasons[row] = error.what
            continue
        if cell is not None:
            present.append((row, cell))
    entries: list[Entry | None] = [None] * len(table)
    flat, truncated, offset = [np.zeros(0, form.dtype)], [], 0
    outcomes = encode_here([cell for _, cell in present], form)
    for (row, _), outcome in zip(present, outcomes, strict=True):
        if isinstance(outcome, str):
            reasons[row] = _told(column, table.number(row), outcome)
            continue
        array, cut = outcome
        entries[row] = Entry(offset, array.shape)
        flat.append(array.ravel())
        offset += array.size
        truncated += [row] * cut
    return entries, np.concatenate(flat), reasons, truncated


def _stored(
    contents: Contents,
    column: Column,
    form: Form,
    cache: Path,
    workers: int,
    progress: Progress | None,
) -> tuple[list[Entry | None], list[bytes | None], Array, dict[int, str], list[int]]:
    """Where each row's array lies in the store, None for missing and bad ones.

    Then the cells' keys, the store's data and the reasons why cells are bad; last come the rows
    whose array lacks the end of their cell.
    """
    keys, reasons = contents.keys(column)
    reasons = dict(reasons)
    first = {key: row for row, key in reversed(list(enumerate(keys))) if key is not None}
    bad: dict[bytes, str] = {}
    with Store(cache / form.kind / form.fingerprint, form.dtype) as store:
        known = store.places(first)
        rows = sorted(
            row for key, row in first.items() if key not in known or store.sound(key) is None
        )
        for row, outcome in encode(
            contents.table, column, form, np.array(rows, np.int64), workers, progress
        ):
            key = keys[row]
            assert key is not None
            if isinstance(outcome, str):
                bad[key] = outcome
            else:
                array, cut = outcome
                store.add(key, array, truncated=cut)
        store.flush()
        lying = store.places(key for key in keys if key is not None)
        entries = [None if key is None else lying.get(key) for key in keys]
        flat = store.array()
        cut_off = store.truncated()
    for row, key in enumerate(keys):
        if key in bad:
            reasons[row] = _told(column, contents.table.number(row), bad[key])
    return entries, keys, flat, reasons, [row for row, key in enumerate(keys) if key in cut_off]


def _arrange(
    table: Table,
    entries: list[Entry | None],
    keys: list[bytes | None] | None,
    flat: Array,
    form: Form,
    shape: tuple[int, ...] | None,
    reasons: dict[int, str],
) -> Prepared:
    """Rows of one shape to a Prepared; rows of another are added to `reasons`."""
    tails = {row: e.shape[int(form.ragged) :] for row, e in enumerate(entries) if e is not None}
    if shape is None:
        shape = Counter(tails.values()).most_common(1)[0][0] if tails else ()
    for row, tail in tails.items():
        if tail != shape:
            called = table.number(row)
            reasons[row] = f"row {called} has the shape {tail}, where {shape} was expected"
    offsets, lengths = np.zeros((2, len(entries)), np.int64)
    present = np.zeros(len(entries), bool)
    for row, entry in enumerate(entries):
        if entry is not None and row not in reasons:
            offsets[row], present[row] = entry.offset, True
            lengths[row] = entry.shape[0] if form.ragged else 1
    bad = _mask(len(entries), reasons)
    return Prepared(flat, offsets, lengths, present, bad, shape, form, keys)


def _told(column: Column, row: int, reason: str) -> str:
    """Why a cell is bad, with its row, which a medium's own message names already."""
    return reason if kind.of(column.kind).media else f"row {row}: {reason}"


def _mask(count: int, rows: dict[int, str]) -> Array:
    return np.isin(np.arange(count), list(rows))


def _describe(columns: Sequence[Column], table: Table) -> str:
    names = ", ".join(f"'{c.name}'" for c in columns[:3]) + (", ..." if len(columns) > 3 else "")
    return f"column {names} of {table.source}"


def _judge(what: str, rows: int, reasons: dict[int, str], max_bad_rows: int) -> None:
    if len(reasons) <= max_bad_rows:
        return
    first = [reasons[row] for row in sorted(reasons)[:5]]
    more = [f"and {len(reasons) - 5:,} more"] if len(reasons) > 5 else []
    allowed = (
        f"at most {max_bad_rows:,}, as `max_bad_rows` says" if max_bad_rows else "readable cells"
    )
    instead = "" if max_bad_rows else f", or take them as missing: `max_bad_rows {len(reasons)}`"
    raise UserError(
        f"{len(reasons):,} of {rows:,} cells of {what} cannot be read",
        expected=allowed,
        got="; ".join(first + more),
        do=f"mend or empty these cells{instead}",
    )
