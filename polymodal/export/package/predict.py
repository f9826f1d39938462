"""Predict a table of rows: `python predict.py rows.csv [predictions.csv]`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polymodal.base.errors import UserError
from polymodal.base.sheets import csv_of
from polymodal.export.package.model import load
from polymodal.table.readers.separated import opened

USAGE = "python predict.py ROWS.csv|.tsv|.jsonl [PREDICTIONS.csv]"


def main(arguments: Sequence[str]) -> int:
    """Exit codes: 0 done, 2 the input is at fault."""
    if len(arguments) not in (1, 2):
        print(USAGE, file=sys.stderr)
        return 2
    source = Path(arguments[0])
    try:
        rows = table(source)
        model = load()
        found = model.written(rows, *model.answers(rows, str(source.parent)))
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    text = csv_of(found)
    if len(arguments) == 1:
        sys.stdout.write(text)
        return 0
    out = Path(arguments[1])
    temporary = out.with_name(f"{out.name}.{os.getpid()}.tmp")
    temporary.write_bytes(text.encode("utf-8", "replace"))
    os.replace(temporary, out)
    return 0


def table(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV, TSV or JSON-lines file."""
    if not path.is_file():
        raise UserError(f"The file '{path}' does not exist", expected=USAGE)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        lines = path.read_text(encoding="utf-8").splitlines()
        try:
            return [json.loads(line) for line in lines if line.strip()]
        except ValueError as error:
            raise UserError(f"{path} is broken JSON ({error})") from error
    with opened(path) as (header, rows):
        return [dict(zip(header, cells, strict=True)) for cells in rows]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
