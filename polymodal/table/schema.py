"""The schema: each column's name, kind and the reason for it; fixed once, saved in every run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from polymodal.base import lookup
from polymodal.contract import kind

# Column kinds that no modality reads: of targets a label per token, and boxes in a picture; and of
# what nothing reads.
UNREAD = ("tags", "boxes", "skip")

# What the model of all modalities is called; no modality may be called so.
FUSED = "fused"

# Behind it a reason may quote a cell: "constant: always ...", "an id: ..., such as ...".
_QUOTED = re.compile(r"[:,;] ")


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        name: as in the table's header.
        kind: what a modality reads (`contract.kind.readers`), or one of UNREAD.
        reason: why it has this kind, in words for the printed table ("declared", "98 % of 2 700
            values are paths of .wav files", ...).
        details: what else the kind means, JSON-able: of tags, `{"text": the column they label,
            "cut": how its strings are cut into words (`table.cuts.CUTS`)}`; of a string column that
            they label, the same "cut"; of a text given as lists of words, `{"words": True}`; of a
            column that is skipped because it only identifies rows, `{"identifies": True}`; of cells
            that are not written as computers write them, `{"reads": how (`table.reading.Reading`),
            "missing": words that say that nothing is known}`; of numbers that could be meant
            otherwise, `{"open": such a cell}`.
    """

    name: str
    kind: str
    reason: str = "declared"
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = [*kind.readers(), *UNREAD]
        if self.kind not in known:
            what = f"Column '{self.name}' was given the unknown kind '{self.kind}'"
            raise lookup.unknown(what, self.kind, known, f"`kind {self.name}=text`, for example")


@dataclass(frozen=True)
class Schema:
    """The checked list of columns: data contract, serving contract and model card in one.

    Attributes:
        inputs: the columns that a model may read, in the table's order.
        targets: the columns to predict.
        group: column whose equal values must not be split apart, or None.
        skipped: column name -> why no model reads it (id, constant, duplicate of another, ...).
        identifiers: those of `skipped` that only tell which row it is.
        reads: those of `skipped` that are numbers or dates -> how their cells are read.
    """

    inputs: tuple[Column, ...]
    targets: tuple[Column, ...]
    group: str | None = None
    skipped: dict[str, str] = field(default_factory=dict)
    identifiers: tuple[str, ...] = ()
    reads: dict[str, dict[str, Any]] = field(default_factory=dict)

    def discreet(self) -> Schema:
        """The same for others' eyes: without the cells that reasons and details quote."""

        def told(column: Column) -> Column:
            details = {key: value for key, value in column.details.items() if key != "open"}
            return Column(column.name, column.kind, details=details)

        return replace(
            self,
            inputs=tuple(map(told, self.inputs)),
            targets=tuple(map(told, self.targets)),
            skipped={name: _QUOTED.split(why)[0] for name, why in self.skipped.items()},
        )

    def __iter__(self) -> Iterator[Column]:
        yield from self.inputs
        yield from self.targets

    def column(self, name: str) -> Column:
        """The column called `name`; a KeyError if the schema has none."""
        for column in self:
            if column.name == name:
                return column
        raise KeyError(name)

    def modalities(self) -> dict[str, list[Column]]:
        """Modality name -> its columns: one each, but several of a joint kind such as "table"."""
        grouped: dict[str, list[Column]] = {}
        taken = {c.name for c in self.inputs if not kind.of(c.kind).joint}
        for column in self.inputs:
            reader = kind.of(column.kind)
            name = column.name
            if reader.joint:
                name = reader.name if reader.name not in taken else f"{reader.name} (columns)"
            grouped.setdefault(name, []).append(column)
        return grouped

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, described: dict[str, Any]) -> Schema:
        def columns(items: Iterable[dict[str, Any]]) -> tuple[Column, ...]:
            return tuple(Column(**item) for item in items)

        return cls(
            columns(described["inputs"]),
            columns(described["targets"]),
            described["group"],
            dict(described["skipped"]),
            tuple(described["identifiers"]),
            dict(described.get("reads", {})),
        )
