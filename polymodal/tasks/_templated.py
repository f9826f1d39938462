"""What tasks share whose decoder reads a row as a template says it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from polymodal.base.errors import UserError
from polymodal.base.spelling import is_missing, prose
from polymodal.contract.form import Form
from polymodal.contract.kind import worded
from polymodal.contract.writing import Writing
from polymodal.nn.tokens import Tokens
from polymodal.tasks._prompt import Reader
from polymodal.tasks._template import Template, divided, parsed, usual

# So many rows at least, and less than twice as many, are looked at beforehand.
LOOKED_AT = 10_000
# What an encoder declares that brings cells along.
SPELLS = "spells"


class Templated(Writing):
    """A task with a template: the one that is given, or the usual one of a table's columns.

    Args:
        name: the target's column.
        template: as it is given.

    Attributes:
        placed: the template of the table's columns; None: nothing is read so.
        tokens: the decoder's; known after `fit`.
        sees: whether the decoder looks at pictures by itself.
        seen_by: the path of what sees them, where it does not learn to.

    Raises:
        UserError: it is no template.
    """

    tokens: Tokens
    sees: bool = False
    seen_by: str | None = None

    def __init__(self, name: str, template: str | None) -> None:
        self.name, self.template = name, template
        self.given = None if template is None else parsed(template)
        self.placed: Template | None = None
        self._seen: list[dict[str, str]] = []

    @abstractmethod
    def wants_template(self, kinds: Collection[str]) -> bool:
        """Whether there is a template though none is given, of columns of some kinds."""

    @property
    def asks(self) -> Mapping[str, tuple[str, ...]]:
        """Texts that the template names come as they are, and pictures that are looked at."""
        if self.placed is None:
            return {}
        shown = sorted(self.placed.shown) if self.sees else []
        return {self.placed.modalities[name]: (SPELLS,) for name in [*self.placed.spelled, *shown]}

    @property
    def read_by(self) -> Mapping[str, Mapping[str, Any]]:
        """Pictures are looked at once, and what is seen is kept, where that does not learn."""
        if self.placed is None or not self.sees:
            return {}
        shown = sorted(self.placed.shown)
        return {self.placed.modalities[name]: {"seen_by": self.seen_by} for name in shown}

    @property
    def named(self) -> list[str]:
        return [] if self.given is None else self.given.named

    def introduce(
        self, modalities: Mapping[str, Mapping[str, str]], cells: Callable[[str], Sequence[Any]]
    ) -> None:
        """Find the template's columns, or the usual template, and look at what rows say."""
        modalities = self.readable(modalities)
        kinds = {name: kind for own in modalities.values() for name, kind in own.items()}
        given = self.given
        if given is None and self.wants_template(kinds.values()):
            given = usual(self.name, kinds)
        if given is None:
            return
        whose = {name: modality for modality, own in modalities.items() for name in own}
        self.placed = given.placed(self.name, kinds, whose)
        columns = {name: cells(name) for name in self.placed.spelled}
        count = max(map(len, columns.values()), default=0)
        self._seen = [
            self._of({name: own[i] for name, own in columns.items()})
            for i in range(0, count, max(1, count // LOOKED_AT))
        ]

    def readable(
        self, modalities: Mapping[str, Mapping[str, str]]
    ) -> Mapping[str, Mapping[str, str]]:
        """Those of the modalities that a template may name."""
        return modalities

    def prompts(self) -> list[str]:
        """What the rows that were looked at say, to train a tokenizer on."""
        if self.placed is None:
            return []
        rendered = [self.placed.render(texts, None) for texts in self._seen]
        return [words for one in rendered for words, _ in divided(one) if words]

    def reader(self, forms: Mapping[str, Form], room: int) -> Reader | None:
        """Of a model's modalities; None without a template.

        Args:
            forms: modality -> its form, in the model's order.
            room: places before the text.
        """
        if self.placed is None:
            return None
        if room < 1:
            raise UserError(
                f"There is no place before the longest text of '{self.name}'",
                expected="a context longer than the longest text",
                got=f"{1 - room:,} places too few",
                do="raise `context` of the decoder",
            )
        found = Reader(self.placed, self.tokens, forms, room)
        for name in found.sees:
            if (by := forms[name].seen_by) not in (None, self.seen_by):
                raise UserError(
                    f"The decoder of '{self.name}' does not see the pictures of '{name}' as they "
                    "are kept",
                    expected=f"seen_by: {self.seen_by or 'null, as it learns to see'}",
                    got=f"seen_by: {by}",
                    do="leave `seen_by` of the modality's form out",
                )
        return found

    def longer(self, room: int) -> int:
        """How many of the rows that were looked at have more pieces, media apart, than room."""
        reader = self.reader({}, room)
        if reader is None:
            return 0
        return sum(len(reader.pieces(one, {})) > room for one in self._seen)

    def read_remarks(self, long: int) -> list[tuple[str, str]]:
        """Of rows that have more to read than there is room for, and of columns left out.

        Args:
            long: what `longer` found.
        """
        found = []
        if long:
            what = f"{long:,} of {len(self._seen):,} rows have more to read before '{self.name}'"
            found += [("warning", f"{what} than there is room for: texts lose their beginning")]
        names = [] if self.placed is None else [*self.placed.kinds]
        unread = [name for name in names if self.placed and name not in self.placed.read]
        if unread:
            what = f"The template of '{self.name}' does not name {', '.join(unread)}"
            found += [("info", f"{what}: what is written does not depend on it")]
        return found

    def sample(self, row: Mapping[str, Any], cell: Any) -> str | None:
        if self.placed is None:
            return None
        pieces = divided(self.placed.render(self._of(row), self.tokens))
        read = "".join(words + (f"《{name}》" if name else "") for words, name in pieces)
        own = self.form.decode(self.form.encode(cell))
        return f"{read}⟦{own if isinstance(own, str) else own[0]}{self.tokens.mark}⟧"

    def _of(self, row: Mapping[str, Any]) -> dict[str, str]:
        """The texts of what is not missing."""
        assert self.placed is not None
        found = {}
        for name in self.placed.spelled:
            if not is_missing(cell := row.get(name)):
                cut = isinstance(cell, list) and self.placed.kinds[name] == worded()
                found[name] = " ".join(map(str, cell or ())) if cut else prose(cell)
        return found
