"""CSV and TSV: every column as strings, so that a code like "007" survives until it is inferred."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa

from polymodal.table.readers.separated import opened

# Rows wait as Python lists until they are worth one Arrow batch.
_BATCH = 20_000


def read(path: Path, encoding: str | None = None) -> pa.Table:
    """A delimited file with a header, as `separated.opened` reads it; empty cells become null."""
    with opened(path, encoding) as (header, rows):
        schema = pa.schema([(name, pa.large_string()) for name in header])
        return pa.Table.from_batches(_batches(rows, schema), schema)


def _batches(rows: Iterable[list[str | None]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    rows = iter(rows)
    while part := list(islice(rows, _BATCH)):
        columns = [pa.array(cells, pa.large_string()) for cells in zip(*part, strict=True)]
        yield pa.record_batch(columns, schema)
