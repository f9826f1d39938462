"""A run's inputs made worse, each row by nothing but its content and a seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from polymodal.base import lookup
from polymodal.contract import kind
from polymodal.contract.corruption import Corruption
from polymodal.contract.form import Form
from polymodal.prepared.cells import cells, content
from polymodal.prepared.prepare import Prepared, prepare
from polymodal.run.run import Run
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table
from polymodal.table.schema import Column


def corrupted(
    run: Run,
    table: Table,
    prepared: Sequence[Prepared],
    modality: str,
    corruption: str | Mapping[str, Any],
    level: float,
    *,
    cache: Path,
    seed: int = 0,
) -> list[Prepared]:
    """What `run.scores` takes in place of `prepared`, with one modality corrupted.

    Batches, workers and the rows' order change nothing, for a cell's generator is seeded by its
    content. The level is no part of that: the same words and pixels are hit at every level, so
    that a curve over levels does not jump about.

    Args:
        table: the rows that are in `prepared`, which is what `run.prepare` made of them.
        modality: one of the schema's.
        corruption: a name in `modalities/<kind>/corruptions`, or a mapping with "name" and options.
        level: from 0, where nothing changes, to 1.
        cache: a folder, best a temporary one: every level is encoded into it anew.
        seed: another one gives other draws.

    Raises:
        UserError: there is no such corruption or level.
    """
    columns = run.schema.modalities()[modality]
    own = {member.forms[modality] for member in run.members.values() if modality in member.forms}
    found = list(prepared)
    for i in own:
        form = run.forms[i]
        damage: Corruption = lookup.build(f"modalities/{form.kind}/corruptions", corruption)
        damage.fit(form, (cell for cell in cells(table, columns) if cell is not None))
        # A row whose every cell goes missing is absent, which only a table can say.
        in_table = kind.of(columns[0].kind).joint
        worsen = partial(worse, corruption=damage, level=level, seed=seed)
        found[i] = prepare(
            _rewritten(table, columns, worsen) if in_table else table,
            columns,
            form if in_table else Corrupted(form, damage, level, seed),
            cache=cache,
            ledger=Ledger(),
            max_bad_rows=len(prepared[i].bad),
            shape=prepared[i].shape,
        )
    return found


def worse(cell: Any, corruption: Corruption, level: float, seed: int) -> Any:
    """A cell corrupted, the same way wherever it stands."""
    purpose = f"{seed}/{corruption.kind}/{type(corruption).__name__}/{content(cell)}"
    digest = hashlib.blake2b(purpose.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return corruption(cell, level, np.random.default_rng(int.from_bytes(digest, "big")))


class Corrupted(Form):
    """A fitted form that takes a worse cell for every cell it is given."""

    def __init__(self, form: Form, corruption: Corruption, level: float, seed: int) -> None:
        self.form, self.corruption, self.level, self.seed = form, corruption, level, seed
        # What its class says of any other form.
        self.kind, self.dtype = form.kind, form.dtype
        self.ragged, self.parallel = form.ragged, form.parallel

    def encode(self, cell: Any) -> np.ndarray[Any, Any]:
        return self.form.encode(self._worse(cell))

    def encode_many(self, cells: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        return self.form.encode_many([self._worse(cell) for cell in cells])

    def was_truncated(self, cell: Any) -> bool:
        """Of the cell as it was given."""
        return self.form.was_truncated(cell)

    @property
    def fingerprint(self) -> str:
        kind = type(self.corruption)
        options = sorted(vars(self.corruption).items())
        what = [kind.__module__, kind.__name__, kind.version, repr(options)]
        described = [self.form.fingerprint, what, self.level, self.seed]
        return hashlib.blake2b(json.dumps(described).encode(), digest_size=16).hexdigest()

    def _worse(self, cell: Any) -> Any:
        return worse(cell, self.corruption, self.level, self.seed)


def _rewritten(table: Table, columns: Sequence[Column], worsen: Callable[[Any], Any]) -> Table:
    """The table with other cells in some columns."""
    rows = [row if row is None else worsen(row) for row in cells(table, columns)]
    data = table.data
    for name in (column.name for column in columns):
        i = data.column_names.index(name)
        values = [row if row is None else row[name] for row in rows]
        data = data.set_column(i, name, pa.array(values, data.column(i).type))
    return replace(table, data=data)
