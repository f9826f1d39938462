"""A table as experts get it: prepared cells, encoded targets, and a fitted expert's answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from polymodal.base import lookup
from polymodal.contract.form import Form
from polymodal.contract.kind import of
from polymodal.contract.task import Task
from polymodal.prepared.cells import cells
from polymodal.prepared.collate import Collator
from polymodal.prepared.prepare import Prepared, prepare
from polymodal.prepared.targets import prepared
from polymodal.table.ledger import Ledger
from polymodal.table.read import read
from polymodal.table.schema import Column, Schema
from polymodal.train.loop import predict_without

Array = np.ndarray[Any, Any]


@dataclass
class Job:
    """A table, its first `rows` for training and the rest for validation."""

    kinds: dict[str, str]
    forms: dict[str, Form]
    inputs: dict[str, Prepared]
    tasks: dict[str, Task]
    targets: dict[str, Prepared]
    rows: int

    def build(self, expert: str, **options: Any) -> Any:
        return lookup.build(
            "models/experts", {"name": expert, **options}, self.kinds, self.forms, self.tasks
        )

    def truth(self, name: str) -> Array:
        """Encoded targets of all rows."""
        return np.stack(self.targets[name].arrays(np.arange(len(self.targets[name]))))

    def fit(self, expert: str, seed: int = 0, groups: Array | None = None, **options: Any) -> Any:
        module = self.build(expert, **options)
        train = np.arange(self.rows)
        rest = np.arange(self.rows, len(next(iter(self.inputs.values()))))
        valid = rest if len(rest) else None
        module.fit(self.inputs, train, valid, self.targets, seed, groups)
        return module.eval()

    def scores(self, module: Any, absent: tuple[str, ...] = ()) -> dict[str, Array]:
        """Of all rows: target -> `(rows, size)`."""
        rows = np.arange(len(next(iter(self.inputs.values()))))
        collator = Collator(self.inputs, {})
        found = predict_without(module, self.tasks, collator, rows, absent=[absent])[0]
        return {name: np.stack(values) for name, values in found.items()}


@pytest.fixture
def task(tmp_path: Path) -> Callable[..., Job]:
    """(frame, kinds of its inputs, target -> task, training rows) -> Job."""

    def make(
        frame: pd.DataFrame, kinds: dict[str, str], targets: dict[str, Any], rows: int | None = None
    ) -> Job:
        table = read(frame)
        rows = len(table) if rows is None else rows
        schema = Schema(tuple(Column(name, kind) for name, kind in kinds.items()), ())
        forms, inputs, folders = {}, {}, {}
        for name, columns in schema.modalities().items():
            room = of(columns[0].kind)
            kind = folders[name] = room.name
            spec: dict[str, Any] = {"name": room.described}
            if room.joint:
                spec["columns"] = [{"name": c.name, "kind": c.kind} for c in columns]
            form = forms[name] = lookup.build(f"modalities/{kind}/forms", spec)
            form.fit(cell for cell in cells(table, columns, np.arange(rows)) if cell is not None)
            inputs[name] = prepare(table, columns, form, cache=tmp_path, ledger=Ledger())
        tasks, encoded = {}, {}
        for name, spec in targets.items():
            task = tasks[name] = lookup.build("tasks", spec, name)
            task.fit(table.cells(name)[:rows])
            encoded[name] = prepared(task, table.cells(name))
        return Job(folders, forms, inputs, tasks, encoded, rows)

    return make
