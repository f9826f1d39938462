"""The schema of a table: every column's kind with its reason, and later tables held against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from polymodal.base import arrow, lookup
from polymodal.base.errors import UserError
from polymodal.base.words import split
from polymodal.contract import kind
from polymodal.table import _kinds, _targets, tags
from polymodal.table.read import Table
from polymodal.table.schema import FUSED, Column, Schema
from polymodal.table.typed import Stated, gone, named, typed, unfit


def infer(
    table: Table,
    targets: Sequence[str],
    kinds: Mapping[str, str] | None = None,
    drop: Collection[str] = (),
    group: str | None = None,
    reads: Mapping[str, Sequence[str]] | None = None,
    stated: Stated | None = None,
) -> Schema:
    """Choose every column's kind by its cells.

    Args:
        table: training rows.
        targets: columns to predict.
        kinds: column -> kind, declared by the user; overrules what the cells say.
        drop: columns that no model may read.
        group: column whose equal values belong together; no input unless `kinds` declares it.
        reads: target -> further kinds that its task predicts.
        stated: how cells are written, where the user says it.

    Raises:
        UserError: a column does not exist; a target has no values or cannot be one; a declared
            kind does not fit the cells; nothing is left to learn from.
    """
    declared = dict(kinds or {})
    _check_arguments(table, targets, declared, drop, group)
    table, kept = (stated or Stated()).applied(table)
    outputs = {
        name: _targets.target(table, name, declared, (reads or {}).get(name, ()))
        for name in targets
    }
    others = [name for name in table.names if name not in outputs]
    skipped = {name: "dropped" for name in others if name in drop}
    if group is not None and group in others and group not in declared:
        skipped[group] = "the group that rows belong to"
    inputs: dict[str, Column] = {}
    for name in others:
        if name in declared and name not in drop:
            inputs[name] = _targets.declare(table, name, declared[name])
        elif name not in skipped:
            guess = _kinds.guess(table, name)
            inputs[name] = Column(name, guess.kind, guess.reason, guess.details)
    readers = kind.readers()
    for name, column in inputs.items():
        inputs[name] = _with_words(table, _with_stated(column, kept))
    outputs = {name: _with_stated(column, kept) for name, column in outputs.items()}
    for column in (*inputs.values(), *outputs.values()):
        _check(table, column)
    for name, target in outputs.items():
        text = _targets.labelled(table, target, inputs)
        if text is not None:
            column = table.data.column(text)
            cut = (
                None
                if arrow.is_list(column.type)
                else tags.cut_for(table.data.column(name), column)
            )
            cuts = {"cut": cut} if cut else {}
            details = {**target.details, "text": text, **cuts}
            outputs[name] = Column(name, target.kind, target.reason, details)
            _check_lengths(table, outputs[name])
            taken = inputs[text]
            if not (taken.kind in readers and readers[taken.kind].words):
                reason = f"a word for each of the tags in '{name}'"
                taken = Column(text, kind.worded(), reason, {"words": True})
            inputs[text] = replace(taken, details={**taken.details, **cuts})
    tagged = [one.details["text"] for one in outputs.values() if "text" in one.details]
    _skip_twins(table, inputs, tagged)
    _skip_counts(table, inputs, outputs)
    skipped |= {name: column.reason for name, column in inputs.items() if column.kind == "skip"}
    schema = Schema(
        tuple(column for column in inputs.values() if column.kind != "skip"),
        tuple(outputs.values()),
        group,
        {name: skipped[name] for name in table.names if name in skipped},
        tuple(name for name, column in inputs.items() if column.details.get("identifies")),
        _reads_of(skipped, inputs, kept),
    )
    if FUSED in schema.modalities():
        raise UserError(
            f"{table.source} has a column of {schema.column(FUSED).kind} called '{FUSED}'",
            expected="another name: the model of all modalities is called so",
            do=f"rename it, or `drop {FUSED}`",
        )
    if not schema.inputs:
        reasons = "; ".join(f"{name}: {why}" for name, why in skipped.items())
        raise UserError(
            f"{table.source} has no column left to learn from",
            expected="at least one input column",
            got=reasons or "target columns only",
            do=_about_inputs(skipped, len(table)),
        )
    read = typed(schema, table)
    for column in schema:
        _check_cells(read, column)
    return schema


def _about_inputs(skipped: Mapping[str, str], rows: int) -> str:
    others = [name for name, why in skipped.items() if why not in ("dropped", "declared")]
    if others and rows == 1:
        return "add rows: there is one only, and what is learned is how rows differ"
    if others:
        return f"mend the cells, or say what they are, for example `kind {others[0]}=text`"
    return "leave fewer columns out" if skipped else "add the columns to predict it from"


def _reads_of(
    skipped: Iterable[str], inputs: Mapping[str, Column], kept: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """How the cells of columns are read that no model reads, such as times to split by."""
    found = {}
    for name in skipped:
        of_column = inputs[name].details if name in inputs else {}
        reads = kept.get(name, {}).get("reads") or of_column.get("reads")
        if reads:
            found[name] = reads
    return found


def _with_stated(column: Column, kept: Mapping[str, dict[str, Any]]) -> Column:
    """A column with what the user says of its cells."""
    said = kept.get(column.name)
    if not said or column.kind == "skip":
        return column
    missing = [*said.get("missing", ()), *column.details.get("missing", ())]
    why = f"; {said['why']}" if "why" in said else ""
    known = {key: value for key, value in said.items() if key != "why"}
    details = {**column.details, **known, **({"missing": missing} if missing else {})}
    return replace(column, details=details, reason=column.reason + why)


def _with_words(table: Table, column: Column) -> Column:
    """A column of texts or files with the words in it that say that nothing is known."""
    room = kind.readers().get(column.kind)
    words = gone(room, table.data.column(column.name)) if room is not None else {}
    if not words:
        return column
    missing = sorted({*column.details.get("missing", ()), *words})
    reason = "; ".join([column.reason, *named(words)])
    return replace(column, reason=reason, details={**column.details, "missing": missing})


def describe(schema: Schema, table: Table) -> list[tuple[str, str, str, str]]:
    """Rows (column, use, kind, why) in the table's order, for printing."""
    found: dict[str, tuple[str, str, str]] = {}
    for name, why in schema.skipped.items():
        found[name] = ("group" if name == schema.group else "skipped", "", why)
    for use, columns in (("input", schema.inputs), ("target", schema.targets)):
        for column in columns:
            empty = table.data.column(column.name).null_count
            missing = f" ({empty:,} of {len(table):,} missing)" if empty else ""
            found[column.name] = (use, column.kind, column.reason + missing)
    return [(name, *found[name]) for name in table.names if name in found]


