"""A run as a worker answers with it: rows of several requests at once, each by itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.base.files import finite
from polymodal.contract import kind
from polymodal.evaluation.explain import explain
from polymodal.metrics.alignment import unit
from polymodal.run.rows import whole
from polymodal.run.run import Run
from polymodal.run.search import Index, comparable, indexed
from polymodal.serve.errors import Refused
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table, read
from polymodal.table.resolve import Reach
from polymodal.table.schema import FUSED

# A request as the worker gets it ("rows", and what its sort asks for); its answer.
Asked = Mapping[str, Any]
Answer = dict[str, Any] | Refused

logger = logging.getLogger(__name__)


class Model:
    """What a worker can be asked of one run.

    Args:
        index: a table that `retrieve` searches; None: it cannot be asked.
    """

    def __init__(self, run: Run, index: Any = None) -> None:
        self.run = run
        self.indices: dict[str, Index] = {}
        compared = comparable(run)
        if index is not None:
            if compared is None:
                raise UserError(
                    f"The run '{run.folder or ''}' compares no modalities, so no index is searched",
                    expected="a run that `pretrain` made, such as one of `task contrastive`",
                    do="leave out `index`",
                )
            for name in run.tasks[compared].names:
                self.indices[name] = indexed(run, index, name)

    def described(self) -> dict[str, Any]:
        """What the server must know of it, JSON-able."""
        run, schema = self.run, self.run.schema
        names = {n: own for form in run.forms for n, own in form.choices().items() if own}
        compared = comparable(run)
        return {
            "inputs": [
                {
                    "name": column.name,
                    "kind": column.kind,
                    "given": kind.of(column.kind).given(column.kind),
                    "accepts": kind.of(column.kind).accepts,
                    "words": kind.of(column.kind).words,
                    "names": list(names.get(column.name, ())),
                }
                for column in schema.inputs
            ],
            "modalities": {n: [c.name for c in own] for n, own in schema.modalities().items()},
            "targets": [
                {
                    "name": task.name,
                    "classes": list(task.classes) if task.one_class else [],
                    "labels": [] if task.one_class else list(task.classes),
                    "number": task.averaged and not task.classes,
                    "supports": task.supports,
                }
                for task in run.tasks.values()
            ],
            "intervals": all(name in run.pipeline.held_out for name in run.tasks),
            "embeds": self._width(),
            "compared": [] if compared is None else list(run.tasks[compared].names),
            "searched": list(self.indices),
            "created": str(run.origin.get("date", "")),
            "rows": run.origin.get("rows"),
        }

    def answer(self, what: str, asked: Sequence[Asked]) -> list[Answer]:
        """Answers to requests of one sort, whose options are alike.

        What is wrong with one of them spoils none of the others.

        Args:
            what: "predict", "embed", "explain" or "retrieve".
        """
        ask = {
            "predict": self._predict,
            "embed": self._embed,
            "explain": self._explain,
            "retrieve": self._retrieve,
        }[what]
        try:
            return ask(asked)
        except Exception as error:
            if len(asked) > 1:
                return [self.answer(what, [one])[0] for one in asked]
            return [_refusal(error)]

    # -- each sort ----------------------------------------------------------------------------

    def _predict(self, asked: Sequence[Asked]) -> list[Answer]:
        batch, run = _Batch(self.run, asked), self.run.pipeline
        gone = run.known(asked[0].get("absent", ()))

        def score(members: Sequence[str], prepared: Any, rows: Any) -> Any:
            return {name: run.score(name, prepared, rows, [gone])[0] for name in members}

        interval = asked[0].get("interval")
        found = run.answered(
            batch.table, batch.ledger, gone, score, interval=interval, max_bad_rows=batch.rows
        )
        return batch.split(lambda row: self._told(found, row, interval is not None), batch.warnings)

    def _told(self, found: Mapping[str, Sequence[Any]], row: int, region: bool) -> dict[str, Any]:
        """One row's part of the predictions."""
        answers: dict[str, Any] = {}
        for name, task in self.run.tasks.items():
            told: dict[str, Any] = {"value": found[name][row]}
            shares = {c: found[f"{name}={c}"][row] for c in task.classes if f"{name}={c}" in found}
            if shares:
                told["probabilities"] = shares
            for part in ("low", "high", "set") if region else ():
                if f"{name}.{part}" in found:
                    told[part] = found[f"{name}.{part}"][row]
            answers[name] = told
        lacking = found.get("missing", ())
        missing = lacking[row].split(", ") if len(lacking) > row and lacking[row] else []
        return finite({"answers": answers, "missing": missing})

    def _embed(self, asked: Sequence[Asked]) -> list[Answer]:
        batch, run = _Batch(self.run, asked), self.run.pipeline
        compared = comparable(self.run)
        name = run.embedder() if compared is None else next(iter(run.weights[FUSED][compared]))
        prepared = run.encode(batch.table, batch.ledger, [name], max_bad_rows=batch.rows)
        rows = np.arange(batch.rows)
        if compared is None:
            vectors = run.vectors(prepared, rows, name)
        else:
            answers = run.score(name, prepared, rows, [()])[0][compared]
            vectors = unit(unit(np.stack(list(answers))).sum(1))
        plain = np.ascontiguousarray(vectors, "<f4")
        return batch.split(lambda row: plain[row].tobytes(), batch.warnings)

    def _explain(self, asked: Sequence[Asked]) -> list[Answer]:
        # What cannot be read is told by the prediction, in words that are fit for clients.
        first = self._predict(asked)
        found: list[Answer] = []
        for one, plain in zip(asked, first, strict=True):
            if isinstance(plain, Refused):
                found.append(plain)
                continue
            batch = _Batch(self.run, [one])
            told = explain(self.run, batch.table, range(batch.rows), one.get("targets"))
            rows = [
                {name: {"of": own["of"], **own["rows"][i]} for name, own in told.items()}
                for i in range(batch.rows)
            ]
            found.append({"rows": finite(rows), "warnings": plain["warnings"]})
        return found

    def _retrieve(self, asked: Sequence[Asked]) -> list[Answer]:
        found: list[Answer] = []
        for one in asked:
            batch = _Batch(self.run, [one])
            index = self.indices[one["to"]]
            found.append(finite(_lines(index.search(self.run, batch.table, one["from"], one["k"]))))
        return found

    def _width(self) -> int:
        """Of its vectors; 0 where it has none."""
        row: Asked = {"rows": [{}]}
        if comparable(self.run) is None and not any(
            member.module.embeds for member in self.run.members.values()
        ):
            return 0
        (found,) = self._embed([row])
        return 0 if isinstance(found, Refused) else len(found["rows"][0]) // 4


