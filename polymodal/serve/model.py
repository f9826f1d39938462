"""A run as a worker answers with it: rows of several requests at once, each by itself."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.base.files import finite
from polymodal.contract import kind
from polymodal.contract.along import Along
from polymodal.contract.writing import Writing
from polymodal.evaluation.explain import explain
from polymodal.metrics.alignment import unit
from polymodal.run.run import Run
from polymodal.run.search import Index, comparable, indexed
from polymodal.serve.drift import Seen, seen
from polymodal.serve.errors import Refused
from polymodal.serve.rows import Rows
from polymodal.serve.writing import Told, write
from polymodal.table import chat
from polymodal.table.schema import FUSED

# A request as the worker gets it ("rows", and what its sort asks for); its answer.
Asked = Mapping[str, Any]
Answer = dict[str, Any] | Refused

# What is told of a text beside itself.
WRITTEN = ("log_likelihood", "finish")

logger = logging.getLogger(__name__)


class Model:
    """What a worker can be asked of one run.

    Args:
        index: a table that `retrieve` searches; None: it cannot be asked.
        reference: rows like those it was trained on, which others are held against; None: the
            training table where it still is.
    """

    def __init__(self, run: Run, index: Any = None, reference: Any = None) -> None:
        self.run, self.seen = run, seen(run, reference)
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
                    "written": isinstance(task, Writing),
                    "along": isinstance(task, Along),
                }
                for task in run.tasks.values()
            ],
            "chats": any(column.kind == chat.KIND for column in schema.inputs),
            "intervals": all(name in run.pipeline.held_out for name in run.tasks),
            "embeds": self._width(),
            "compared": [] if compared is None else list(run.tasks[compared].names),
            "searched": list(self.indices),
            "created": str(run.origin.get("date", "")),
            "rows": run.origin.get("rows"),
        }

    def answer(self, what: str, asked: Sequence[Asked], told: Told, left: set[int]) -> list[Answer]:
        """Answers to requests of one sort, whose options are alike.

        What is wrong with one of them spoils none of the others.

        Args:
            what: "predict", "embed", "explain", "retrieve" or "write".
            told: called with parts of answers as they come (`writing.write`).
            left: positions of requests that nobody waits for any longer; it may grow meanwhile.
        """
        ask: Callable[[Sequence[Asked]], list[Answer]] = {
            "predict": self._predict,
            "embed": self._embed,
            "explain": self._explain,
            "retrieve": self._retrieve,
            "write": lambda asked: write(self.run, asked, tell, left),
        }[what]
        begun: list[Any] = []

        def tell(parts: list[Any]) -> None:
            begun.extend(parts[:1])
            told(parts)

        try:
            return ask(asked)
        except Exception as error:
            if len(asked) > 1 and not begun:
                return [self._alone(what, one, i, told, left) for i, one in enumerate(asked)]
            return [_refusal(error)] * len(asked)

    def _alone(self, what: str, one: Asked, place: int, told: Told, left: set[int]) -> Answer:
        """One request of several."""

        def tell(parts: list[Any]) -> None:
            told([(place, *part) for _, *part in parts])

        return self.answer(what, [one], tell, {0} if place in left else set())[0]

    # -- each sort ----------------------------------------------------------------------------

    def _predict(self, asked: Sequence[Asked]) -> list[Answer]:
        batch, run = Rows(self.run, asked), self.run.pipeline
        gone = run.known(asked[0].get("absent", ()))

        def score(members: Sequence[str], prepared: Any, rows: Any) -> Any:
            return {name: run.score(name, prepared, rows, [gone])[0] for name in members}

        interval = asked[0].get("interval")
        found = run.answered(
            batch.table, batch.ledger, gone, score, interval=interval, max_bad_rows=batch.rows
        )
        answers = batch.split(lambda row: self._told(found, row, interval is not None))
        if self.seen is not None:
            self._held(self.seen, batch, answers)
        return answers

    def _held(self, known: Seen, batch: Rows, answers: Sequence[Answer]) -> None:
        """Note with each answer how its rows are beside training rows."""
        distances = known.distances(batch.table)
        for one, answer in zip(batch.asked, answers, strict=True):
            if not isinstance(answer, Refused):
                outside = [name for row in one["rows"] for name in known.outside(row)]
                # The batch's are told once: whose they are does not matter.
                answer["drift"] = {"outside": outside, "distances": distances}
                distances = []

    def _told(self, found: Mapping[str, Sequence[Any]], row: int, region: bool) -> dict[str, Any]:
        """One row's part of the predictions."""
        answers: dict[str, Any] = {}
        for name, task in self.run.tasks.items():
            value = found[name][row]
            # Files go out as they come in.
            told: dict[str, Any] = {
                "value": b64encode(value).decode() if isinstance(value, bytes) else value
            }
            shares = {c: found[f"{name}={c}"][row] for c in task.classes if f"{name}={c}" in found}
            if shares:
                told["probabilities"] = shares
            regions = ("low", "high", "set") if region else ()
            for part in (*regions, *(WRITTEN if isinstance(task, Writing) else ())):
                if f"{name}.{part}" in found:
                    told[part] = found[f"{name}.{part}"][row]
            answers[name] = told
        lacking = found.get("missing", ())
        missing = lacking[row].split(", ") if len(lacking) > row and lacking[row] else []
        return finite({"answers": answers, "missing": missing})

    def _embed(self, asked: Sequence[Asked]) -> list[Answer]:
        batch, run = Rows(self.run, asked), self.run.pipeline
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
        return batch.split(lambda row: plain[row].tobytes())

    def _explain(self, asked: Sequence[Asked]) -> list[Answer]:
        # What cannot be read is told by the prediction, in words that are fit for clients.
        first = self._predict(asked)
        found: list[Answer] = []
        for one, plain in zip(asked, first, strict=True):
            if isinstance(plain, Refused):
                found.append(plain)
                continue
            batch = Rows(self.run, [one])
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
            batch = Rows(self.run, [one])
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
