"""Predictions as a pandas user gives and takes them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any


def is_frame(source: Any) -> bool:
    """Whether it is a pandas DataFrame; pandas is not imported to find out."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def are_rows(source: Any) -> bool:
    """Whether it is a list of rows: mappings of column to cell."""
    is_list = isinstance(source, Sequence) and not isinstance(source, str | bytes)
    return is_list and len(source) > 0 and all(isinstance(row, Mapping) for row in source)


def framed(found: Mapping[str, list[Any]], like: Any, types: Mapping[str, str]) -> Any:
    """Columns of predictions as a DataFrame with the index of the rows that were asked for.

    Args:
        like: the DataFrame of these rows.
        types: target -> Arrow's name of the type of its training cells.
    """
    import pandas as pd

    columns = {name: typed(values, types.get(name, "")) for name, values in found.items()}
    return pd.DataFrame(columns, index=like.index)


def typed(values: Sequence[Any], kind: str) -> Any:
    """Predictions in the type that the target has in its own table: True, not "true".

    Amounts of whole numbers stay amounts. What the type does not fit stays as it is.
    """
    import pandas as pd

    try:
        if kind.startswith(("timestamp", "date")):
            zone = kind.partition("tz=")[2].rstrip("]")
            found = pd.to_datetime(pd.Series(values), unit="s", utc=bool(zone))
            return (found.dt.tz_convert(zone) if zone else found).array
        if all(isinstance(value, str) for value in values):
            if kind == "bool":
                return [{"true": True, "false": False}[value] for value in values]
            if kind.startswith(("int", "uint")):
                return [int(value) for value in values]
            if kind in ("float", "double", "halffloat"):
                return [float(value) for value in values]
    except (KeyError, ValueError, OverflowError):
        pass
    return list(values)


def figure(value: Any) -> str:
    """A number to four significant digits; other cells as they are."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def html(title: str, heads: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """A small table for notebooks."""
    above = "".join(f"<th>{escape(head)}</th>" for head in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(figure(cell))}</td>" for cell in line) + "</tr>"
        for line in lines
    )
    table = f"<table><thead><tr>{above}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div><p>{escape(title)}</p>{table}</div>"