def validate(schema: Schema, table: Table, *, require_targets: bool) -> Table:
    """The table as a schema reads it (`typed`); columns that it does not know are ignored.

    Raises:
        UserError: columns are missing, a cell is not of its column's kind, or (where targets are
            required) a target has no values at all.
    """
    columns = [*schema.inputs, *(schema.targets if require_targets else ())]
    present = set(table.names)
    lacking = [column.name for column in columns if column.name not in present]
    if lacking:
        matches = {name: lookup.nearest(name, table.names) for name in lacking}
        close = [f"is '{match}' meant to be '{n}'?" for n, match in matches.items() if match]
        raise UserError(
            f"{table.source} lacks {', '.join(map(repr, lacking))}",
            expected=f"the columns {', '.join(column.name for column in columns)}",
            got=", ".join(table.names),
            do=" ".join(close) or _about_lacking(schema, lacking),
        )
    for column in columns:
        _check(table, column)
    table = typed(columns, table)
    for column in columns:
        _check_cells(table, column)
        if column in schema.targets:
            _targets.check_present(table, column.name)
        if column in schema.targets and "text" in column.details:
            _check_lengths(table, column)
    return table


def _about_lacking(schema: Schema, names: Sequence[str]) -> str:
    if schema.targets and {target.name for target in schema.targets} >= set(names):
        return "add what there is to measure against; to predict rows without it, use `predict`"
    return "add them; leave the cells empty where nothing is known"


def _check_arguments(
    table: Table,
    targets: Sequence[str],
    kinds: Mapping[str, str],
    drop: Collection[str],
    group: str | None,
) -> None:
    given = {
        "`target`": targets,
        "`kind`": kinds,
        "`drop`": drop,
        "`group`": [group] if group else [],
    }
    for flag, names in given.items():
        for name in names:
            if name not in table.names:
                what = f"{table.source} has no column '{name}' ({flag})"
                several = [part.strip() for part in str(name).split(",")]
                if len(several) > 1 and set(several) <= set(table.names):
                    alone = ", ".join(f"{flag[:-1]} {one}`" for one in several)
                    raise UserError(what, expected="one column", do=f"name each alone: {alone}")
                raise lookup.unknown(what, str(name), table.names, "check the table's header")
    if group is not None and not arrow.is_plain(table.data.column(group).type):
        raise UserError(
            f"The column '{group}' of {table.source} cannot be a group: its cells hold lists",
            expected="one name or number a row",
            got=f"values of type {table.data.column(group).type}",
            do="name another column (`group`), or join its values into one text",
        )
    if group in targets:
        raise UserError(
            f"The column '{group}' is both the target and the group",
            expected="a group whose rows have several values of the target",
            do="name another `group`, or none: each value would be on one side of the split",
        )
    for name, count in Counter(targets).items():
        if count > 1 or name in drop:
            what = "named twice as a target" if count > 1 else "both a target and dropped"
            raise UserError(f"The column '{name}' is {what}", do="name it once")


