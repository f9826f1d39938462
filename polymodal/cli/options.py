"""Options that several commands have, and what their words mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from polymodal.base.errors import UserError

# What is fitted, or looked at.
FITTED = "TABLE|RECIPE.yaml"
Kinds = Annotated[
    list[str] | None, typer.Option("--kind", metavar="COL=KIND", help="Overrule a column's kind.")
]
Drop = Annotated[
    list[str] | None, typer.Option("--drop", metavar="COL", help="Leave a column out.")
]
Group = Annotated[
    str | None, typer.Option("--group", metavar="COL", help="Keep rows of equal value together.")
]
Decimal = Annotated[
    list[str] | None,
    typer.Option("--decimal", metavar="[COL=]MARK", help="Decimal mark of numbers: . or ,"),
]
Date = Annotated[
    list[str] | None,
    typer.Option("--date", metavar="[COL=]ORDER", help="dmy, mdy, ymd or a format: %d.%m.%y"),
]
Missing = Annotated[
    list[str] | None,
    typer.Option("--missing", metavar="[COL=]WORD", help="A cell that says nothing is known."),
]
Encoding = Annotated[
    str | None,
    typer.Option("--encoding", metavar="NAME", help="Of a CSV that is not UTF-8, as cp1252."),
]
BadRows = Annotated[
    int,
    typer.Option("--max-bad-rows", help="So many unreadable cells of a modality count as missing."),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Execute the components of the user's own that it brings.")
]
Urls = Annotated[
    bool, typer.Option("--allow-urls", help="Fetch media of public hosts that cells name.")
]
Decoding = Annotated[
    list[str] | None,
    typer.Option(
        "--decoding",
        metavar="[TARGET.]KEY=VALUE",
        help="How texts are written and pictures drawn: beams=4, temperature=0.8, samples=3, ...",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")]
Out = Annotated[Path, typer.Option("--out", help="Folder or file to write.")]


def table(source: str | None, allow_urls: bool) -> Any:
    """A table as it was named; with it, whether its cells may name addresses."""
    if source is None or not allow_urls:
        return source
    from polymodal.table.named import Named

    return Named(source, allow_urls)


# Time for a fit where neither the recipe nor the command line says any.
BUDGET = "5m"
PRETRAINING = "10m"


def one_or_all(names: list[str] | None) -> str | list[str] | None:
    """A single one is no list: there is nothing to compare it with."""
    return names[0] if names and len(names) == 1 else names or None


def pairs(items: list[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in items or []:
        name, equals, kind = item.rpartition("=")
        if not equals or not name:
            raise UserError(
                "--kind takes a column and a kind", expected="--kind COLUMN=KIND", got=item
            )
        _said_once("--kind", name, found, items)
        found[name] = kind
    return found


def _said_once(option: str, key: str, found: Mapping[str, Any], items: list[str] | None) -> None:
    """UserError if an option has said another thing of a key before: which was meant?"""
    if key in found:
        own = [item for item in items or [] if item.startswith(f"{key}=")]
        what = f"{option} says more than one thing of '{key}'"
        do = "leave all but one out"
        raise UserError(what, expected="one value for each", got=" and ".join(own), do=do)


def parented(run: Path | None, match: list[str] | None) -> dict[str, Any] | None:
    """--from RUN --match NEW=OLD to a recipe's `parent`."""
    if run is None:
        if match:
            raise UserError("--match goes with --from", do="--from RUN names the run to start from")
        return None
    found: dict[str, str] = {}
    for item in match or []:
        new, equals, old = item.partition("=")
        if not equals or not new or not old:
            raise UserError("--match takes two columns", expected="--match NEW=OLD", got=item)
        _said_once("--match", new, found, match)
        found[new] = old
    return {"run": str(run), "columns": found}


def said(items: list[str] | None) -> dict[str, str]:
    """COL=WORD to column -> word; a word alone is said of all columns, "*"."""
    return {column: words[-1] for column, words in words_of(items).items()}


def words_of(items: list[str] | None) -> dict[str, list[str]]:
    """COL=WORD, any number of times, to column -> words; a word alone is said of all, "*"."""
    found: dict[str, list[str]] = {}
    for item in items or []:
        column, _, word = item.rpartition("=")
        found.setdefault(column or "*", []).append(word)
    return found


def manner(items: list[str] | None) -> dict[str, Any]:
    """KEY=VALUE, any number of times; values as JSON has them, or else as they stand."""
    found: dict[str, Any] = {}
    for item in items or []:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise UserError(
                "--decoding takes a key and a value", expected="--decoding beams=4", got=item
            )
        _said_once("--decoding", key, found, items)
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
        if key.rpartition(".")[2] == "pattern":
            found[key] = value
    return found


def row_of(arguments: list[str]) -> dict[str, str]:
    """--image a.png --question "how many?" to a row."""
    row: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        flag = rest.pop(0)
        name, equals, value = flag.removeprefix("--").partition("=")
        if not flag.startswith("--") or not (equals or rest):
            raise UserError(
                f"'{flag}' is not understood",
                expected='columns of one row, as --image x.png --question "how many?"',
            )
        row[name] = value if equals else rest.pop(0)
    return row


def csv_only(out: Path) -> None:
    """UserError if a CSV file to be written is called as tables of another format are."""
    if out.suffix.lower() in (".tsv", ".xlsx", ".json", ".jsonl", ".parquet", ".arrow", ".feather"):
        raise UserError(
            f"'{out}' would be called {out.suffix} and hold CSV",
            expected="a name that ends in .csv",
            do=f"`out {out.with_suffix('.csv')}`",
        )
