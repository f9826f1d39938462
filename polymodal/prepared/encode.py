"""A column's cells to arrays: in this process or, where that takes long, in several."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract import kind
from polymodal.contract.form import Form
from polymodal.prepared.cells import cells
from polymodal.table.read import Table
from polymodal.table.schema import Column

# Cells handed over at a time: few where one may be large, many where a model batches them.
MEDIA_CHUNK, OTHER_CHUNK = 16, 256
# Starting worker processes costs a few seconds each, so they must have more than that to save.
POOL_SECONDS = 10.0

# A cell's array and whether it lacks the cell's end or, if it cannot be decoded, the reason.
Outcome = tuple[np.ndarray[Any, Any], bool] | str
Progress = Callable[[int, int], None]


def encode(
    table: Table,
    column: Column,
    form: Form,
    rows: np.ndarray[Any, Any],
    workers: int,
    progress: Progress | None,
) -> Iterator[tuple[int, Outcome]]:
    """Each row's outcome, in the order of `rows`; only a few chunks of them are held at a time.

    Args:
        rows: rows whose cell is present and can be read.
        workers: processes to use at most.
        progress: called with the numbers of rows done and of all.
    """
    media = kind.of(column.kind).media
    together = form.parallel and media
    # What is ragged may be large, whoever makes it.
    size = MEDIA_CHUNK if media and (form.parallel or form.ragged) else OTHER_CHUNK
    chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
    loaded = (list(cells(table, [column], chunk)) for chunk in chunks)
    done = 0
    outcomes = _chunks(form, loaded, len(chunks), workers if together else 1)
    for chunk, outcome in zip(chunks, outcomes, strict=True):
        yield from zip(chunk.tolist(), outcome, strict=True)
        done += len(chunk)
        if progress is not None:
            progress(done, len(rows))


def _chunks(
    form: Form, chunks: Iterator[list[Any]], count: int, workers: int
) -> Iterator[list[Outcome]]:
    last = 0.0
    for i, chunk in enumerate(chunks):
        started = time.perf_counter()
        encoded = encode_here(chunk, form)
        took = time.perf_counter() - started
        # The shorter of two: the first also pays for imports, and any may be held up by chance.
        left, last = min(took, last) * (count - i - 1), took
        yield encoded
        if workers > 1 and left > POOL_SECONDS:
            yield from _pool(form, chunks, workers)
            return


def _pool(form: Form, chunks: Iterator[list[Any]], workers: int) -> Iterator[list[Outcome]]:
    # Not multiprocessing's pool: its fresh processes run the user's script again, which fails
    # where the script has no `if __name__ == "__main__"`; and forking a process with OpenMP's
    # threads can hang.
    from joblib.externals.loky import ProcessPoolExecutor

    pool = ProcessPoolExecutor(workers, env={"OMP_NUM_THREADS": "1"})
    waiting: deque[Any] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(encode_here, chunk, form))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(kill_workers=True)


def encode_here(chunk: list[Any], form: Form) -> list[Outcome]:
    """Each cell's outcome, in this process; UserError if none can be encoded (`Form.open`)."""
    if chunk:
        form.open()
    try:
        return [
            (array, form.was_truncated(cell))
            for cell, array in zip(chunk, form.encode_many(chunk), strict=True)
        ]
    except Exception:  # of one of them, which is then asked by itself
        return [_encode_one(cell, form) for cell in chunk]


def _encode_one(cell: Any, form: Form) -> Outcome:
    try:
        return form.encode(cell), form.was_truncated(cell)
    except UserError as error:
        return error.what
    # What a cell holds that no decoder has thought of spoils no other cell.
    except Exception as error:
        return f"it cannot be decoded ({type(error).__name__}: {str(error)[:200]})"
