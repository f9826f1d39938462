"""In what manner texts are asked for, what they may say, and what was written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from polymodal.base.errors import UserError


class Rule(Protocol):
    """What texts may say: a state for what is written so far. States are never changed."""

    def start(self) -> Any: ...

    def allowed(self, state: Any) -> Tensor:
        """`(vocabulary,)` bool: the pieces that may come next, the end among them where it may."""

    def then(self, state: Any, piece: int) -> Any:
        """The state after one more piece."""


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How texts are written.

    Attributes:
        longest: pieces at most, the end not counted. A task that writes asks for as many as its
            longest training text has, and for 256 at least where a text keeps to a pattern or
            schema; 64 is for who writes without a task.
        beams: the best so many beginnings are kept; 1: the likeliest piece always, or a drawn one.
        penalty: of a beam's length: its log-probability is divided by the length to this power.
        temperature: what scores are divided by before a piece is drawn; 0: none is drawn.
        top_k: only the likeliest so many pieces are drawn from; 0: all.
        top_p: only the likeliest pieces that make up this probability together are drawn from.
        samples: different texts a row: so many drawn ones, or so many of the beams. Where there is
            room for one, that is the likeliest a piece of the drawn ones, or the best beam.
        seed: of what is drawn. What a row gets depends on no other row.
        stop: texts before which a text ends.
        choices: texts, of which the likeliest a piece is written; None: any text.
        pattern: a regular expression that a text has to match as a whole; None: none.
        schema: a JSON schema that a text has to satisfy; None: none.
    """

    longest: int = 64
    beams: int = 1
    penalty: float = 1.0
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    samples: int = 1
    seed: int = 0
    stop: Sequence[str] = ()
    choices: Sequence[str] | None = None
    pattern: str | None = None
    schema: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, fine, wanted in (
            ("longest", self.longest >= 1, "1 or more"),
            ("beams", self.beams >= 1, "1 or more"),
            ("temperature", 0 <= self.temperature < math.inf, "0 or more"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "more than 0, at most 1"),
            ("samples", self.samples >= 1, "1 or more"),
            ("stop", all(self.stop), "texts of a letter or more"),
            ("choices", _different(self.choices), "different texts, one at least, or None"),
            ("pattern", self.pattern != "", "a regular expression, or None"),
        ):
            if not fine:
                got = getattr(self, name)
                raise UserError(f"{name}={got!r} is out of range", expected=wanted)
        asked = [n for n in ("choices", "pattern", "schema") if getattr(self, n) is not None]
        if len(asked) > 1 or (self.choices and (self.temperature or self.samples > 1)):
            raise UserError(
                f"{' and '.join(asked)} cannot be kept to at once",
                expected="choices, pattern or schema; choices without temperature or samples",
            )
        if self.stop and (self.choices or self.beams > 1):
            raise UserError(
                "Texts end before others where they are written piece by piece",
                expected="stop without choices, and beams=1",
            )
        if self.temperature and self.beams > 1:
            raise UserError(
                "Texts are drawn, or found by beams",
                expected="temperature=0 with several beams, or beams=1",
                got=f"temperature={self.temperature:g}, beams={self.beams}",
            )
        if not self.temperature and (self.top_k or self.top_p < 1):
            raise UserError(
                "top_k and top_p say what pieces are drawn from, and none is drawn",
                expected="a temperature above 0",
                do="set temperature: 1, or leave them out",
            )
        if not self.temperature and self.samples > self.beams:
            raise UserError(
                f"samples={self.samples} different texts are asked for",
                expected="a temperature above 0, or as many beams",
                got=f"temperature=0, beams={self.beams}",
            )


@dataclass(frozen=True)
class Text:
    """What was written.

    Attributes:
        ids: pieces, without the end.
        logs: each one's log-probability by the model itself, and last the end's if it came: of one
            that was drawn or allowed by a rule too.
        ended: whether the end was written; else there was no more room.
    """

    ids: list[int] = field(default_factory=list)
    logs: list[float] = field(default_factory=list)
    ended: bool = False


def _different(choices: Sequence[str] | None) -> bool:
    return choices is None or 0 < len(choices) == len(set(choices))


def mean(text: Text) -> float:
    """Log-likelihood a piece."""
    return sum(text.logs) / max(1, len(text.logs))


def keeps(rule: Rule | None, text: Text, end: int) -> bool:
    """Whether a text is one that a rule, if there is one, lets come.

    Args:
        end: the piece that ends a text.
    """
    if rule is None:
        return True
    state = rule.start()
    for piece in text.ids:
        if not rule.allowed(state)[piece]:
            return False
        state = rule.then(state, piece)
    return text.ended and bool(rule.allowed(state)[end])