class _Batch:
    """Requests' rows as one table.

    Attributes:
        table: what their cells hold themselves: it names no files and no addresses.
        ledger: what became of its rows.
    """

    def __init__(self, run: Run, asked: Sequence[Asked]) -> None:
        self.asked = asked
        self.owner = [i for i, one in enumerate(asked) for _ in one["rows"]]
        self.rows = len(self.owner)
        self.ledger = Ledger()
        rows = whole(run.schema, (row for one in asked for row in one["rows"]), self.ledger)
        table = replace(read(rows), reach=Reach(sealed=True), source="the request")
        self.table = _checked(run, table, self.rows)
        self.kinds = {column.name: column.kind for column in run.schema.inputs}

    def split(self, of: Any, notes: Any) -> list[Answer]:
        """Each request's answers, or why it has none."""
        refused: dict[int, Refused] = {}
        found: list[dict[str, Any]] = [{"rows": [], "warnings": []} for _ in self.asked]
        odd = {int(row): one for one in self.table.odd for row in one.rows}
        for row, own in enumerate(self.owner):
            number = len(found[own]["rows"])
            if row in odd:
                column, wanted = odd[row].column, kind.of(odd[row].kind).columns[odd[row].kind]
                what = f"The cell of '{column}' is no {odd[row].kind}: expected {wanted}"
                param = f"rows.{number}.{column}"
                refused.setdefault(own, Refused(400, what, param=param, code="wrong_kind"))
            for column in self._unreadable(row):
                wanted = self.kinds.get(column, "numbers and names")
                what = f"The cell of '{column}' in row {number} cannot be read as {wanted}"
                param = f"rows.{number}.{column}"
                refused.setdefault(own, Refused(400, what, param=param, code="unreadable"))
            found[own]["warnings"] += [{"row": number, **one} for one in notes(row)]
            found[own]["rows"].append(of(row))
        return [refused.get(i, one) for i, one in enumerate(found)]

    def warnings(self, row: int) -> list[dict[str, str]]:
        """What was cut off, and what a model never learned."""
        return [
            {"column": one.column, "message": one.reason}
            for one in self.ledger.of(row)
            if one.doubtful or one.outcome == "truncated"
        ]

    def _unreadable(self, row: int) -> list[str]:
        """Columns whose cell no form could encode."""
        told = self.ledger.of(row)
        return [one.column for one in told if one.outcome == "incomplete" and not one.doubtful]


def _checked(run: Run, table: Table, rows: int) -> Table:
    """The table as the schema reads it, whatever share of its cells is of another kind.

    Each request is judged by itself; those of others in the same batch do not count.
    """
    try:
        return run.pipeline.table(table)
    except UserError:
        if rows == 1:
            raise
        # One row's cell is noted, most of many would be an error.
        parts = [run.pipeline.table(table.slice(i, i + 1)) for i in range(rows)]
        odd = tuple(
            replace(one, rows=one.rows + i) for i, part in enumerate(parts) for one in part.odd
        )
        return replace(parts[0].concat(*parts[1:]), odd=odd, source=table.source)


def _lines(columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    lines = [dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True)]
    return {"rows": lines, "warnings": []}


def _refusal(error: Exception) -> Refused:
    """What a client is told of an error: nothing that a library says of a file."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, UserError):
        logger.info("refused: %s", error)
        return Refused(400, error.what.rstrip(".") + ".", code="unsuitable")
    if isinstance(error, MemoryError):
        return Refused(413, "The request needs more memory than it may have", code="too_large")
    logger.exception("a request could not be answered", exc_info=error)
    return Refused(500, "The model failed on this request", code="model_failed")
