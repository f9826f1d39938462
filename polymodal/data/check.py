"""What is wrong, or may be, with a table before anything is trained on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.columns import MEDIA, TABLE, Column, Schema
from polymodal.contract import Form
from polymodal.data import _leaks
from polymodal.data.cache import Files, default_folder
from polymodal.data.cells import cells, content_keys
from polymodal.data.read import Table
from polymodal.data.split import codes, labels
from polymodal.errors import UserError
from polymodal.forms.table import _values as values

SEVERITIES = ("error", "warning", "info")
FEW_ROWS, SOME_ROWS = 5, 10
# What share of rows makes a nuisance a warning.
MANY_MISSING, MANY_REPEATS = 0.5, 0.01
# Rows of few-valued columns repeat without being copies; then this share of them does.
NATURAL_REPEATS = 0.1
# How much of a constant guess's errors one column may avoid before it is pointed out.
STRONG, GIVES_AWAY = 0.8, 0.95
# Texts shorter than this many words repeat without coming from one source.
LONG_TEXT = 8
# Media cells a column that are decoded as a sample.
SAMPLE = 200

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Finding:
    """One thing to know.

    Attributes:
        severity: "error": training or measuring will fail; "warning": figures may not mean what
            they seem to; "info": worth knowing.
        what: a sentence, with the count.
        count: of rows, classes or cells.
        example: one of them, in words, or "".
        advice: what to do, or "".
    """

    severity: str
    what: str
    count: int
    example: str = ""
    advice: str = ""


@dataclass
class Report:
    """All findings, the worst first."""

    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.findings.sort(key=lambda f: SEVERITIES.index(f.severity))

    def lines(self) -> list[str]:
        """For printing: what, with an example and advice."""
        lines = []
        for f in self.findings:
            example = f" (for example {f.example})" if f.example else ""
            lines.append(
                f"{f.severity:<8} {f.what}{example}." + (f" {f.advice}." if f.advice else "")
            )
        return lines

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(f) for f in self.findings]


def check(
    train: Table,
    schema: Schema,
    valid: Table | None = None,
    test: Table | None = None,
    *,
    cache: Path | None = None,
    forms: Mapping[str, Form] | None = None,
) -> Report:
    """Look for what spoils training or flatters its figures.

    Repeated rows and media (by content) within and across tables, columns that give a target
    away, classes with few rows, missing and constant columns, unreadable media, groups on both
    sides, equal inputs with different targets.

    Args:
        valid, test: tables that must not share rows, media or groups with `train`.
        cache: where files' hashes are remembered; by default the cache's folder.
        forms: modality -> form that decodes a sample of it; without one media are only opened.
    """
    tables = [t for t in (train, valid, test) if t is not None]
    findings = _targets(train, schema) + _columns(train, schema)
    with Files(cache or default_folder()) as files:
        contents = {}
        for column in schema.inputs:
            contents[column.name], found = _contents(tables, column, files)
            findings += found
    for name, form in (forms or {}).items():
        findings += _sample(train, schema.column(name), form)
    findings += _rows(tables, schema, contents)
    for column in schema.inputs:
        if column.kind not in TABLE:
            findings += _column_repeats(tables, schema, column, contents)
    findings += _groups(tables, schema) + _give_aways(train, schema)
    return Report(findings)


def _targets(train: Table, schema: Schema) -> list[Finding]:
    findings = []
    for target in schema.targets:
        missing = train.data.column(target.name).null_count
        if missing:
            what = f"{missing:,} of {len(train):,} rows have no '{target.name}' to learn from"
            findings.append(Finding("info", what, missing))
        if target.kind == "number":
            different = len(set(train.cells(target.name)) - {None})
        else:
            counts = Counter(label for row in labels(train, target) for label in set(row))
            different = len(counts)
            findings += _small_classes(target, counts)
        if different < 2:
            what = f"Target '{target.name}' has {different} different value(s): nothing to learn"
            findings.append(Finding("error", what, different))
    return findings


def _small_classes(target: Column, counts: Counter[str]) -> list[Finding]:
    findings = []
    for severity, low, high in (("warning", 0, FEW_ROWS), ("info", FEW_ROWS, SOME_ROWS)):
        small = sorted((n, name) for name, n in counts.items() if low <= n < high)
        if small:
            what = f"{len(small):,} of {len(counts):,} classes of '{target.name}' have fewer than"
            example = f"'{small[0][1]}' has {small[0][0]}"
            advice = "Collect more of them, merge them, or expect them to be missed"
            findings.append(Finding(severity, f"{what} {high} rows", len(small), example, advice))
    return findings


def _columns(train: Table, schema: Schema) -> list[Finding]:
    findings = []
    for column in schema.inputs:
        cells = train.data.column(column.name)
        missing = cells.null_count
        if missing:
            what = f"{missing:,} of {len(train):,} cells of '{column.name}' are missing"
            severity = "warning" if missing >= MANY_MISSING * len(train) else "info"
            findings.append(Finding(severity, what, missing))
        if column.kind not in MEDIA and len(set(map(repr, cells.to_pylist()))) == 1:
            what = f"Column '{column.name}' holds the same in all {len(train):,} rows"
            advice = f"Leave it out: --drop {column.name}"
            findings.append(Finding("warning", what, len(train), advice=advice))
    return findings


def _contents(
    tables: Sequence[Table], column: Column, files: Files
) -> tuple[list[list[Any]], list[Finding]]:
    """A column's cells, comparable across tables (media and texts by hash); unreadable media."""
    found: list[list[Any]] = []
    findings = []
    for table in tables:
        if column.kind in TABLE:
            one = values.category if column.kind != "set" else _joined
            found.append([one(cell) for cell in table.cells(column.name)])
            continue
        keys, reasons = content_keys(table, column, files)
        found.append(keys)
        if reasons:
            what = f"{len(reasons):,} of {len(table):,} cells of '{column.name}' in {table.source}"
            example = reasons[min(reasons)]
            advice = "Mend or empty them, or skip their rows with --max-bad-rows"
            findings.append(
                Finding("error", f"{what} cannot be read", len(reasons), example, advice)
            )
    return found, findings


