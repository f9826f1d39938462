"""What is heard: texts as they are spoken, their units, and the layer that hears them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import regex
import torch
from torch import Tensor, nn

from polymodal.base import words
from polymodal.base.errors import UserError
from polymodal.contract.batch import Decided, Field, Fused
from polymodal.contract.form import Form
from polymodal.contract.writing import Speaker
from polymodal.modalities.text.forms.pieces import MARKS, Pieces
from polymodal.nn import ctc

Array = np.ndarray[Any, Any]

_UNSAID = regex.compile(r"[^\p{L}\p{M}\p{N}'\u200C\u200D]+", regex.V1)
_QUOTES = regex.compile(r"(?<![\p{L}\p{M}])'+|'+(?![\p{L}\p{M}])", regex.V1)
_BLANKS = regex.compile(r"\s+")


def spoken(text: str) -> str:
    """A text in lower case without punctuation, but for the apostrophe of "don't"."""
    said = _UNSAID.sub(" ", words.normal(text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    return _BLANKS.sub(" ", _QUOTES.sub("", said)).strip()


def written(text: str) -> str:
    """A text as it stands, but for blanks around it and several in a row."""
    return _BLANKS.sub(" ", text).strip()


class Letters:
    """Every letter of the training texts is a unit; 0 is the blank.

    Args:
        letters: in order, from unit 1.
    """

    def __init__(self, letters: Sequence[str]) -> None:
        self.letters = list(letters)
        self._units = {letter: i for i, letter in enumerate(self.letters, 1)}
        self.count = len(self.letters) + 1

    @classmethod
    def of(cls, texts: Sequence[str]) -> Letters:
        return cls(sorted({letter for text in texts for letter in text}))

    @property
    def state(self) -> dict[str, Any]:
        return {"letters": self.letters}

    def strange(self, text: str) -> str | None:
        """The first letter that no unit is, or None."""
        return next((letter for letter in text if letter not in self._units), None)

    def numbers(self, text: str) -> Array:
        return np.array([self._units[letter] for letter in text], np.int64)

    def text(self, units: Sequence[int]) -> str:
        return "".join(self.letters[unit - 1] for unit in units)


class Merged:
    """Pieces of texts as the form `text/pieces` learns them from the training texts: no text is
    strange to them. Its [PAD], 0, is the blank.

    Args:
        pieces: fitted.
    """

    def __init__(self, pieces: Pieces) -> None:
        self.pieces = pieces
        # Marks are never said.
        self.count = pieces.count - len(MARKS) + 1

    @classmethod
    def of(cls, texts: Sequence[str], vocabulary: int, limit: int) -> Merged:
        pieces = Pieces(vocabulary=vocabulary, limit=limit)
        pieces.fit(texts)
        return cls(pieces)

    @property
    def state(self) -> dict[str, Any]:
        return {"merges": self.pieces.state["merges"]}

    def strange(self, text: str) -> None:
        return None

    def numbers(self, text: str) -> Array:
        return self.pieces.encode(text)[1:-1, 0].astype(np.int64) - len(MARKS) + 1

    def text(self, units: Sequence[int]) -> str:
        return self.pieces.decode(np.asarray(units, np.int64) + len(MARKS) - 1)


Units = Letters | Merged


def restored(state: dict[str, Any], vocabulary: int, limit: int) -> Units:
    """The units that say this of themselves (`state`)."""
    if "merges" not in state:
        return Letters(state["letters"])
    pieces = Pieces(vocabulary=vocabulary, limit=limit)
    pieces.state = dict(state)
    return Merged(pieces)


class Transcript(Form):
    """A text as its units `(units,)`.

    Args:
        units: of texts.
        read: a present cell to its text.
    """

    kind, dtype, ragged = "target", "int64", True

    def __init__(self, units: Units, read: Callable[[Any], str]) -> None:
        self.units, self.read = units, read

    def encode(self, cell: Any) -> Array:
        text = self.read(cell)
        if (letter := self.units.strange(text)) is not None:
            raise UserError(
                f"The text {text!r:.80} has the letter {letter!r}, which no training row had",
                expected=f"one of {' '.join(self.units.state['letters'])}"[:200],
                got=repr(letter),
                do="leave such rows out, or fit again with texts that have it",
            )
        return self.units.numbers(text)

    def decode(self, array: Array) -> str:
        return self.units.text([int(unit) for unit in array])


class Ear(Speaker):
    """Scores of units at every token of a modality, from the token and the row's fused vector.

    Args:
        modality: whose tokens are heard.
        count: of units, the blank among them.
    """

    def __init__(self, width: int, modality: str, count: int, dropout: float) -> None:
        super().__init__()
        self.modality = modality
        self.dropout = nn.Dropout(dropout)
        self.by_token, self.by_row = nn.Linear(width, count), nn.Linear(width, count, bias=False)

    def forward(self, fused: Fused, target: Field | None = None) -> Decided:
        """Returns scores "logs" `(batch, tokens, units)` and how many "counts" `(batch,)` are
        real; and "silent", where nothing is to be written."""
        tokens = fused.tokens[self.modality]
        row = self.by_row(self.dropout(fused.pooled)).unsqueeze(1)
        scores = self.by_token(self.dropout(tokens.values)) + row
        logs = scores.float().log_softmax(-1)
        found: dict[str, Any] = {"logs": logs, "counts": tokens.mask.sum(1)}
        return Decided({**found, "silent": True} if self.silent and target is not None else found)


def costs(logs: Tensor, counts: Tensor, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Nats of each row's text `(rows,)`, and whether there is room for it `(rows,)`; 0 where not.

    Args: as of `ctc.nats`.
    """
    pairs = torch.arange(1, max(1, ids.shape[1]), device=ids.device)
    near = pairs < lengths.unsqueeze(1)
    needed = lengths + ((ids[:, 1:] == ids[:, :-1]) & near).sum(1)
    able = counts >= needed.clamp(min=1)
    rows = able.nonzero()[:, 0]
    # An empty sum has a gradient too.
    found = logs.sum((1, 2)) * 0
    if len(rows):
        own = ctc.nats(logs[rows], counts[rows], ids[rows], lengths[rows])
        found = found.index_put((rows,), own)
    return found, able


def usual(units: Sequence[Array], count: int) -> list[float]:
    """Log-probability of each unit by how often it comes, the end of a text in place of the blank;
    everything may come, though it has not come yet."""
    counts = Counter(int(unit) for own in units for unit in own)
    every = np.array([len(units), *(counts[unit] for unit in range(1, count))], float) + 1
    return [float(log) for log in np.log(every / every.sum())]
