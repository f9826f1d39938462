"""Rows that lack what the fused model reads, and who answers in its place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from polymodal.contract.answers import CONSTANT, Answers, Array
from polymodal.run import patterns

# Modality -> `(rows,)` bool: which rows have it.
Present = Mapping[str, np.ndarray[Any, Any]]


class Merging(Protocol):
    """What is asked of a task: see `contract.task.Task`, which an exported model has not."""

    @property
    def words(self) -> str | None: ...

    @property
    def constant_serves(self) -> bool: ...

    def merge(self, answers: Mapping[str, Answers], shares: Mapping[str, float]) -> list[Array]: ...

    def constant(self, like: Answers) -> list[Array]: ...


@dataclass(frozen=True)
class Standing:
    """Who answers which row.

    Attributes:
        tasks: target -> task.
        shares: target -> the fused model's members and their shares.
        reads: target -> the modalities that these read.
        partial: as of `Pipeline`.
        names: all modalities.
    """

    tasks: Mapping[str, Merging]
    shares: Mapping[str, Mapping[str, float]]
    reads: Mapping[str, frozenset[str]]
    partial: Mapping[frozenset[str], Mapping[str, Mapping[str, float]]]
    names: Collection[str]

    def answering(self, target: str, here: Collection[str]) -> Mapping[str, float] | None:
        """The shares that answer a row with some modalities; None: the fused model's own.

        It answers where the row has all that it reads, and where no word is left to label. In a
        row with nothing at all, or nothing that was validated, the constant does, if it serves.
        """
        team = self.team(target, here)
        if team is None:
            return None
        shares = self.partial[team][target] if team else {CONSTANT: 1.0}
        return None if CONSTANT in shares and not self.tasks[target].constant_serves else shares

    def team(self, target: str, here: Collection[str]) -> frozenset[str] | None:
        """The validated set of modalities that a row with some of them goes by.

        None: the fused model answers it; none of them: the constant does.
        """
        words = self.tasks[target].words
        if self.reads[target] <= set(here) or (words is not None and words not in here):
            return None
        known = [team for team, own in self.partial.items() if target in own]
        return patterns.nearest(here, known) or frozenset()

    def felt(self, target: str, present: Present) -> set[str]:
        """The modalities without which some of these rows might be answered otherwise.

        Where a row lacks something that the fused model reads, any may step in for it.
        """
        here = patterns.grouped(present)
        complete = all(self.answering(target, own) is None for own, _ in here)
        return set(self.reads[target] if complete else self.names)

    def asked_for(self, present: Present) -> list[str]:
        """The members that answer some rows: the fused model's, and those of rows that lack."""
        return list(dict.fromkeys([*self._used(), *self.further(present)[1]]))

    def further(self, present: Present) -> tuple[np.ndarray[Any, Any], list[str]]:
        """Rows that lack what the fused model reads, and the members that only they need."""
        rows: list[int] = []
        names: dict[str, None] = {}
        for here, own in patterns.grouped(present):
            lacking = [self.answering(target, here) for target in self.tasks]
            if any(lacking):
                rows += own.tolist()
                names |= dict.fromkeys(name for shares in lacking for name in shares or ())
        used = {CONSTANT, *self._used()}
        return np.sort(np.array(rows, np.int64)), [name for name in names if name not in used]

    def mended(
        self,
        target: str,
        combined: Answers,
        scores: Mapping[str, Mapping[str, Answers]],
        present: Present,
    ) -> Answers:
        """The fused model's answers, with those to rows that lack what it reads replaced."""
        task, found = self.tasks[target], list(combined)
        for here, rows in patterns.grouped(present):
            shares = self.answering(target, here)
            if shares is None:
                continue
            own = {m: [scores[m][target][i] for i in rows] for m in shares if m != CONSTANT}
            if CONSTANT in shares:
                own[CONSTANT] = task.constant([found[i] for i in rows])
            for i, answer in zip(rows.tolist(), task.merge(own, shares), strict=True):
                found[i] = answer
        return found

    def _used(self) -> list[str]:
        return [name for shares in self.shares.values() for name in shares]
