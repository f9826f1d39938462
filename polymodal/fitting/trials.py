"""All models of a fit, one after the other: each learns under the time that it is allowed."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base.deadline import Late
from polymodal.contract.recipe import Member, Recipe
from polymodal.contract.task import Answers
from polymodal.fitting import learn, plan
from polymodal.fitting.data import Division
from polymodal.fitting.folder import checkpoints
from polymodal.fitting.job import Job
from polymodal.models import build
from polymodal.report.console import Show
from polymodal.run.pipeline import Trained
from polymodal.train.loop import Diverged

Array = np.ndarray[Any, Any]

# What of the budget is left for reading back, measuring and saving after the last member.
RESERVE = 0.06
# Parts of the time that is left for those that learn by gradient: of one that fuses, and of each
# modality's rival.
FUSED_PART, RIVAL_PART = 8.0, 1.0
# An expert may take this much of the time that is left; most need far less, and in a short time
# nothing reaches as far.
EXPERT_SHARE = 0.5


@dataclass(frozen=True)
class Candidates:
    """Trained models and how they did.

    Attributes:
        trained: name -> model.
        scores: name -> scores of `rows` by a model that has not seen them.
        rows: the validation rows, or by folds every row; those with a target.
    """

    trained: dict[str, Trained]
    scores: dict[str, dict[str, Answers]]
    rows: Array


class Clock:
    """What time each member may take.

    Args:
        recipe: with the budget.
        members: all that are to be trained.
        start: when the fit began, by `time.perf_counter`.
    """

    def __init__(self, recipe: Recipe, members: Sequence[Member], start: float) -> None:
        self.recipe, self.members, self.start = recipe, members, start
        self.at_first = self.left()

    def left(self) -> float:
        """Seconds of the budget for all that is still to be trained."""
        if self.recipe.budget is None:
            return math.inf
        return self.recipe.budget * (1 - RESERVE) - (time.perf_counter() - self.start)

    def allowance(self, position: int) -> float:
        """Seconds for a member: its part of what is left; what it does not use is the others'."""
        left = self.left()
        learners = [i for i, m in enumerate(self.members) if build.design(m).paced]
        if position not in learners:
            return left * EXPERT_SHARE
        if self.is_further(position):
            return left / (len(self.members) - position)

        def part(i: int) -> float:
            return RIVAL_PART if len(self.members[i].modalities) == 1 else FUSED_PART

        if self.recipe.compare:
            # What one leaves is nobody's: the next would be compared at an advantage.
            wanting, left = learners, self.at_first if left > 0 else 0.0
        else:
            wanting = [i for i in learners if i >= position and not self.is_further(i)]
        return left * part(position) / sum(part(i) for i in wanting)

    def is_further(self, position: int) -> bool:
        """Whether a member is one of the plan's fusions that only left-over time goes to."""
        return not self.recipe.models and self.members[position].fusion in plan.FURTHER


