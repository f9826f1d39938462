"""A text to the pieces of a tokenizer that is trained on the training rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from polymodal.contract.form import Form, Ids
from polymodal.modalities.text import hashing as _hashing
from polymodal.modalities.text.forms._pieces import add_dropped, whole

# Numbered from 0, so that padding is what zeros are.
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNK, CLS, SEP, MASK = range(len(MARKS))
BYTES = 256
# In bytes. It bounds how much of a text `limit` pieces can hold.
LONGEST = 16
# Characters that a tokenizer is trained on: beyond this each text gives its beginning.
ENOUGH = 20_000_000
# What no piece reaches across: letters with their marks and joiners, three digits, signs, blanks;
# the blank before a run belongs to it.
RUNS = (
    r" ?[\p{L}\p{M}]+(?:[\u200C\u200D'’][\p{L}\p{M}]+)*"
    r"| ?\p{N}{1,3}"
    r"| ?(?:[^\s\p{L}\p{M}\p{N}]\p{M}*)+"
    r"|\s+(?!\S)|\s+"
)


class Pieces(Form):
    """A text as int32 `(pieces, 2)`: number of the piece, number of the word that it belongs to.

    The pieces are found by byte-pair encoding (Sennrich et al. 2016, "Neural Machine Translation
    of Rare Words with Subword Units") of UTF-8's bytes (Radford et al. 2019, GPT-2): single bytes,
    and of those that follow one another in the training rows the most frequent, over and over. So
    any text of any script has pieces, and `decode` gives it back to the letter. [CLS] stands
    before them and [SEP] behind, as word 0; words count from 1 and are what white space divides.

    Args:
        vocabulary: how many pieces are known at most, the 5 marks and 256 bytes included. Fewer
            where the training rows have fewer that come twice.
        limit: pieces after this one are cut; [CLS] and [SEP] count.
        lower: whether capitals are made small: fewer pieces to learn, and none to decode.

    Attributes:
        count: how many pieces are known.
    """

    kind = "text"
    dtype = "int32"
    ragged = True
    beyond: ClassVar[str] = "has more pieces than {form} takes: cut off"

    def __init__(self, *, vocabulary: int = 8192, limit: int = 512, lower: bool = False) -> None:
        _hashing.check_least("vocabulary", vocabulary, len(MARKS) + BYTES)
        _hashing.check_least("limit", limit, 3)
        self.vocabulary, self.limit, self.lower = vocabulary, limit, lower
        self._merges: list[str] = []

    def fit(self, cells: Iterable[Any]) -> None:
        """Train the tokenizer; the same cells give the same one, in any order."""
        from tokenizers import Tokenizer, models, trainers

        texts = [self._text(cell) for cell in cells]
        most = min(self._most, max(1, ENOUGH // max(1, len(texts))))
        raw = Tokenizer(models.BPE())
        raw.pre_tokenizer = _cutter()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocabulary - len(MARKS),
            min_frequency=2,
            initial_alphabet=_alphabet(),
            max_token_length=LONGEST,
            show_progress=False,
        )
        raw.train_from_iterator((" " + text[:most] for text in texts), trainer)
        self._learned([" ".join(pair) for pair in json.loads(raw.to_str())["model"]["merges"]])

    @property
    def state(self) -> dict[str, Any]:
        """Which two pieces make one, the most frequent first: all else follows."""
        return {"merges": list(self._merges)}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._learned(list(state["merges"]))

    @property
    def count(self) -> int:
        return len(self.names)

    @property
    def ids(self) -> Ids:
        return Ids(self.count, self.limit, SEP)

    @cached_property
    def names(self) -> list[str]:
        """What the numbers 0, 1, ... stand for: marks, bytes and merged bytes, as GPT-2 spells."""
        made = (merge.replace(" ", "") for merge in self._merges)
        return list(dict.fromkeys([*MARKS, *_alphabet(), *made]))

    def encode(self, cell: Any) -> np.ndarray[Any, Any]:
        """A string or a list of words -> int32 `(pieces, 2)`; an empty text is [CLS] [SEP]."""
        inner = self._uncut(cell)[: self.limit - 2]
        array = np.zeros((len(inner) + 2, 2), np.int32)
        array[0, 0], array[-1, 0], array[1:-1] = CLS, SEP, inner
        return array

    def decode(self, array: np.ndarray[Any, Any]) -> str:
        """The text of `(pieces, 2)` or `(pieces,)` numbers, marks left out.

        A list of words comes back as a line, a text that was cut as far as it was kept.
        """
        numbers = array if array.ndim == 1 else array[:, 0]
        text = str(self.tokenizer.decode([int(n) for n in numbers if n >= len(MARKS)]))
        return text.removeprefix(" ")

    def was_truncated(self, cell: Any) -> bool:
        # A piece has a byte at least: most texts need not be cut into pieces again.
        text = self._text(cell)
        short = len(text.encode()) + 3 <= self.limit and isinstance(cell, str)
        return not short and (len(text) > self._most or len(self._uncut(cell)) > self.limit - 2)

    def bytes(self) -> list[bytes]:
        """What each number stands for in a text; b"" of marks."""
        signs = {sign: bytes([number]) for number, sign in enumerate(_signs())}
        made = [b"".join(signs[sign] for sign in name) for name in self.names[len(MARKS) :]]
        return [b""] * len(MARKS) + made

    @cached_property
    def tokenizer(self) -> Any:
        """The `tokenizers.Tokenizer`, which has no marks of its own and begins with a blank."""
        from tokenizers import Tokenizer, decoders, models

        pairs = (merge.partition(" ") for merge in self._merges)
        merges = [(first, second) for first, _, second in pairs]
        vocabulary = {name: number for number, name in enumerate(self.names)}
        found = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
        found.pre_tokenizer, found.decoder = _cutter(), decoders.ByteLevel()
        return found

    def _uncut(self, cell: Any) -> np.ndarray[Any, Any]:
        """`(pieces, 2)` of a text, at least the first `limit` of them."""
        text = self._text(cell)[: self._most]
        if isinstance(cell, str):
            starts = np.array([found.start() for found in re.finditer(r"\S+", text)], np.int64)
        else:
            lengths = [len(self._lowered(word)) + 1 for word in _hashing.split(cell)]
            starts = np.cumsum([0, *lengths])[:-1]
            starts = starts[starts <= len(text)]
        # A blank first, so that a word is the same pieces wherever it stands.
        encoded = self.tokenizer.encode(" " + text if text else "")
        ids = np.array(encoded.ids, np.int32)
        ends = np.array(encoded.offsets, np.int64).reshape(-1, 2)[:, 1]
        # The last character decides: a piece may begin with the blank before its word.
        numbers = np.searchsorted(starts, ends - 2, side="right").astype(np.int32)
        ids, numbers = add_dropped(ids, numbers, len(starts), UNK)
        return np.stack([ids, numbers], 1)

    def _text(self, cell: Any) -> str:
        return self._lowered(cell if isinstance(cell, str) else " ".join(_hashing.split(cell)))

    def _lowered(self, text: str) -> str:
        return whole(text).lower() if self.lower else whole(text)

    @property
    def _most(self) -> int:
        """Characters that can matter."""
        return self.limit * LONGEST

    def _learned(self, merges: list[str]) -> None:
        self._merges = merges
        for made in ("names", "tokenizer"):
            self.__dict__.pop(made, None)


def _alphabet() -> list[str]:
    """One sign for each byte."""
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


def _signs() -> list[str]:
    """The sign of each byte, from 0: its own where it is printed, else one after the 255th."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(number if number in plain else next(others)) for number in range(BYTES)]


def _cutter() -> Any:
    from tokenizers import Regex, pre_tokenizers

    runs = pre_tokenizers.Split(Regex(RUNS), "isolated")
    signs = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([runs, signs])
