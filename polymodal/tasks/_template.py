"""Templates: words and columns in the order in which a decoder reads a row."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.kind import of, pictured
from polymodal.nn.tokens import Tokens, part
from polymodal.table import chat
from polymodal.table.chat import Turn

# A place of a medium in a text, with its name between: no text of anybody's holds these.
OPEN, SHUT = "\ue000", "\ue001"
PLACE = re.compile(f"{OPEN}(.*?){SHUT}", re.DOTALL)
_STRANGE = re.compile(f"[{OPEN}{SHUT}]")


@dataclass(frozen=True)
class Template:
    """Words and columns in the order in which a decoder reads them.

    Attributes:
        parts: words, each with the column that follows them; None after the last.
        kinds: column -> its kind, of the columns that it can name.
        modalities: column -> the modality that reads it.
    """

    parts: Sequence[tuple[str, str | None]]
    kinds: Mapping[str, str] = field(default_factory=dict)
    modalities: Mapping[str, str] = field(default_factory=dict)

    @property
    def named(self) -> list[str]:
        """The columns that it names, each once."""
        return list(dict.fromkeys(name for _, name in self.parts if name is not None))

    @property
    def spelled(self) -> list[str]:
        """Those of them that are read as text."""
        return [name for name in self.named if not of(self.kinds[name]).media]

    @property
    def read(self) -> set[str]:
        """All columns that are read: a conversation's media stand where it has them."""
        if not any(self.kinds[name] == chat.KIND for name in self.named):
            return set(self.named)
        return {*self.named, *(name for name in self.kinds if chat.is_medium(name))}

    @property
    def shown(self) -> set[str]:
        """Those of them that are pictures."""
        return {name for name in self.read if self.kinds[name] == pictured()}

    def placed(
        self, target: str, kinds: Mapping[str, str], modalities: Mapping[str, str]
    ) -> Template:
        """The same of a table's columns.

        Raises:
            UserError: it names a column that is no input.
        """
        for name in self.named:
            if name == target:
                raise UserError(
                    f"The template names '{name}', which is to be written",
                    expected=f"what is read before it: {', '.join(kinds)}",
                )
            if name not in kinds:
                what = f"The template names '{name}', which is no input column"
                raise lookup.unknown(what, name, list(kinds))
        return Template(self.parts, kinds, modalities)

    def render(self, texts: Mapping[str, str], tokens: Tokens | None) -> str:
        """A row's text; media stand in it between OPEN and SHUT, by their column's name.

        Args:
            texts: column -> what it says; of a conversation its turns as `table.chat` writes them.
            tokens: the decoder's, whose way to write a conversation is used, if it has one.
        """
        # Of a decoder that looks at pictures no text says that there is one.
        sign = "" if tokens is None else tokens.sign
        texts = {name: text.replace(sign, "") for name, text in texts.items()} if sign else texts
        found = ""
        for words, name in self.parts:
            found += words
            if name is None:
                continue
            if of(self.kinds[name]).media:
                found += f"{OPEN}{name}{SHUT}"
            elif self.kinds[name] == chat.KIND:
                found += _spoken(self._turns(texts.get(name)), tokens, self.shown)
            else:
                found += _STRANGE.sub("", texts.get(name, ""))
        return found

    def _turns(self, cell: str | None) -> Sequence[Turn]:
        """A conversation's; of one that is absent or hidden the media stand alone."""
        if cell is not None:
            return chat.turns(cell)
        media = [name for name in self.kinds if chat.is_medium(name) and name not in self.named]
        return [Turn(chat.ROLES[1], [("", name) for name in media])]

    def shortened(self, texts: Mapping[str, str], share: float) -> dict[str, str] | None:
        """The texts with the beginning of the longest one left out; None: there is none.

        Args:
            share: of it that has to go, about.
        """
        longest = max(self.spelled, key=lambda name: len(texts.get(name, "")), default=None)
        if longest is None or not texts.get(longest):
            return None
        text = texts[longest]
        if self.kinds[longest] == chat.KIND:
            less = chat.shortened(text, share)
            return None if less is None else {**texts, longest: less}
        return {**texts, longest: text[1 + int(len(text) * min(1.0, share)) :]}

    def to_json(self) -> dict[str, Any]:
        parts = [list(part) for part in self.parts]
        return {"parts": parts, "kinds": dict(self.kinds), "modalities": dict(self.modalities)}

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> Template:
        parts = [(words, name) for words, name in described["parts"]]
        return cls(parts, described["kinds"], described["modalities"])