def _joined(cell: Any) -> str | None:
    return None if cell is None else repr(cell)


def _sample(train: Table, column: Column, form: Form) -> list[Finding]:
    """Decode some cells, to find those that open but are broken."""
    rows = np.unique(np.linspace(0, len(train) - 1, SAMPLE).astype(int))
    reasons = []
    for row in rows:
        try:
            for cell in cells(train, [column], np.array([row])):
                if cell is not None:
                    form.encode(cell)
        except UserError as error:
            reasons.append(error.what)
    if not reasons:
        return []
    what = f"{len(reasons):,} of {len(rows):,} sampled cells of '{column.name}' cannot be decoded"
    return [Finding("error", what, len(reasons), reasons[0], "Mend, empty or replace them")]


def _rows(
    tables: Sequence[Table], schema: Schema, contents: Mapping[str, list[list[Any]]]
) -> list[Finding]:
    """Rows with equal inputs, within the training table and across tables."""
    ends = np.cumsum([len(table) for table in tables])
    everything = zip(*(sum(contents[c.name], []) for c in schema.inputs), strict=True)
    parts = np.split(codes(everything), ends[:-1])
    train = tables[0]
    repeats = _repeats(parts[0])
    few_valued = all(c.kind in TABLE for c in schema.inputs)
    natural = few_valued and repeats.sum() > NATURAL_REPEATS * len(train)
    findings = []
    if repeats.any():
        many = repeats.sum() > MANY_REPEATS * len(train) and not natural
        what = f"{repeats.sum():,} of {len(train):,} rows repeat the inputs of an earlier row"
        advice = "" if natural else "Remove them; else they count twice (splits keep them together)"
        example = f"row {np.flatnonzero(repeats)[0]}"
        severity = "warning" if many else "info"
        findings.append(Finding(severity, what, int(repeats.sum()), example, advice))
    if natural:
        return findings
    for table, part in zip(tables[1:], parts[1:], strict=True):
        known = np.flatnonzero(np.isin(part, parts[0]))
        if len(known):
            what = f"{len(known):,} of {len(table):,} rows of {table.source} are also in"
            findings.append(
                Finding(
                    "warning",
                    f"{what} {train.source}",
                    len(known),
                    f"row {known[0]}",
                    "Remove them from one of the tables: on them a model is measured by memory",
                )
            )
    return findings + _noise(train, schema, parts[0])


def _repeats(found: Array) -> Array:
    """True for every row whose code an earlier row has."""
    repeated = np.ones(len(found), bool)
    repeated[np.unique(found, return_index=True)[1]] = False
    return repeated


