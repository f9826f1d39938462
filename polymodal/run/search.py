"""Rows found by any of their modalities from any other: what a pretrained run retrieves."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from polymodal.base import lookup
from polymodal.base.errors import MissingExtra, UserError
from polymodal.contract.task import Array
from polymodal.metrics.alignment import unit
from polymodal.prepared.cache import usable_folder
from polymodal.run.run import Run
from polymodal.run.saved import opened
from polymodal.table.infer import validate
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table, read
from polymodal.table.schema import FUSED

# Similarities held at once: 32 MiB.
BLOCK = 2**23
# Neighbours of each vector in faiss's graph, and how many candidates a search keeps.
NEIGHBOURS, CANDIDATES = 32, 256

ENGINES = ("exact", "faiss")


def retrieve(
    run: Run | str | Path,
    index: Any,
    *,
    query: Any = None,
    queries: Any = None,
    source: str,
    to: str,
    k: int = 10,
    engine: str = "exact",
    max_bad_rows: int = 0,
) -> dict[str, list[Any]]:
    """The rows of a table whose `to` is most like a query's `source`.

    Args:
        run: or its folder; with a task that compares modalities, such as `pretrain` makes.
        index: the table that is searched; it needs the column `to`.
        query: one cell of the column `source`: a text, a path, a picture; or of a joint modality a
            mapping of columns.
        queries: instead a table of them, which needs the column `source`.
        source, to: modalities of the run: columns, or the name of those that are read together.
        k: rows for each query, fewer if the index has fewer.
        engine: "exact" compares each query with every row; "faiss" (an extra) with few of them, by
            a graph of neighbours, and may miss some.
        max_bad_rows: cells of a modality that may be unreadable; they are not found.

    Returns:
        Columns with a line for each query and rank: "query" (its row), "rank" from 1, "row" (of the
        index), "similarity" (cosine), and what the index says there of `to` and of columns that
        only name a row, as "NAME.found" where a column is called like one of these four. A query
        without a cell finds nothing.

    Raises:
        UserError: the run compares nothing or not these, both or none of `query` and `queries` are
            given, or a table lacks the column.
    """
    run = opened(run)
    if (query is None) == (queries is None):
        raise UserError(
            "Nothing to search for" if query is None else "Both a query and a table of them",
            expected="either `query`, one cell, or `queries`, a table",
        )
    if engine not in ENGINES:
        raise lookup.unknown(f"There is no way to search called '{engine}'", engine, ENGINES)
    if k < 1:
        raise UserError(f"k={k} asks for no row", expected="1 or more")
    for name in (source, to):
        _known(run, name)
    if query is not None:
        queries = [query] if isinstance(query, Mapping) else {source: [query]}
    asked = read(queries, cache=usable_folder(), encoding=run.recipe.data.encoding)
    return indexed(run, index, to, max_bad_rows).search(run, asked, source, k, engine, max_bad_rows)


@dataclass(frozen=True)
class Index:
    """Rows of a table that can be searched again and again.

    Attributes:
        vectors: `(known, size)` unit vectors of the rows that have the modality.
        rows: their numbers `(known,)`.
        told: column -> what the table says there of all its rows.
    """

    vectors: Array
    rows: Array
    told: Mapping[str, Sequence[Any]]

    def search(
        self,
        run: Run,
        queries: Table,
        source: str,
        k: int,
        engine: str = "exact",
        max_bad_rows: int = 0,
    ) -> dict[str, list[Any]]:
        """As `retrieve`."""
        wanted, rows = _vectors(run, queries, source, max_bad_rows)
        similar, places = _nearest(wanted, self.vectors, min(k, len(self.vectors)), engine)
        lines = [
            (int(rows[i]), rank + 1, int(self.rows[place]), float(value))
            for i in range(len(rows))
            for rank, (place, value) in enumerate(zip(places[i], similar[i], strict=True))
            if place >= 0
        ]
        columns = zip(*lines, strict=True) if lines else ((), (), (), ())
        names = ("query", "rank", "row", "similarity")
        result: dict[str, list[Any]] = {n: list(c) for n, c in zip(names, columns, strict=True)}
        for name, cells in self.told.items():
            own = f"{name}.found" if name in names else name
            result[own] = [_shown(cells[row]) for row in result["row"]]
        return result


def indexed(run: Run, source: Any, to: str, max_bad_rows: int = 0) -> Index:
    """The index of a table by one modality; arguments and errors as of `retrieve`."""
    table = read(source, cache=usable_folder(), encoding=run.recipe.data.encoding)
    vectors, rows = _vectors(run, table, to, max_bad_rows)
    return Index(vectors, rows, {name: table.cells(name) for name in _told(run, table, to)})


def comparable(run: Run) -> str | None:
    """The task of a run whose answers are vectors of its modalities; None without one."""
    return next((name for name, task in run.tasks.items() if task.aligns), None)


def _known(run: Run, modality: str) -> str:
    """The task that compares a modality."""
    name = comparable(run)
    if name is None:
        raise UserError(
            f"The run '{run.folder or ''}' compares no modalities",
            expected="one that has learned which belong together",
            got=f"the tasks {', '.join(run.tasks)}",
            do="make one: `polymodal pretrain TABLE`, with `task contrastive`",
        )
    names = list(run.tasks[name].names)
    if modality not in names:
        raise lookup.unknown(f"The run does not compare '{modality}'", modality, names)
    return name


def _vectors(run: Run, table: Table, modality: str, max_bad_rows: int) -> tuple[Array, Array]:
    """Unit vectors `(known, size)` of one modality, and the rows that have it."""
    task = _known(run, modality)
    (member,) = run.weights[FUSED][task]
    schema = run.schema
    own = [column.name for column in schema.modalities()[modality]]
    for name in own:
        if name not in table.names:
            what = f"{table.source} has no column '{name}' to compare"
            raise lookup.unknown(what, name, table.names, "check the table's header")
    # No other cell is read, whatever stands there.
    nothing = pa.nulls(len(table))
    columns = {
        c.name: table.data.column(c.name) if c.name in own else nothing for c in schema.inputs
    }
    alone = validate(schema, replace(table, data=pa.table(columns)), require_targets=False)
    options = {"max_bad_rows": max_bad_rows}
    prepared = run.pipeline.encode(alone, Ledger(), [member], usable_folder(), **options)
    every = np.arange(len(table))
    answers = run.pipeline.score(member, prepared, every, [frozenset()])[0][task]
    vectors = np.stack(list(answers))[:, list(run.tasks[task].names).index(modality)]
    rows = np.flatnonzero(np.abs(vectors).max(1) > 0)
    return unit(vectors[rows]), rows


def _nearest(queries: Array, index: Array, k: int, engine: str) -> tuple[Array, Array]:
    """Similarities and positions `(queries, k)` of the nearest, best first; -1 where none is."""
    if engine == "faiss":
        return _by_graph(queries, index, k)
    values, places = np.zeros((2, len(queries), k))
    size = max(1, BLOCK // max(1, len(index)))
    for start in range(0, len(queries), size):
        similar = queries[start : start + size] @ index.T
        best = np.argsort(-similar, axis=1, kind="stable")[:, :k]
        places[start : start + size] = best
        values[start : start + size] = np.take_along_axis(similar, best, 1)
    return values, places.astype(int)


def _by_graph(queries: Array, index: Array, k: int) -> tuple[Array, Array]:
    """As `_nearest`, by "Efficient and robust approximate nearest neighbor search using HNSW
    graphs" (Malkov, Yashunin 2016, arXiv 1603.09320)."""
    try:
        faiss = importlib.import_module("faiss")
    except ImportError as error:
        raise MissingExtra("faiss", "faiss", "Searching by a graph of neighbours") from error
    graph = faiss.IndexHNSWFlat(index.shape[1], NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efSearch = max(CANDIDATES, 2 * k)
    graph.add(np.ascontiguousarray(index, np.float32))
    values, places = graph.search(np.ascontiguousarray(queries, np.float32), k)
    return values, places


def _told(run: Run, table: Table, to: str) -> Sequence[str]:
    """The columns of the index that say what was found."""
    naming = [n for n in run.schema.identifiers if n in table.names]
    return [*naming, *(column.name for column in run.schema.modalities()[to])]


def _shown(cell: Any) -> Any:
    """A cell as a file of results can hold it: of what is no text or number, nothing."""
    return cell if isinstance(cell, str | int | float | bool | None) else None
