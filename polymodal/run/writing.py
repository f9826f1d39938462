"""Texts asked of a run in any manner: several, by beams, kept to a rule, or as they come."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from polymodal.base.devices import device_of
from polymodal.base.errors import UserError
from polymodal.contract.answers import CONSTANT
from polymodal.contract.batch import Fused
from polymodal.contract.writing import Part, Said, Writing
from polymodal.prepared.collate import Collator
from polymodal.run import frames, patterns
from polymodal.run.pipeline import Pipeline
from polymodal.run.rows import told, whole
from polymodal.table import chat
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table
from polymodal.table.schema import FUSED, Schema


def write(
    pipeline: Pipeline, table: Table, target: str | None, how: Mapping[str, Any]
) -> list[list[Said]]:
    """Texts for every row of a table, as many as asked for, the best first.

    Args:
        target: the task that writes; None: the only one that does.
        how: `nn.manner.Manner`'s keys.
    """
    task = writing_task(pipeline, target)
    told({task.name: task}, table)
    found: dict[int, list[Said]] = {}
    for rows, head, fused in _fused(pipeline, table, task, how, Ledger()):
        found |= zip(rows, task.write(head, fused, how), strict=True)
    blank = task.blank(how) if len(found) < len(table) else []
    return [found[row] if row in found else list(blank) for row in range(len(table))]


def stream(
    pipeline: Pipeline, row: Mapping[str, Any], target: str | None, how: Mapping[str, Any]
) -> Iterator[str]:
    """One row's text as it is written, part by part."""
    task, ledger = writing_task(pipeline, target), Ledger()
    own = _answerable(pipeline.schema, row)
    table = pipeline.table(whole(pipeline.schema, [own], ledger))
    told({task.name: task}, table)
    found = list(_fused(pipeline, table, task, how, Ledger()))
    ledger.warn()
    if not found:
        yield task.blank(how)[0].text
    for _, head, fused in found:
        yield from task.stream(head, fused, how)


def answerable(schema: Schema, source: Any) -> Any:
    """Rows with every column, whose messages, if they have some, are to be gone on with; what is
    no list of rows stays as it is."""
    if not frames.are_rows(source):
        return source
    return whole(schema, [_answerable(schema, row) for row in source], Ledger())


def _answerable(schema: Schema, row: Mapping[str, Any]) -> Mapping[str, Any]:
    messages = row.get(chat.MESSAGES)
    if isinstance(messages, str) or messages is None or not _converses(schema):
        return row
    return {**row, **conversation(schema, messages)}


def conversation(schema: Schema, messages: Any) -> dict[str, Any]:
    """Messages as a row of a run that was fitted on conversations.

    Raises:
        UserError: it was not, or on none with so many media; or they are no messages.
    """
    if not _converses(schema):
        raise UserError(
            "The run has learned no conversations",
            expected=f"one that was fitted on a table of '{chat.MESSAGES}'",
            got=f"the columns {', '.join(column.name for column in schema.inputs)}",
            do="give it rows (`write`, `predict`)",
        )
    found = chat.row(messages)
    known = [column.name for column in schema.inputs]
    if strange := [name for name in found if name not in known]:
        media = [name for name in known if chat.is_medium(name)]
        raise UserError(
            f"The conversation has a medium, '{strange[0]}', that the run has never seen",
            expected=f"at most {', '.join(media)}" if media else "texts alone",
            do="leave it out, or fit the run on conversations that have such media",
        )
    return found


def _converses(schema: Schema) -> bool:
    """Whether a run reads conversations."""
    return any(column.kind == chat.KIND for column in schema.inputs)


def parts(
    pipeline: Pipeline,
    table: Table,
    target: str | None,
    how: Mapping[str, Any],
    ledger: Ledger,
    seeds: Sequence[int],
    left: Collection[int],
) -> Iterator[list[Part]]:
    """All rows' texts as they are written, a step at a time; each is whole in the end.

    Args:
        ledger: where cells that cannot be read, which count as missing, are noted.
        seeds: each row's own.
        left: rows that nobody waits for any longer; looked into after each step.
    """
    task, blank = writing_task(pipeline, target), set(range(len(table)))
    told({task.name: task}, table)
    options = {"max_bad_rows": len(table)}
    for rows, head, fused in _fused(pipeline, table, task, how, ledger, **options):
        blank -= set(rows)
        own = _Places(rows, left)
        for step in task.parts(head, fused, how, [seeds[row] for row in rows], own):
            yield [replace(part, row=rows[part.row]) for part in step]
    said = task.blank(how) if blank else []
    yield [Part(row, i, one.text, one) for row in sorted(blank) for i, one in enumerate(said)]


@dataclass(frozen=True)
class _Places(Collection[int]):
    """Which places of a batch hold some rows.

    Args:
        rows: of the batch.
        some: changed by others while it is looked into.
    """

    rows: list[int]
    some: Collection[int]

    def __contains__(self, place: Any) -> bool:
        return self.rows[place] in self.some

    def __iter__(self) -> Iterator[int]:
        return (place for place in range(len(self.rows)) if place in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def writing_task(pipeline: Pipeline, target: str | None) -> Writing:
    """The task that writes."""
    able = {name: task for name, task in pipeline.tasks.items() if isinstance(task, Writing)}
    if target is None and len(able) == 1:
        return next(iter(able.values()))
    if target not in able:
        raise UserError(
            f"The run does not write {'anything' if target is None else repr(target)}",
            expected=f"one of the targets {', '.join(able)}" if able else "a target of texts",
            got=f"the targets {', '.join(pipeline.tasks)}",
            do="name the target that is to be written" if able else "use `predict`",
        )
    return able[target]


def _fused(
    pipeline: Pipeline,
    table: Table,
    task: Writing,
    how: Mapping[str, Any],
    ledger: Ledger,
    **options: Any,
) -> Iterator[tuple[list[int], nn.Module, Fused]]:
    """Rows, the head that writes them, and what it goes on from; none of rows that are `blank`."""
    own = pipeline.weights[FUSED][task.name]
    prepared = dict(pipeline.encode(table, ledger, list(own), **options))
    standing = pipeline.standing()
    for here, rows in patterns.grouped(pipeline.present(table, prepared)):
        shares = standing.answering(task.name, here) or own
        name = max(shares, key=lambda member: shares[member])
        if name == CONSTANT and task.blank(how):
            continue
        if name == CONSTANT:
            name = max(own, key=lambda member: own[member])
        if not set(pipeline.members[name].forms.values()) <= set(prepared):
            prepared |= pipeline.encode(table, Ledger(), [name], **options)
        module: Any = pipeline.members[name].module
        head = module.heads[module.targets.index(task.name)]
        collator = Collator(pipeline.inputs(name, prepared), {})
        for positions, batch in collator.sequential(rows, module.batch_size):
            with torch.no_grad():
                inputs = batch.to(device_of(module)).inputs
                fused = module.fuse(module.encode(inputs), tasks=()).fused
            yield rows[positions].tolist(), head, fused
