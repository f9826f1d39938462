"""What a decoder needs of a tokenizer of texts, and of what prepares its pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from polymodal.contract.kind import pictured, worded
from polymodal.nn.manner import Manner, Rule

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Look:
    """A picture as a vision-language model is given it.

    Attributes:
        text: what stands for it in the prompt: a piece for each of its tokens, and marks.
        inputs: what the model reads of its pixels, by the names that transformers has; where it has
            `seen` them, only what says where their tokens stand.
        seen: the vectors `(tokens, width)` that its vision tower and projector make of them, where
            they are known already: as of `Decoder.seen`.
    """

    text: str
    inputs: Mapping[str, Tensor]
    seen: Tensor | None = None


def part(words: str | None) -> dict[str, str]:
    """A part of a message, as chat templates have it: words or, where it is None, a picture."""
    return {"type": pictured()} if words is None else {"type": worded(), worded(): words}


class Tokens(ABC):
    """Texts to numbers and back.

    Attributes:
        count: pieces.
        end: the one that ends a text.
        mark: what the end is called.
        picture: what stands for a picture in a text, where the decoder looks at pictures by itself;
            "" where it does not.
        sign, seat: the piece in there for which the picture's tokens come, and its number.
        template: how it was taught to read conversations; None: it was not.
    """

    count: int
    end: int
    mark: str
    picture: str = ""
    sign: str = ""
    seat: int = -1
    template: Any = None

    @abstractmethod
    def numbers(self, text: str) -> Array:
        """A text's pieces `(n,)` with its end; without it where the text is cut."""

    @abstractmethod
    def prompt(self, text: str, begins: bool) -> Array:
        """The pieces `(n,)` of a part of what is read before a text.

        Args:
            begins: whether it is the first part, before which the tokenizer's own marks stand.
        """

    def look(self, pixels: Array) -> Look:
        """A picture `(height, width, 3)` as the decoder looks at it."""
        raise NotImplementedError(f"{type(self).__name__} looks at no picture")

    def spoken(self, messages: Sequence[Mapping[str, Any]]) -> str | None:
        """A conversation as the model was taught to read it, up to where its answer begins.

        Args:
            messages: "role" and "content" of each: a text or, where the decoder looks at pictures,
                parts as transformers has them.

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

    def letters(self, manner: Manner) -> Rule | None:
        """What keeps texts that have no rule to whole letters; None: nothing does."""
        return None