def _skip_twins(table: Table, inputs: dict[str, Column], tagged: Sequence[str]) -> None:
    """Skip texts that say exactly what another says; the tagged one and the first are kept."""
    seen: dict[tuple[str, ...], str] = {}
    read = {name: c for name, c in inputs.items() if c.kind != "skip"}
    texts = [name for name, column in read.items() if kind.of(column.kind).words]
    for name in sorted(texts, key=lambda name: name not in tagged):
        cells = table.cells(name)
        pieces = [split(c) if isinstance(c, str) else map(str, c or ()) for c in cells]
        said = tuple(" ".join(p) for p in pieces)
        twin = seen.setdefault(said, name)
        if twin != name and inputs[name].reason != "declared":
            inputs[name] = Column(name, "skip", f"says the same as '{twin}', word for word")


def _skip_counts(table: Table, inputs: dict[str, Column], outputs: Mapping[str, Column]) -> None:
    """Skip numbers that only count the texts of one medium, as Flickr's table has them: they say
    nothing of it, and tell its rows apart."""
    if {column.kind for column in outputs.values()} != {kind.worded()}:
        return
    media = [n for n, c in inputs.items() if c.kind != "skip" and kind.of(c.kind).media]
    names = [n for n in media if arrow.is_text(table.data.column(n).type)]
    if len(names) != 1:
        return
    for name, column in inputs.items():
        if column.kind == "skip" or column.reason == "declared" or name in media:
            continue
        counts: dict[str, list[str]] = {}
        for medium, cell in zip(table.cells(names[0]), table.cells(name), strict=True):
            counts.setdefault(medium, []).append(str(cell).strip())
        if _are_counts([*counts.values()]):
            why = f"counts the rows of one '{names[0]}'; if it says more: `kind {name}=number`"
            inputs[name] = Column(name, "skip", why)


def _are_counts(parts: list[list[str]]) -> bool:
    """Whether the cells of each part are the numbers from 0 on, or each from 1 on, in any order.

    A flag of two rows is 0 and 1 too: most parts have to have three rows or more.
    """
    many = sum(len(cells) > 2 for cells in parts) > len(parts) / 2
    return many and any(
        all({*cells} == {str(i + start) for i in range(len(cells))} for cells in parts)
        for start in (0, 1)
    )


def _check(table: Table, column: Column) -> None:
    """UserError unless the cells of a column are of its kind."""
    cells = table.data.column(column.name).type
    if pa.types.is_null(cells) or column.kind == "skip":
        return
    listed = _targets.cells_of(column.kind)
    if listed is not None:
        nested = _targets.kinds()[column.kind].nested
        fits = nested or arrow.is_text(cells) or arrow.depth(cells)[0] == 1
        expected = listed
    else:
        room = kind.of(column.kind)
        fits, expected = room.fits(column.kind, cells), room.columns[column.kind]
    if not fits:
        raise unfit(table, column, expected, f"values of type {cells}")


def _check_cells(table: Table, column: Column) -> None:
    """UserError if a cell of a table that is typed is not of its column's kind."""
    room = kind.readers().get(column.kind)
    data = table.data.column(column.name)
    if room is None or room.media or not arrow.is_text(data.type):
        return
    if type(room).mistake is kind.Kind.mistake:
        return
    for row, cell in enumerate(data.to_pylist()):
        why = room.mistake(column.kind, cell)
        if why is not None:
            shown = f"{cell!r:.80} in row {row}, which {why}"
            raise unfit(table, column, room.columns[column.kind], shown)


def _check_lengths(table: Table, column: Column) -> None:
    """UserError if a row has not as many tags as words."""
    text, cut = column.details["text"], column.details.get("cut")
    marks = tags.counts(table.data.column(column.name))
    words = tags.lengths(table.data.column(text), cut)
    wrong = np.flatnonzero((marks >= 0) & (words >= 0) & (marks != words))
    if len(wrong):
        row = int(wrong[0])
        raise UserError(
            f"'{column.name}' of {table.source} has not as many tags as words in {len(wrong)} rows",
            expected=f"as many tags as '{text}' has words",
            got=f"{marks[row]} tags and {words[row]} words in row {row}",
            do="mend these rows, or leave them out",
        )