def parsed(text: str) -> Template:
    """ "{photo} Question: {question}" as a Template; "{{" and "}}" are braces.

    Raises:
        UserError: braces that do not close, or no column.
    """
    expected = "columns in braces: '{photo} Question: {question} Answer:'"
    try:
        pieces = [
            (words, name and name + (f"!{how}" if how else "") + (f":{form}" if form else ""))
            for words, name, form, how in Formatter().parse(_STRANGE.sub("", text))
        ]
    except ValueError as error:
        what = f"The template {text!r:.120} is broken ({error})"
        raise UserError(what, expected=expected, do="write {{ for a brace itself") from error
    found = Template([(words, name or None) for words, name in pieces])
    if any(name == "" for _, name in pieces) or not found.named:
        raise UserError(f"The template {text!r:.120} names no column", expected=expected)
    return found


def usual(target: str, kinds: Mapping[str, str]) -> Template:
    """A line a column, media first, the target's name last; a conversation as it was spoken."""
    spoken = next((name for name, kind in kinds.items() if kind == chat.KIND), None)
    if spoken is not None:
        return Template([("", spoken)], kinds)
    media = [name for name, kind in kinds.items() if of(kind).media]
    parts: list[tuple[str, str | None]] = [("", name) for name in media]
    end = "\n" if media else ""
    for name in kinds:
        if name not in media:
            parts.append((f"{end}{name}: ", name))
            end = "\n"
    return Template([*parts, (f"{end}{target}:\n", None)], kinds)


def divided(rendered: str) -> list[tuple[str, str]]:
    """A row's text as (words, the medium that follows them); "" after the last."""
    pieces = PLACE.split(rendered)
    return list(zip(pieces[::2], [*pieces[1::2], ""], strict=True))


def _spoken(turns: Sequence[Turn], tokens: Tokens | None, shown: Collection[str]) -> str:
    """A conversation up to where the next answer begins.

    Args:
        shown: columns of pictures.
    """
    if tokens is not None and tokens.picture and tokens.template is not None:
        return _seen(turns, tokens, shown)
    said = [{"role": one.role, "content": _content(one)} for one in turns]
    own = None if tokens is None else tokens.spoken(said)
    if own is not None:
        return own
    return "".join(f"{one['role']}: {one['content']}\n" for one in said) + f"{chat.ASSISTANT}: "


def _seen(turns: Sequence[Turn], tokens: Tokens, shown: Collection[str]) -> str:
    """The same of a model that looks at pictures: they stand where it was taught them."""
    said, names = [], []
    for turn in turns:
        parts: list[dict[str, str]] = []
        for words, column in turn.parts:
            if column in shown:
                names.append(str(column))
                parts.append(part(None))
            else:
                place = f"{OPEN}{column}{SHUT}"
                parts.append(part(_STRANGE.sub("", words) if column is None else place))
        said.append({"role": turn.role, "content": parts})
    pieces = (tokens.spoken(said) or "").split(tokens.picture)
    if len(pieces) != len(names) + 1:
        raise UserError(
            "The decoder's own template does not show all pictures of a conversation",
            expected=f"{len(names):,} pictures",
            got=f"{len(pieces) - 1:,} of '{tokens.picture}'",
            do="have pictures in the user's turns alone",
        )
    places = [f"{OPEN}{name}{SHUT}" for name in names]
    return "".join(map("".join, zip(pieces, [*places, ""], strict=True)))


def _content(turn: Turn) -> str:
    return "".join(
        _STRANGE.sub("", said) if column is None else f"{OPEN}{column}{SHUT}"
        for said, column in turn.parts
    )
