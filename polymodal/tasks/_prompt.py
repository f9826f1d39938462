"""A row as a decoder reads it: pieces of what its template says, and places of media."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.batch import Fused
from polymodal.contract.form import Form
from polymodal.contract.kind import of
from polymodal.nn.tokens import Look, Tokens
from polymodal.tasks._template import PLACE, Template, divided

Array = np.ndarray[Any, Any]

# So often at most a text is shortened until a row has room.
TRIES = 24


def medium(number: int) -> int:
    """What stands, in the place of a piece, where a token of the model's modality stands."""
    return -1 - number


class Reader:
    """Rows as pieces and places of media.

    Args:
        template: of the columns.
        tokens: the decoder's.
        forms: the modalities of the model, in order, each with its form.
        room: places that a row may have.

    Attributes:
        media: the modalities whose tokens are read.
        sees: those whose pictures the decoder looks at by itself.

    Raises:
        UserError: the template's words have what stands for a picture's tokens.
    """

    def __init__(
        self, template: Template, tokens: Tokens, forms: Mapping[str, Form], room: int
    ) -> None:
        if tokens.sign and any(tokens.sign in words for words, _ in template.parts):
            raise UserError(
                f"The template has '{tokens.sign}', which stands for a picture's tokens",
                expected="columns in braces: '{photo} Question: {question} Answer:'",
                do="name the picture's column instead",
            )
        self.template, self.tokens, self.room = template, tokens, room
        self.numbers = {name: number for number, name in enumerate(forms)}
        whose = {n: own for n, own in template.modalities.items() if own in self.numbers}
        shown = template.shown if tokens.picture else set()
        self.sees = {whose[name] for name in shown if name in whose}
        self.media = {
            whose[name]
            for name in template.read - shown
            if of(template.kinds[name]).media and name in whose
        }
        self._forms = {name: forms[name] for name in self.sees}
        self._pieces = lru_cache(1 << 16)(tokens.prompt)

    def looks(self, fused: Fused) -> dict[str, list[Look | None]]:
        """Each modality's pictures as the decoder looks at them; None where a row lacks one."""
        found: dict[str, list[Look | None]] = {}
        for name in self.sees:
            own, here = fused.own[name].spelled, fused.tokens[name].present().tolist()
            given = [None] * len(here) if own is None else own.cpu().numpy()
            found[name] = [
                self._look(name, one) if there and one is not None else None
                for one, there in zip(given, here, strict=True)
            ]
        return found

    def _look(self, name: str, array: Array) -> Look:
        found = self._forms[name].decode(array)
        return found if isinstance(found, Look) else self.tokens.look(found)

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

        found = PLACE.sub(put, rendered)
        if self.tokens.sign and found.count(self.tokens.sign) != sum(map(len, seats)):
            raise UserError(
                f"The decoder's chat template writes '{self.tokens.sign}', which stands for a "
                "picture's tokens",
                expected="one that leaves it to the pictures of the messages",
                do="correct it in the model's folder, or give the task a `template`",
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
