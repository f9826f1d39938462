"""Rows with the same inputs and a text each, gathered to one row with several texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from polymodal.checks import _copies
from polymodal.checks._copies import Array
from polymodal.checks._finding import Finding
from polymodal.contract.task import Task
from polymodal.prepared.cache import default_folder
from polymodal.prepared.cells import Contents
from polymodal.table import references
from polymodal.table.read import Table
from polymodal.table.schema import Schema


def gathered(
    table: Table,
    schema: Schema,
    tasks: Sequence[Task],
    cache: Path | None = None,
    own: int | None = None,
) -> tuple[Table, Array, list[Finding]]:
    """A table with a row a caption, such as Flickr's, with a row a picture instead.

    Rows are gathered where the inputs are rich (a medium, or a text that no two people choose
    alike) and all equal by content, as is the group: the first of them holds the list of all texts.
    Else a batch reads a picture once for each of its captions, a picture counts as often as it was
    described, and what is written is held against one person's words alone.

    Args:
        table: as the schema reads it.
        tasks: of all targets, fitted or not.
        cache: where files' hashes are remembered; by default the cache's folder.
        own: rows of a first part, which stays apart from the others; by default all.

    Returns:
        The table, the same one where nothing is gathered; the numbers that its rows had; and what
        to tell people.
    """
    every = np.arange(len(table))
    targets = [column.name for column in schema.targets]
    if len(tasks) != 1 or not tasks[0].gathers or [*tasks[0].columns] != targets:
        return table, every, []
    contents = Contents(table, cache or default_folder())
    keys = {column.name: _copies.contents([contents], column)[0] for column in schema.inputs}
    (found,), chance = _copies.equal([table], schema.inputs, keys)
    group = schema.group if schema.group in table.names else None
    groups = [None] * len(table) if group is None else table.cells(group)
    parts = (every < (len(table) if own is None else own)).tolist()
    units = _copies.codes(zip(found.tolist(), groups, parts, strict=True))
    firsts = np.unique(units, return_index=True)[1]
    if chance or len(firsts) == len(table):
        return table, every, []
    texts: list[list[str]] = [[] for _ in firsts]
    for unit, cell in zip(units.tolist(), table.cells(targets[0]), strict=True):
        texts[unit] += references.texts([cell]) or []
    cells = pa.array([one or None for one in texts], pa.list_(pa.large_string()))
    kept = table.take(firsts)
    data = kept.data.set_column(kept.names.index(targets[0]), targets[0], cells)
    odd = [replace(one, rows=np.flatnonzero(np.isin(firsts, one.rows))) for one in table.odd]
    odd = [one for one in odd if len(one.rows)]
    kept = replace(kept, data=data, odd=tuple(odd), numbers=firsts)
    count = len(table) - len(firsts)
    what = (
        f"{count:,} of {len(table):,} rows of {table.source} repeat the inputs of an earlier one: "
        f"they are {len(firsts):,} rows, with up to {max(map(len, texts))} texts of "
        f"'{targets[0]}' each, called by the number of the first and counted as one"
    )
    return kept, firsts, [Finding("info", what, count)]
