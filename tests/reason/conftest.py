"""A model whose answers are written down beforehand, and a tiny run that has learned reasons."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import polymodal as pm
from polymodal.builtin import steps as scenes
from polymodal.contract.recipe import Recipe
from polymodal.reason.model import Asked, Model, Thought
from polymodal.table.read import read

TRAINING = {
    "epochs": 1,
    "batch_size": 32,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}


class Scripted(Model):
    """Answers by functions of what is asked; every call is written down.

    Args:
        truths: one a row.
        says, thinks, asks, holds: what `answers`, `chains` (of a sample's number), `questions` and
            `supports` (of one chain) say to one question.
    """

    def __init__(
        self,
        truths: Sequence[str],
        *,
        says: Callable[[Asked], str] = lambda ask: "?",
        thinks: Callable[[Asked, int], Thought] = lambda ask, i: Thought("", "?"),
        asks: Callable[[Asked], str] = lambda ask: "",
        holds: Callable[[Asked, str], Sequence[float]] = lambda ask, reason: (),
        prompts: Sequence[str] | None = None,
        columns: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = self.key = "scripted"
        self.truths = [[one] if one else [] for one in truths]
        self.prompts = list(prompts or [""] * len(truths))
        self.table = read(dict(columns or {"row": list(range(len(truths)))}))
        self.says, self.thinks, self.asks, self.holds = says, thinks, asks, holds
        self.calls: list[tuple[Any, ...]] = []
        self.chunk = 3

    def answers(self, asked: Sequence[Asked]) -> list[Thought]:
        self.calls.append(("answers", list(asked)))
        self.tokens = (self.tokens or 0) + len(asked)
        return [Thought(ask.reason, self.says(ask), -1.0) for ask in asked]

    def chains(
        self, asked: Sequence[Asked], samples: int = 1, temperature: float = 0.0, seed: int = 0
    ) -> list[list[Thought]]:
        self.calls.append(("chains", list(asked), samples, temperature, seed))
        self.tokens = (self.tokens or 0) + 10 * samples * len(asked)
        return [[self.thinks(ask, i) for i in range(samples)] for ask in asked]

    def questions(self, asked: Sequence[Asked]) -> list[str]:
        self.calls.append(("questions", list(asked)))
        return [self.asks(ask) for ask in asked]

    def supports(self, asked: Sequence[Asked], reasons: Sequence[str]) -> list[list[float]]:
        self.calls.append(("supports", list(asked), list(reasons)))
        return [list(self.holds(a, r)) for a, r in zip(asked, reasons, strict=True)]


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted


@pytest.fixture
def thought() -> Callable[..., Thought]:
    def make(reason: str, answer: str, log: float = math.nan) -> Thought:
        return Thought(reason, answer, log)

    return make


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The built-in questions of several steps, a few of them."""
    folder = tmp_path_factory.mktemp("steps")
    return scenes.write(folder, rows=96, size=24, splits={"train": 0.5, "test": 0.5})


def described(task: Mapping[str, Any], **more: Any) -> Recipe:
    decoder = {"name": "llama", "hidden": 32, "depth": 1}
    data = {"drop": ["steps"], "kinds": {"answer": "text", "question": "text"}, "valid": 0.25}
    return Recipe.model_validate(
        {
            "targets": {"answer": {"decoder": decoder, "vocabulary": 300, **task}},
            "data": data | more.pop("data", {}),
            "modalities": {
                "picture": {"form": {"size": 24}, "augment": False},
                "sensor": {"encoder": "statistics"},
                "question": {"encoder": "embedding"},
                "table": {},
            }
            | more.pop("modalities", {}),
            "fusion": "sum",
            "width": 16,
            "training": TRAINING | more.pop("training", {}),
            **more,
        }
    )


@pytest.fixture(scope="session")
def fitted(data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run that has hardly learned to write reasons: what it says is any text."""
    out = tmp_path_factory.mktemp("run") / "reason"
    return pm.fit(data["train"], recipe=described({"name": "reason"}), out=out)


@pytest.fixture(scope="session")
def recipe() -> Callable[..., Recipe]:
    return described
