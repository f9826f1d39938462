"""What a decoder reads of a row, as a template says it: words, cells, and places of media."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from string import Formatter
from typing import Any

import numpy as np

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Fused
from polymodal.contract.kind import of, pictured
from polymodal.modalities.image.forms.whole import pixels
from polymodal.nn.tokens import Look, Tokens, part
from polymodal.table import chat
from polymodal.table.chat import Turn

Array = np.ndarray[Any, Any]

# A place of a medium in a text, with its name between: no text of anybody's holds these.
OPEN, SHUT = "\ue000", "\ue001"
_PLACE = re.compile(f"{OPEN}(.*?){SHUT}", re.DOTALL)
_STRANGE = re.compile(f"[{OPEN}{SHUT}]")
# So often at most a text is shortened until a row has room.
TRIES = 24


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
    pieces = _PLACE.split(rendered)
    return list(zip(pieces[::2], [*pieces[1::2], ""], strict=True))


def medium(number: int) -> int:
    """What stands, in the place of a piece, where a token of the model's modality stands."""
    return -1 - number


class Reader:
    """Rows as pieces and places of media.

    Args:
        template: of the columns.
        tokens: the decoder's.
        names: the modalities of the model, in order.
        room: places that a row may have.

    Attributes:
        media: the modalities whose tokens are read.
        sees: those whose pictures the decoder looks at by itself.
    """

    def __init__(self, template: Template, tokens: Tokens, names: Sequence[str], room: int) -> None:
        self.template, self.tokens, self.room = template, tokens, room
        self.numbers = {name: number for number, name in enumerate(names)}
        whose = {n: own for n, own in template.modalities.items() if own in self.numbers}
        shown = template.shown if tokens.picture else set()
        self.sees = {whose[name] for name in shown if name in whose}
        self.media = {
            whose[name]
            for name in template.read - shown
            if of(template.kinds[name]).media and name in whose
        }
        self._pieces = lru_cache(1 << 16)(tokens.prompt)

    def looks(self, fused: Fused) -> dict[str, list[Look | None]]:
        """Each modality's pictures as the decoder looks at them; None where a row lacks one."""
        found: dict[str, list[Look | None]] = {}
        for name in self.sees:
            own, here = fused.own[name].spelled, fused.tokens[name].present().tolist()
            given = [None] * len(here) if own is None else own.cpu().numpy()
            found[name] = [
                self.tokens.look(pixels(one)) if there and one is not None else None
                for one, there in zip(given, here, strict=True)
            ]
        return found

    def read(
        self, fused: Fused, looks: Mapping[str, Sequence[Look | None]] | None = None
    ) -> list[Array]:
        """Each row as `(places, 2)`: a piece, or `medium` and which of the medium's tokens.

        Args:
            looks: at its pictures, of a decoder that looks at them.
        """
        counts = {
            name: tokens.mask.sum(1).tolist()
            for name, tokens in fused.tokens.items()
            if name in self.media
        }
        rows = self._texts(fused)
        return [
            self._row(
                texts,
                {name: own[row] for name, own in counts.items()},
                {name: look for name, own in (looks or {}).items() if (look := own[row])},
            )
            for row, texts in enumerate(rows)
        ]

    def shown(self, row: Array) -> tuple[Array, list[str]]:
        """A row's pieces as the decoder knows them, and the modalities of its pictures in order."""
        names = {medium(self.numbers[name]): name for name in self.sees}
        seats = np.isin(row[:, 0], list(names))
        ids = np.where(seats, self.tokens.seat, row[:, 0].clip(0))
        return ids, [names[piece] for piece in row[seats & (row[:, 1] == 0), 0].tolist()]

    def pieces(
        self,
        texts: Mapping[str, str],
        counts: Mapping[str, int],
        looks: Mapping[str, Look] | None = None,
    ) -> Array:
        """One row, however long."""
        rendered, seats = self._shown(self.template.render(texts, self.tokens), looks or {})
        parts = [np.zeros((0, 2), np.int64)]
        for i, (words, column) in enumerate(divided(rendered)):
            # What stands for a picture is long, and comes once.
            read = self.tokens.prompt if len(seats) else self._pieces
            ids = read(words, not i) if words or not i else ()
            parts.append(np.stack([ids, np.zeros(len(ids), np.int64)], 1).astype(np.int64))
            name = self.template.modalities.get(column, "")
            if count := counts.get(name, 0):
                places = np.arange(count)
                parts.append(np.stack([np.full(count, medium(self.numbers[name])), places], 1))
        found = np.concatenate(parts)
        if len(seats):
            found[found[:, 0] == self.tokens.seat] = seats
        # Something has to be read before the first piece is told.
        return found if len(found) else np.array([[self.tokens.end, 0]])

    def _shown(self, rendered: str, looks: Mapping[str, Look]) -> tuple[str, Array]:
        """The text with what stands for its pictures, and whose tokens `(n, 2)` these are."""
        seats = [np.zeros((0, 2), np.int64)]

        def put(place: re.Match[str]) -> str:
            name = self.template.modalities.get(place[1], "")
            if name not in self.sees:
                return place[0]
            if name not in looks:
                return ""
            places = np.arange(looks[name].text.count(self.tokens.sign))
            seats.append(np.stack([np.full(len(places), medium(self.numbers[name])), places], 1))
            return looks[name].text

        found = _PLACE.sub(put, rendered)
        if self.tokens.sign and found.count(self.tokens.sign) != sum(map(len, seats)):
            raise UserError(
                f"The template has '{self.tokens.sign}', which stands for a picture's tokens",
                expected="columns in braces: '{photo} Question: {question} Answer:'",
                do="name the picture's column instead",
            )
        return found, np.concatenate(seats)

    def _row(
        self, texts: Mapping[str, str], counts: Mapping[str, int], looks: Mapping[str, Look]
    ) -> Array:
        found = self.pieces(texts, counts, looks)
        tries = 0
        while len(found) > self.room:
            written = max(1, int((found[:, 0] >= 0).sum()))
            # Words of the template and marks cannot go: texts have to lose more than their share.
            share = (1 + tries / 2) * (len(found) - self.room) / written
            less = self.template.shortened(texts, share) if tries < TRIES else None
            if less is None:
                media = int((found[:, 0] < 0).sum())
                raise UserError(
                    f"A row needs {len(found):,} places before its answer, {media:,} of them for"
                    " media, which are never cut",
                    expected=f"at most {self.room:,}, beside the longest answer",
                    do="raise `context` of the decoder, or choose encoders that make fewer tokens;"
                    " pictures that it looks at itself can be smaller (form: {longest: ...})",
                )
            texts, tries = less, tries + 1
            found = self.pieces(texts, counts, looks)
        return found

    def _texts(self, fused: Fused) -> list[dict[str, str]]:
        """Each row's texts by their columns; of what is absent or hidden nothing."""
        rows: list[dict[str, str]] = [{} for _ in range(len(fused.pooled))]
        named = set(self.template.spelled)
        for name, own in fused.own.items():
            if own.spelled is None or name in self.sees:
                continue
            here = fused.tokens[name].mask.any(1).tolist()
            for row, given in enumerate(own.spelled.cpu().numpy()):
                if here[row]:
                    text = given.tobytes().rstrip(b"\0").decode("utf-8", "ignore")
                    said = {name: text} if name in named else _columns(text)
                    rows[row] |= {n: t for n, t in said.items() if n in named}
        return rows


def _columns(text: str) -> dict[str, str]:
    """What a joint modality spells: column -> its cell."""
    found = json.loads(text or "{}")
    return found if isinstance(found, dict) else {}


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
