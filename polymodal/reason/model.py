"""What strategies ask: a model that answers rows of one table, with reasons or without."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from polymodal.base.errors import UserError
from polymodal.table.read import Table

# A step ends with its sentence or line; a question goes on with its answer.
_ENDS = re.compile(r"(?<=[.!])\s+|\n+")


@dataclass(frozen=True)
class Asked:
    """What is asked.

    Attributes:
        row: of the table.
        question: instead of the row's own.
        reason: what has been reasoned so far, in words.
        blank: the model is not to see the row's media.
    """

    row: int
    question: str | None = None
    reason: str = ""
    blank: bool = False


@dataclass(frozen=True)
class Thought:
    """What was answered.

    Attributes:
        reason: the reasons, in words; "" without.
        answer: "" where none was given.
        log: log-likelihood of what was written; NaN where it is not known.
        note: why there is no answer, or how it was found in what was written; "" if all is usual.
    """

    reason: str
    answer: str
    log: float = math.nan
    note: str = ""


class Model(ABC):
    """Answers questions about the rows of a table, each by itself: others change nothing.

    Attributes:
        name: what it is called.
        key: equal only for the same model and the same rows.
        table: the rows.
        truths: each row's right answers; none where they are not known.
        prompts: what is asked of each row in words, equal where the same is asked.
        chunk: rows that are asked at once.
        tokens: how many it has written so far; None where it does not say.
        retries: requests that were made again.
        second: the model that answers from a finished rationale; None: there is none.
    """

    name: str
    key: str
    table: Table
    truths: Sequence[Sequence[str]]
    prompts: Sequence[str]
    chunk: int = 64
    tokens: int | None = 0
    retries: int = 0
    second: Model | None = None

    @abstractmethod
    def answers(self, asked: Sequence[Asked]) -> list[Thought]:
        """The likeliest answers: after their reasons, or without any."""

    @abstractmethod
    def chains(
        self, asked: Sequence[Asked], samples: int = 1, temperature: float = 0.0, seed: int = 0
    ) -> list[list[Thought]]:
        """Reasons, going on from what has been reasoned, and answers: so many of each row."""

    @abstractmethod
    def questions(self, asked: Sequence[Asked]) -> list[str]:
        """What to find out next; "" where nothing more is needed."""

    @abstractmethod
    def supports(self, asked: Sequence[Asked], reasons: Sequence[str]) -> list[list[float]]:
        """How far a row's media support each step of its reasons; the more, the higher."""


def steps(reason: str) -> list[str]:
    """The steps of reasons: sentences or lines; a question is one with its answer."""
    return [step.strip() for step in _ENDS.split(reason) if step.strip()]


class Lacks(UserError):
    """A model cannot do what a strategy asks; others may ask what it can."""


def lacks(model: Model, what: str, do: str) -> Lacks:
    return Lacks(f"{model.name} {what}", do=do)
