"""Tokenizers of texts that are written: learned here, or a pretrained decoder's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.nn.manner import Manner, Rule
from polymodal.nn.processors import tokenizer

Array = np.ndarray[Any, Any]


class Tokens(ABC):
    """Texts to numbers and back.

    Attributes:
        count: pieces.
        end: the one that ends a text.
    """

    count: int
    end: int

    @abstractmethod
    def numbers(self, text: str) -> Array:
        """A text's pieces `(n,)` with its end; without it where the text is cut."""

    @abstractmethod
    def text(self, numbers: Sequence[int] | Array) -> str:
        """What pieces say; marks say nothing."""

    @abstractmethod
    def rule(self, manner: Manner) -> Rule | None:
        """What texts written in a manner have to keep to; None: to nothing."""


class Borrowed(Tokens):
    """A pretrained model's tokenizer, with the end that the model was taught.

    Args:
        path: folder, package of weights or hub id.
        count: pieces that the model tells apart.
        limit: of a text's pieces; what is longer is cut.

    Raises:
        UserError: it has no tokenizer, or one without an end.
    """

    def __init__(self, path: str, count: int, limit: int) -> None:
        self._tokenizer, self.count, self.limit = tokenizer(path), count, limit
        end = self._tokenizer.eos_token_id
        if end is None or end >= count:
            raise UserError(
                f"The tokenizer in '{path}' has no piece that ends a text",
                expected=f"an eos_token among the {count:,} pieces of its model",
                got=f"eos_token {self._tokenizer.eos_token!r}",
                do="name it in tokenizer_config.json as the model was taught it",
            )
        self.end = int(end)

    def numbers(self, text: str) -> Array:
        found = self._tokenizer.encode(text, add_special_tokens=False)
        whole = [*found, self.end] if len(found) < self.limit else found[: self.limit]
        return np.array(whole, np.int64)

    def text(self, numbers: Sequence[int] | Array) -> str:
        kept = [int(number) for number in numbers if number >= 0]
        found = self._tokenizer.decode(
            kept, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(found)

    def rule(self, manner: Manner) -> Rule | None:
        from polymodal.nn import rules

        return rules.borrowed(self._tokenizer, self.count, self.end, manner)
