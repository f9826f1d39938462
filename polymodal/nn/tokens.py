"""Tokenizers of texts that are written: learned here, or a pretrained decoder's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
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
        mark: what the end is called.
    """

    count: int
    end: int
    mark: str

    @abstractmethod
    def numbers(self, text: str) -> Array:
        """A text's pieces `(n,)` with its end; without it where the text is cut."""

    @abstractmethod
    def prompt(self, text: str, begins: bool) -> Array:
        """The pieces `(n,)` of a part of what is read before a text.

        Args:
            begins: whether it is the first part, before which the tokenizer's own marks stand.
        """

    def spoken(self, messages: Sequence[Mapping[str, str]]) -> str | None:
        """A conversation as the model was taught to read it, up to where its answer begins.

        Args:
            messages: "role" and "content" of each.

        Returns:
            None where it was not taught to.

        Raises:
            UserError: its template refuses such a conversation.
        """
        return None

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
        self.tokenizer, self.count, self.limit = tokenizer(path), count, limit
        end = self.tokenizer.eos_token_id
        if end is None or end >= count:
            raise UserError(
                f"The tokenizer in '{path}' has no piece that ends a text",
                expected=f"an eos_token among the {count:,} pieces of its model",
                got=f"eos_token {self.tokenizer.eos_token!r}",
                do="name it in tokenizer_config.json as the model was taught it",
            )
        if (most := max(self._plain().values(), default=0)) >= count:
            raise UserError(
                f"The tokenizer in '{path}' knows pieces that its model does not",
                expected=f"numbers below {count:,}, as vocab_size in config.json says",
                got=f"the number {most:,}",
                do="take the tokenizer that the model was trained with",
            )
        self.end, self.mark = int(end), str(self.tokenizer.eos_token)
        # What the tokenizer puts before a text by itself, if it does.
        ids = self.tokenizer.encode("a", add_special_tokens=True)
        self._bos = self.tokenizer.bos_token_id
        marks = self._bos is not None and len(ids) > 1 and ids[0] == self._bos
        self._first = str(self.tokenizer.bos_token) if marks else None

    def _plain(self) -> dict[str, int]:
        """Its pieces without marks that somebody has added, which no text needs."""
        found: dict[str, int] = self.tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False)
        return found

    def numbers(self, text: str) -> Array:
        found = self.tokenizer.encode(text, add_special_tokens=False)
        whole = [*found, self.end] if len(found) < self.limit else found[: self.limit]
        return np.array(whole, np.int64)

    def prompt(self, text: str, begins: bool) -> Array:
        # A conversation's template writes the marks itself.
        marked = begins and self._first is not None and not text.startswith(self._first)
        found = self.tokenizer.encode(text, add_special_tokens=False)
        return np.array([self._bos, *found] if marked else found, np.int64)

    def spoken(self, messages: Sequence[Mapping[str, str]]) -> str | None:
        from jinja2 import TemplateError

        if self.tokenizer.chat_template is None:
            return None
        try:
            found = self.tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=True
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise UserError(
                "The decoder's own template refuses a conversation",
                got=f"{error}; roles {', '.join(one['role'] for one in messages)}"[:300],
                do="write conversations in the roles and the order that it was taught",
            ) from error
        return str(found)

    def text(self, numbers: Sequence[int] | Array) -> str:
        kept = [int(number) for number in numbers if number >= 0]
        found = self.tokenizer.decode(
            kept, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(found)

    def rule(self, manner: Manner) -> Rule | None:
        from polymodal.nn import rules

        return rules.borrowed(self.tokenizer, self.count, self.end, manner)
