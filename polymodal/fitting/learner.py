"""Learner: how a predictor comes to its numbers."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from polymodal.contract.predictor import Predictor
from polymodal.contract.recipe import Member
from polymodal.fitting.job import Job
from polymodal.train.kernels import Kernels
from polymodal.train.lesson import Lesson

P = TypeVar("P", bound=Predictor)


@dataclass(frozen=True)
class Trial:
    """One learning of one member: of what, from what, in what time.

    Attributes:
        lesson: rows, tasks and prepared cells.
        folder: where what a resume needs goes.
        seed: of all that is drawn, but for what members have to draw alike.
        end: by `time.perf_counter`, when it has to be done; infinity without a budget.
        share: of the steps that would be made, for a refit without validation rows.
        must: whatever the time, it is finished: with few steps, if it learns in steps.
        chosen: facts of each fold's learning, for a refit: what validation chose there holds here.
        rivals: networks of one modality that have learned from the same rows, and where they lie.
    """

    job: Job
    member: Member
    lesson: Lesson
    folder: Path
    seed: int
    end: float
    share: float = 1.0
    must: bool = False
    chosen: Sequence[Mapping[str, Any]] = ()
    rivals: Sequence[tuple[Member, Path]] = ()

    def left(self) -> float:
        """Seconds."""
        return self.end - time.perf_counter()


@dataclass(frozen=True)
class Pace:
    """How fast a predictor learns, by measuring.

    Attributes:
        seconds: for a step.
        whole: steps, if it has the time.
        least: steps without which it is worth nothing.
    """

    seconds: float
    whole: int
    least: int


class Learner(ABC, Generic[P]):
    """One way to fit a predictor; the file of its name in `models/designs/` builds what it fits."""

    @abstractmethod
    def learn(self, predictor: P, trial: Trial) -> tuple[Kernels, dict[str, Any]]:
        """Fit the predictor in place.

        Returns:
            How it is computed, and facts for the leaderboard and the run.

        Raises:
            Late: it cannot be done in time, and need not be.
        """

    def pace(self, predictor: P, trial: Trial) -> Pace:
        """How fast a predictor would learn, of a design that is paced; it is not fitted."""
        raise NotImplementedError(f"{type(self).__name__} does not learn in steps")