def train(
    job: Job,
    members: Sequence[Member],
    division: Division,
    clock: Clock,
    out: Path,
    show: Show,
) -> Candidates:
    """Every member for which there is time; at least one.

    Args:
        out: the fit's folder: checkpoints go there, and what is done there is not done again.
    """
    scored = division.valid
    if division.folds:
        scored = np.sort(np.concatenate([outer for _, outer in division.folds]))
    found = Candidates({}, {}, scored[job.known()[scored]])

    def attempt(member: Member, allowance: float, must: bool = False) -> None:
        folder = checkpoints(out, member)
        if division.folds:
            one, scores = _by_folds(job, member, division, found.rows, folder, allowance, must)
        else:
            train, valid = division.train, found.rows
            one, scores = learn.learn(job, member, train, valid, folder, allowance, must=must)
        found.trained[member.name], found.scores[member.name] = one, scores
        show.trained(member.name, one.facts)

    # What is to be compared is trained, for as short a time as it may be.
    asked = {model.name for model in clock.recipe.models or []} if clock.recipe.compare else set()
    asked |= {f"{name} fusion" for name in asked}
    longest, skipped = 0.0, []
    diverged: list[Diverged] = []
    for i, member in enumerate(members):
        allowance, must = clock.allowance(i), member.name in asked
        try:
            if allowance <= 0 and not must:
                raise Late("the budget is spent")
            if clock.is_further(i) and allowance < longest:
                raise Late("it would have less time than those before it had")
            attempt(member, max(allowance, 0.0), must)
            if build.design(member).paced:
                longest = max(longest, found.trained[member.name].facts["seconds"])
        except Late as late:
            show.skipped(member.name, str(late))
            skipped.append(member)
        except Diverged as error:
            show.skipped(member.name, f"it diverges: {error.got}")
            diverged.append(error)
    # What others have left over: without a rival a modality cannot win against the fusion.
    lacking = [m for m in skipped if _is_lacking(m, found.trained)]
    for i, member in enumerate(lacking):
        allowance = clock.left() / (len(lacking) - i)
        if allowance > 0:
            with contextlib.suppress(Late, Diverged):
                attempt(member, allowance)
                skipped.remove(member)
    if skipped and clock.recipe.budget is not None:
        show.too_short(len(skipped), clock.recipe.budget, len(division.folds))
    if not found.trained and diverged:
        raise diverged[0]
    if not found.trained:
        # One model there must be, and the first is the best that little time can give: the
        # plan's is the linear expert on everything, part of which may be done already.
        attempt(members[0], 0.0, must=True)
    return found


def _is_lacking(member: Member, trained: Mapping[str, Trained]) -> bool:
    """Whether a member is of one modality that no trained member is of."""
    has = [list(one.spec.modalities) for one in trained.values()]
    return len(member.modalities) == 1 and list(member.modalities) not in has


def _by_folds(
    job: Job,
    member: Member,
    division: Division,
    rows: Array,
    folder: Path,
    allowance: float,
    must: bool,
) -> tuple[Trained, dict[str, Answers]]:
    """Out-of-fold scores, then one model of all rows, for as long as the folds found best.

    Raises:
        Late: as `learn` does; that an expert will not be done in time the first fold may show.
    """
    folds, known = division.folds, job.known()
    place = {row: i for i, row in enumerate(rows)}
    collected: dict[str, Any] = {n: [None] * len(rows) for n in job.tasks}
    shares, seconds = [], 0.0
    paced, end = build.design(member).paced, time.perf_counter() + allowance

    def part() -> float:
        """Who is paced is told its steps; others take what they need of all that is left."""
        return allowance / (len(folds) + 1) if paced else end - time.perf_counter()

    for k, (inner, outer) in enumerate(folds):
        outer = outer[known[outer]]
        own = replace(job, log=partial(_log_fold, job, k))
        one, scores = learn.learn(
            own, member, inner, outer, folder / str(k), part(), must=must, part=str(k)
        )
        if k == 0 and not paced and not must and one.facts["seconds"] * len(folds) > part():
            raise Late("it would not be done in its part of the time")
        for target, values in scores.items():
            for row, value in zip(outer, values, strict=True):
                collected[target][place[row]] = value
        seconds += one.facts["seconds"]
        if "best_step" in one.facts:
            shares.append(one.facts["best_step"] / one.facts["planned_steps"])
    share = float(np.median(shares)) if shares else 1.0
    # What the folds have cost is lost without this one: a network makes its least steps.
    must |= paced
    last, least = folder / "all", max(share, 0.2)
    nothing = np.arange(0)
    whole, _ = learn.learn(
        job, member, division.train, nothing, last, part(), share=least, must=must, part="all"
    )
    facts = {**whole.facts, "seconds": round(seconds + whole.facts["seconds"], 2)}
    return replace(whole, facts=facts), collected


def _log_fold(job: Job, k: int, member: str, step: int, numbers: dict[str, float]) -> None:
    job.log(f"{member}/fold {k}", step, numbers)
