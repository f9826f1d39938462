"""Typed questions of a state, each answered with a probability for every allowed answer.

The questions and answers of `/v1/systemone` as `transformers serve` has them: `choice` among names,
`noul` (whether it is so) and `score` on levels. A fitted run knows which questions it was fitted to
answer: a question names its target, and its options are among the target's classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from polymodal.serve.errors import Refused
from polymodal.serve.schema import Shapes

# Pairs of classes of which one says that it is so.
TRUE = ("true", "yes", "1")
FALSE = ("false", "no", "0")


class Asked(BaseModel):
    """A question: its `criteria` are the answers that are allowed."""

    model_config = ConfigDict(extra="forbid", strict=True, title="Question")

    type: Literal["choice", "noul", "score"]
    instructions: Any = None
    criteria: dict[str, Any] | list[Any] | None = None


class DecisionRequest(BaseModel):
    """A state, which is a row (or, of a run that reads one text, that text), and questions."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: Annotated[str, Field(max_length=200)]
    state: Annotated[str, Field(max_length=100_000, pattern=r"^[^\x00]*$")] | dict[str, Any]
    questions: Annotated[dict[str, Asked], Field(min_length=1, max_length=64)]


@dataclass(frozen=True)
class Question:
    """A question that a run can answer.

    Attributes:
        type: one of "choice", "noul" and "score".
        target: whose classes the options are.
        options: of a choice or a score, the allowed answers; of "noul" what says that it is so.
        legend: of a score what each level is called.
    """

    type: str
    target: str
    options: list[str]
    legend: list[Any]

    def answer(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """The answer, by a prediction's probabilities."""
        shares = told.get("probabilities") or {}
        if self.type == "noul":
            return {"type": "noul", "noul": sum(shares.get(one, 0.0) for one in self.options)}
        own = [shares.get(one, 0.0) for one in self.options]
        total = sum(own)
        # Of answers that the model holds for impossible none is likelier.
        own = [one / total if total else 1 / len(own) for one in own]
        best = max(range(len(own)), key=own.__getitem__)
        if self.type == "choice":
            return {
                "type": "choice",
                "choice": self.options[best],
                "confidence": _above_chance(own[best], len(own)),
                "probabilities": dict(zip(self.options, own, strict=True)),
            }
        levels = [str(i) for i in range(len(own))]
        return {
            "type": "score",
            "score": sum(i * one for i, one in enumerate(own)),
            "legend": dict(zip(levels, self.legend, strict=True)),
            "confidence": _together(own, best),
            "probabilities": dict(zip(levels, own, strict=True)),
        }


def questions(shapes: Shapes, asked: DecisionRequest) -> dict[str, Question]:
    """Name -> question; Refused where the run cannot answer one."""
    return {name: _question(shapes, name, one) for name, one in asked.questions.items()}


def row(shapes: Shapes, asked: DecisionRequest) -> dict[str, Any]:
    """The state as a row of cells."""
    if isinstance(asked.state, dict):
        return shapes.checked_rows([asked.state])[0]
    if shapes.text is None:
        what = f"'{shapes.name}' does not read one text alone: the state is a row of its columns"
        raise Refused(400, what, param="state", code="no_text")
    return {shapes.text: asked.state}


def _question(shapes: Shapes, name: str, asked: Asked) -> Question:
    place = f"questions.{name}"
    known = {one["name"]: one["classes"] for one in shapes.decides}
    if name not in known:
        what = f"{place}: '{shapes.name}' decides {', '.join(known) or 'nothing'}"
        raise Refused(400, what[:500], param=place, code="unknown_question")
    classes = known[name]
    if asked.type == "noul":
        so = [one for one in classes if one.lower() in TRUE]
        if len(classes) != 2 or len(so) != 1 or not {c.lower() for c in classes} & {*FALSE}:
            what = f"{place}: its answers are {', '.join(classes[:8])}; ask for a choice"
            raise Refused(400, what[:500], param=place, code="not_boolean")
        return Question("noul", name, so, [])
    if asked.type == "score":
        return _score(place, name, classes, asked)
    options = list(classes) if asked.criteria is None else list(asked.criteria)
    if not isinstance(asked.criteria, dict | None) or not options:
        what = f"{place}: the criteria of a choice map its options to what they mean"
        raise Refused(400, what, param=f"{place}.criteria", code="invalid_criteria")
    if strange := [one for one in options if one not in classes]:
        what = f"{place}: '{strange[0][:80]}' is none of {', '.join(classes[:20])}"
        raise Refused(400, what[:500], param=f"{place}.criteria", code="unknown_option")
    return Question("choice", name, options, [])


def _score(place: str, name: str, classes: list[str], asked: Asked) -> Question:
    """Levels are classes that are numbers, in their order."""
    try:
        levels = sorted(classes, key=float)
    except ValueError:
        what = f"{place}: its answers are no levels; ask for a choice"
        raise Refused(400, what, param=place, code="not_ordered") from None
    legend = levels if asked.criteria is None else asked.criteria
    if not isinstance(legend, list) or len(legend) != len(levels):
        what = f"{place}: the criteria of a score are a list of its {len(levels)} levels"
        raise Refused(400, what, param=f"{place}.criteria", code="invalid_criteria")
    return Question("score", name, levels, list(legend))


def _above_chance(best: float, count: int) -> float:
    """1 where one option has all of it, 0 where all are alike."""
    return 1.0 if count == 1 else max(0.0, (best - 1 / count) / (1 - 1 / count))


def _together(shares: list[float], best: int) -> float:
    """1 where one level has all of it, 0 where they are as far apart as by chance."""
    count = len(shares)
    far = sum(one * abs(i - best) for i, one in enumerate(shares))
    chance = sum(abs(i - (count - 1) / 2) for i in range(count)) / count
    return 1.0 if count == 1 else max(0.0, 1 - far / chance)
