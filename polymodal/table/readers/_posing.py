"""Files that are no table, whatever they are called: what they are, and what to do with them."""

from __future__ import annotations

from pathlib import Path

from polymodal.base.errors import UserError

_PAGE = "the page itself was downloaded, not the table: download that"
# How files begin that end in the suffix of a text table -> what they are, and what to do.
_BEGINNINGS = (
    (
        b"version https://git-lfs",
        "a pointer of Git LFS",
        "fetch what it stands for: `git lfs pull`",
    ),
    (b"<!doctype html", "a web page", _PAGE),
    (b"<html", "a web page", _PAGE),
    (b"<?xml", "XML", "save it as CSV"),
    (b"pk\x03\x04", "an Excel workbook or a ZIP archive", "call it .xlsx, or unpack it"),
    (b"\x1f\x8b", "packed by gzip", "unpack it: `gunzip FILE`"),
    (b"par1", "a Parquet file", "call it .parquet"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save it as .xlsx or CSV"),
    (b"sqlite format 3", "a database of SQLite", "export the table as CSV"),
    (b"%pdf", "a PDF document", "export the table as CSV"),
)
# Suffixes of what is no table that is read -> what to do.
_ADVICE = (
    ({".gz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".rar"}, "unpack it, and name what is in it"),
    ({".txt", ".dat", ".data"}, "call it .csv, or .tsv where tabs part the cells"),
    ({".xls", ".xlsb", ".ods", ".numbers"}, "save it as .xlsx or CSV"),
)
_ELSE = "save it as one of these; from Python a pandas DataFrame will do"


def refuse(path: Path) -> None:
    """UserError if a file that should be text begins like something else."""
    with open(path, "rb") as file:
        head = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, what, do in _BEGINNINGS:
        if head.startswith(start):
            raise UserError(
                f"{path} is {what}", expected="a table as its name says", got=repr(head[:24]), do=do
            )


def advice(suffix: str) -> str:
    """What to do with a file of a suffix that no table has."""
    return next((do for suffixes, do in _ADVICE if suffix in suffixes), _ELSE)