def _noise(train: Table, schema: Schema, rows: Array) -> list[Finding]:
    """Equal inputs with different classes."""
    findings = []
    for target in schema.targets:
        if target.kind != "category":
            continue
        known = _leaks.target_values(train, target)
        assert known is not None
        pairs = np.unique(np.stack([rows, known])[:, known >= 0], axis=1)
        contradicted = pairs[0][1:][np.diff(pairs[0]) == 0]
        count = int(np.isin(rows, contradicted).sum())
        if count:
            what = f"{count:,} rows have the inputs of another row but not its '{target.name}'"
            first = np.flatnonzero(rows == contradicted[0])[:2].tolist()
            severity = "warning" if count > MANY_REPEATS * len(train) else "info"
            example = f"rows {first[0]} and {first[1]}"
            findings.append(Finding(severity, what, count, example, "Correct their labels"))
    return findings


def _column_repeats(
    tables: Sequence[Table],
    schema: Schema,
    column: Column,
    contents: Mapping[str, list[list[Any]]],
) -> list[Finding]:
    """One medium or long text in several rows that differ otherwise: a group, perhaps split."""
    own = contents[column.name]
    if column.kind == "text" and not _long(tables[0].cells(column.name)):
        return []
    others = [contents[c.name] for c in schema.inputs if c is not column]
    findings = []
    train = tables[0]
    group = train.cells(schema.group) if schema.group else range(len(train))
    seen: dict[Any, tuple[Any, Any]] = {}
    shared = 0
    for row, key in enumerate(own[0]):
        if key is None:
            continue
        rest = tuple(other[0][row] for other in others)
        first = seen.setdefault(key, (group[row], rest))
        # Whole repeated rows are another finding, and a group that holds them all is no problem.
        shared += first[0] != group[row] and (not others or first[1] != rest)
    if shared:
        what = f"{shared:,} of {len(train):,} rows have the {column.kind} of another row in"
        advice = f"If rows with one {column.kind} belong together, say so: --group COLUMN"
        severity = "warning" if shared > MANY_REPEATS * len(train) else "info"
        findings.append(Finding(severity, f"{what} '{column.name}'", shared, advice=advice))
    for i, table in enumerate(tables[1:], 1):
        rows = [row for row, key in enumerate(own[i]) if key is not None and key in seen]
        if rows:
            what = f"{len(rows):,} of {len(table):,} rows of {table.source} have the {column.kind}"
            findings.append(
                Finding(
                    "warning",
                    f"{what} of a row of {train.source} in '{column.name}'",
                    len(rows),
                    f"row {rows[0]}",
                    "Split by what they share, or figures flatter",
                )
            )
    return findings


def _long(texts: Sequence[Any]) -> bool:
    """Whether most texts are long and few occur often: "yes" repeats, an article does not."""
    present = [str(text) for text in texts if text is not None]
    words = [len(text.split()) for text in present]
    return bool(present) and float(np.median(words)) >= LONG_TEXT and _mostly_new(present)


def _mostly_new(present: Sequence[str]) -> bool:
    return len(set(present)) > len(present) / 20


def _groups(tables: Sequence[Table], schema: Schema) -> list[Finding]:
    if schema.group is None:
        return []
    trained = set(tables[0].cells(schema.group)) - {None}
    findings = []
    for table in tables[1:]:
        if schema.group not in table.names:
            continue
        rows = [row for row, g in enumerate(table.cells(schema.group)) if g in trained]
        if rows:
            what = f"{len(rows):,} of {len(table):,} rows of {table.source} belong to a"
            findings.append(
                Finding(
                    "warning",
                    f"{what} '{schema.group}' that {tables[0].source} has too",
                    len(rows),
                    f"row {rows[0]}",
                    "Figures on them say nothing about new groups",
                )
            )
    return findings


def _give_aways(train: Table, schema: Schema) -> list[Finding]:
    """The strongest signal of each column, where it nearly alone tells a target."""
    found = list(_leaks.signals(train, schema))
    findings = []
    for target in schema.targets:
        truth = _leaks.target_values(train, target)
        if truth is None:
            continue
        best: dict[str, tuple[float, str, Column | None]] = {}
        for phrase, column, signal in found:
            name = column.name if column else ""
            strength = _leaks.strength(signal, truth)
            if strength > best.get(name, (STRONG,))[0]:
                best[name] = (strength, phrase, column)
        for strength, phrase, column in best.values():
            what = f"{phrase[0].upper()}{phrase[1:]} alone avoids {strength:.0%} of the errors of"
            read = column is not None and column.kind not in MEDIA
            serious = read and strength >= GIVES_AWAY
            advice = "No model reads it, so that it does no harm; do not sort or split by it"
            if column is not None and read:
                advice = "Would it be known before the target is? "
                advice += f"If not: --drop {column.name}"
            findings.append(
                Finding(
                    "warning" if serious else "info",
                    f"{what} guessing '{target.name}'",
                    len(train),
                    advice=advice,
                )
            )
    return findings
