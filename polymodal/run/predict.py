"""Predictions and vectors for new rows, to files or to the caller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polymodal.base.files import write_array, write_csv
from polymodal.run.run import Run
from polymodal.table.ledger import Ledger


def predict_table(run: Run, source: Any, out: Path, *, max_bad_rows: int = 0) -> tuple[int, Ledger]:
    """Predict a table's rows to a CSV file with the columns of `Run.predict`.

    Returns:
        How many rows, and which of them lack a cell or its end.
    """
    ledger = Ledger()
    columns = run.predict(run.table(source), max_bad_rows=max_bad_rows, ledger=ledger)
    write_csv(out, columns)
    return len(columns["row"]), ledger


def predict_row(run: Run, row: dict[str, Any]) -> dict[str, Any]:
    """Predict one row given as column -> value; columns that are not given are missing."""
    found = run.predict(row)
    return {name: values[0] for name, values in found.items() if name != "row"}


def embed_table(run: Run, source: Any, out: Path, *, max_bad_rows: int = 0) -> tuple[int, int]:
    """Write the fused vectors `(rows, width)` as .npy; returns that shape."""
    vectors = run.embed(source, max_bad_rows=max_bad_rows)
    write_array(out, vectors)
    return vectors.shape[0], vectors.shape[1]
