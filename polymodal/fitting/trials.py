"""All models of a fit, one after the other: each learns under the time that it is allowed.

Experts come first, of all modalities before those of one. Networks follow, the fusion in several
times as many steps as every modality's own, as measured beforehand, and from the encoders of those
if that is less than all of its steps. What was skipped or cut is tried again with what others have
left over, before any further fusion: a rival that had less than the fusion says nothing about it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base import lookup
from polymodal.base.deadline import Late
from polymodal.contract.recipe import Member, name_of
from polymodal.contract.task import Answers
from polymodal.fitting import learn
from polymodal.fitting.clock import Clock
from polymodal.fitting.data import Division
from polymodal.fitting.folder import checkpoints
from polymodal.fitting.job import Job
from polymodal.fitting.learner import Pace
from polymodal.fitting.twins import behind
from polymodal.metrics.doubts import Attempt
from polymodal.models import build
from polymodal.prepared.targets import Known
from polymodal.report.console import Show
from polymodal.run.pipeline import Trained
from polymodal.train.loop import Diverged

Array = np.ndarray[Any, Any]

# Networks end before their last planned step more often than not: of the time that all steps would
# take, about this part is needed.
USUAL = 0.5
# To train a network once more has to give it so many times the steps that it had.
MORE = 1.5


@dataclass(frozen=True)
class Candidates:
    """Trained models and how they did.

    Attributes:
        job: what they learned from.
        trained: name -> model.
        scores: name -> scores of `rows` by a model that has not seen them.
        rows: the validation rows, or by folds every row; those with a target.
        attempts: what became of every model that was planned.
    """

    job: Job
    trained: dict[str, Trained]
    scores: dict[str, dict[str, Answers]]
    rows: Array
    attempts: list[Attempt]


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
    trials = Trials(job, division, clock, out, show)
    experts = [m for m in members if not build.design(m).paced]
    networks = [m for m in members if build.design(m).paced]
    first = [m for m in networks if not clock.is_further(m)]
    if division.folds and not division.asked and clock.limited:
        trials.hold_out(experts, first)
    for member in experts:
        trials.attempt(member, clock.expert(member))
    trials.round(first)
    first = [m for m in first if m not in trials.waiting]
    trials.again(first, experts)
    further = trials.waiting + [m for m in networks if clock.is_further(m)]
    for i, member in enumerate(further):
        trials.attempt_further(member, len(further) - i, first)
    if not trials.trained and trials.diverged:
        raise trials.diverged[0]
    if not trials.trained:
        # One model there must be, and the first is the best that little time can give: the
        # plan's is the linear expert on everything, part of which may be done already. What has
        # thousands of outputs is beyond it, and not beyond a network's least steps.
        for member in experts[:1]:
            trials.attempt(member, clock.overtime())
    if not trials.trained:
        trials.attempt((first or members)[-1], 0.0, must=True)
    for name, why in trials.skipped.items():
        show.skipped(name, why)
    if trials.skipped and clock.recipe.budget is not None:
        show.too_short(len(trials.skipped), clock.recipe.budget, len(trials.division.folds))
    trained = {m.name: trials.trained[m.name] for m in members if m.name in trials.trained}
    attempts = [trials.described(member) for member in members]
    return Candidates(trials.job, trained, trials.scores, trials.rows, attempts)


class Trials:
    """The members of a fit, as they are tried.

    Attributes:
        trained, scores: as of `Candidates`.
        skipped: name -> why it is not trained.
        paces: of the networks that were measured.
        waiting: networks whose twins come first; see `twins.behind`.
        networks: those of the plan's of one modality that are trained, and where they lie.
    """

    def __init__(self, job: Job, division: Division, clock: Clock, out: Path, show: Show) -> None:
        self.job, self.division, self.clock, self.out, self.show = job, division, clock, out, show
        self.trained: dict[str, Trained] = {}
        self.scores: dict[str, dict[str, Answers]] = {}
        self.skipped: dict[str, str] = {}
        self.diverged: list[Diverged] = []
        self.paces: dict[str, Pace] = {}
        self.waiting: list[Member] = []
        self.networks: dict[str, tuple[Member, Path]] = {}
        # The one of the folds that is the holdout.
        self.part = ""
        scored = division.valid
        if division.folds:
            scored = np.sort(np.concatenate([outer for _, outer in division.folds]))
        self.rows = scored[job.known()[scored]]

    def hold_out(self, experts: Sequence[Member], networks: Sequence[Member]) -> None:
        """Keep the first fold alone where there is no time for all of them, as measured on it."""
        inner, outer = self.division.folds[0]
        seconds, first = 0.0, self.job.within(inner)
        self.show.doing("see whether there is time for folds", "planning")
        for member in experts[:1]:
            start, folder = time.perf_counter(), checkpoints(self.out, member) / "0"
            allowance = self.clock.expert(member)
            try:
                learn.learn(first, member, inner, self._known(outer), folder, allowance, part="0")
                # Of one modality they are part of it, or take as long at most.
                seconds = (time.perf_counter() - start) * len(experts)
            except Late:
                seconds = math.inf
        parts = len(self.division.folds) + 1
        if seconds * parts < self.clock.left():
            self._measure(networks)
            seconds += sum(pace.seconds * pace.whole * USUAL for pace in self.paces.values())
        if seconds * parts < self.clock.left():
            return
        self.show.held_out(len(self.division.folds), len(outer))
        self.division, self.rows = Division(inner, outer, []), self._known(outer)
        self.job, self.part = first, "0"

    def attempt(self, member: Member, allowance: float, must: bool = False, at: str = "") -> None:
        """Train a member, or note why not.

        Args:
            at: folder beside an earlier try's.
        """
        self.show.doing(f"train {member.name}", "training")
        folder = checkpoints(self.out, member) / at
        allowance = math.inf if self._is_done(member, at) else allowance
        rivals = list(self.networks.values()) if len(member.modalities) > 1 else []
        try:
            if allowance <= 0 and not must:
                raise Late("the budget is spent")
            if self.division.folds:
                one, scores = _by_folds(
                    self.job, member, self.division, self.rows, folder, allowance, must, rivals
                )
            else:
                inner, valid = self.division.train, self.rows
                own = folder / self.part
                how: Any = {"must": must, "part": self.part, "rivals": rivals}
                one, scores = learn.learn(self.job, member, inner, valid, own, allowance, **how)
        except Late as late:
            if member.name not in self.trained:
                self.skipped[member.name] = str(late)
            return
        except Diverged as error:
            if member.name not in self.trained:
                self.skipped[member.name] = f"it diverges: {error.got}"
                self.diverged.append(error)
            return
        if not self.trained:
            self._check_metric(scores)
        self.trained[member.name], self.scores[member.name] = one, scores
        if self.clock.divides and build.design(member).paced and len(member.modalities) == 1:
            self.networks[member.name] = member, folder
        self.skipped.pop(member.name, None)
        self.show.trained(member.name, one.facts)

    def round(self, members: Sequence[Member], at: str = "") -> None:
        """Networks that share the time that is left, by `Clock.weights`."""
        if self.clock.limited:
            self._measure(members)
        begun, compare = self.clock.left(), self.clock.recipe.compare
        # What is to be compared is trained, for as short a time as it may be.
        asked = {model.name for model in self.clock.recipe.models or []} if compare else set()
        asked |= {f"{name} fusion" for name in asked}
        weights = self.clock.weights(members, self.paces)
        for i, member in enumerate(members):
            if not at and len(member.modalities) > 1 and self.clock.divides:
                rest = [m for m in members[i:] if m not in self.waiting]
                told = self.job, self.scores, self.rows, self.paces
                self.waiting += behind(rest, self.clock.members, *told)
                weights = [
                    w * (m not in self.waiting) for m, w in zip(members, weights, strict=True)
                ]
            if member in self.waiting:
                continue
            # What one that is compared leaves is nobody's: the next would have an advantage.
            left, wanting = self.clock.left(), sum(weights[i:])
            if compare:
                left, wanting = begun if left > 0 else 0.0, sum(weights)
            share = weights[i] / wanting if wanting else 1.0
            part = left * share if math.isfinite(left) else left
            self.attempt(member, max(part, 0.0), member.name in asked, at)

    def again(self, networks: Sequence[Member], experts: Sequence[Member]) -> None:
        """What was skipped, and then what was cut, with the time that others have left over.

        A fusion comes before its rivals, for which there mostly are experts.
        """
        if not self.clock.limited:
            return
        for member in sorted([*networks, *experts], key=lambda m: -len(m.modalities)):
            if member.name not in self.skipped:
                continue
            self.attempt(member, self.clock.left(), at="again" * self._is_begun(member))
        cut = self._unsettled(networks)
        needed = sum(
            MORE * self._steps(m) * self.paces[m.name].seconds * self._parts() for m in cut
        )
        if cut and not self.clock.recipe.compare and needed <= self.clock.left():
            self.round(cut, "again")

    def attempt_further(self, member: Member, count: int, first: Sequence[Member]) -> None:
        """One of `count` fusions that have time only if all before them had enough."""
        longest = max((self.trained[m.name].facts["seconds"] for m in self._of(first)), default=0.0)
        allowance = self.clock.left() / count
        short = [m.name for m in first if m.name in self.skipped or m in self._unsettled(first)]
        if self.clock.limited and short:
            self.skipped[member.name] = f"the time was too short for {short[0]} already"
        elif allowance < longest:
            self.skipped[member.name] = "it would have less time than those before it had"
        else:
            self.attempt(member, allowance)

    def described(self, member: Member) -> Attempt:
        """What became of a member."""
        paced = build.design(member).paced
        learner, read = _way(member), tuple(member.modalities)
        if member.name not in self.trained:
            why = self.skipped.get(member.name, "")
            return Attempt(member.name, read, learner, paced, skipped=why)
        facts = self.trained[member.name].facts
        keys = ("steps", "best_step", "whole_steps", "stopped")
        known = facts.get("folds", facts) if paced else {}
        steps, best, whole, stopped = (known.get(key, 0) for key in keys)
        begun = known.get("begun", 0)  # steps of what it started from
        steps, best = steps + begun, best + begun
        return Attempt(member.name, read, learner, paced, steps, best, whole, bool(stopped))

    def _check_metric(self, scores: Mapping[str, Answers]) -> None:
        """UserError if the metric that was asked for is none of a task's: first answers tell."""
        for name, answers in scores.items():
            task, known = self.job.tasks[name], Known(self.job.targets[name], self.rows)
            metrics = task.metrics(known.of(answers), known.targets)
            if task.asked is not None and metrics and task.asked not in metrics:
                what = f"There is no metric '{task.asked}' of '{name}' on the validation rows"
                raise lookup.unknown(what, task.asked, metrics, "choose one of these (`metric`)")

    def _measure(self, members: Sequence[Member]) -> None:
        """Time a step of those that are neither measured nor done."""
        self.show.doing("time the networks' steps", "planning")
        inner = self.division.folds[0][0] if self.division.folds else self.division.train
        part = "0" if self.division.folds else self.part
        for member in members:
            folder = checkpoints(self.out, member) / part
            if member.name in self.paces or self._is_done(member):
                continue
            job = self.job.within(inner)
            left = self.clock.left() / len(members)
            if left > 0:  # else it will not be trained
                self.paces[member.name] = learn.pace(job, member, inner, folder, left, part)

    def _of(self, members: Sequence[Member]) -> list[Member]:
        return [m for m in members if m.name in self.trained]

    def _unsettled(self, members: Sequence[Member]) -> list[Member]:
        """Those that were trained, and not to a stop."""
        found = [m for m in self._of(members) if m.name in self.paces]
        most = max((self._steps(m) for m in found if len(m.modalities) > 1), default=0)
        return [m for m in found if not self.described(m).settled(most)]

    def _steps(self, member: Member) -> int:
        return self.described(member).steps

    def _is_begun(self, member: Member) -> bool:
        """Whether a try that came to nothing has left a plan, which would be kept to."""
        return any(checkpoints(self.out, member).rglob("plan.json"))

    def _is_done(self, member: Member, at: str = "") -> bool:
        """Whether an interrupted fit has done all of it."""
        folder = checkpoints(self.out, member) / at
        return (folder / ("all" if self.division.folds else self.part) / learn.DONE).exists()

    def _known(self, rows: Array) -> Array:
        return rows[self.job.known()[rows]]

    def _parts(self) -> int:
        """How often a member is trained."""
        return len(self.division.folds) + 1 if self.division.folds else 1


def _way(member: Member) -> str:
    """How a member learns: an expert that a frozen model helps is another try than one without."""
    read = any(modality.pretrained for modality in member.modalities.values())
    return name_of(member.learner) + ", pretrained" * (read and not build.design(member).paced)


def _by_folds(
    job: Job,
    member: Member,
    division: Division,
    rows: Array,
    folder: Path,
    allowance: float,
    must: bool,
    rivals: Sequence[tuple[Member, Path]],
) -> tuple[Trained, dict[str, Answers]]:
    """Out-of-fold scores, then one model of all rows, for as long as the folds found best.

    Raises:
        Late: as `learn` does; that an expert will not be done in time the first fold may show.
    """
    folds, known = division.folds, job.known()
    place = {row: i for i, row in enumerate(rows)}
    collected: dict[str, Any] = {n: [None] * len(rows) for n in job.tasks}
    done: list[Mapping[str, Any]] = []
    paced, end = build.design(member).paced, time.perf_counter() + allowance

    def part() -> float:
        """Who is paced is told its steps; others take what they need of all that is left."""
        return allowance / (len(folds) + 1) if paced else end - time.perf_counter()

    for k, (inner, outer) in enumerate(folds):
        outer = outer[known[outer]]
        own = replace(job.within(inner), log=partial(_log_fold, job, k))
        how: Any = {"must": must, "part": str(k), "rivals": rivals}
        one, scores = learn.learn(own, member, inner, outer, folder / str(k), part(), **how)
        if k == 0 and not paced and not must and one.facts["seconds"] * len(folds) > part():
            raise Late("it would not be done in its share of the time")
        for target, values in scores.items():
            for row, value in zip(outer, values, strict=True):
                collected[target][place[row]] = value
        done.append(one.facts)
    shares = [one["best_step"] / one["planned_steps"] for one in done if "best_step" in one]
    share = float(np.median(shares)) if shares else 1.0
    # What the folds have cost is lost without this one: a network makes its least steps.
    must |= paced
    how = {"must": must, "part": "all", "rivals": rivals, "chosen": done, "share": max(share, 0.2)}
    last, nothing = folder / "all", np.arange(0)
    whole, _ = learn.learn(job, member, division.train, nothing, last, part(), **how)
    seconds = sum(one["seconds"] for one in [*done, whole.facts])
    facts = {**whole.facts, "seconds": round(seconds, 2)}
    if paced:
        facts["folds"] = typical(done)
    return replace(whole, facts=facts), collected


def typical(folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How long a network learned in most of the folds, and whether it had stopped improving."""
    keys = ("steps", "best_step", "whole_steps", "begun")
    return {key: float(np.median([one[key] for one in folds])) for key in keys} | {
        "stopped": sum(one["stopped"] for one in folds) * 2 > len(folds)
    }


def _log_fold(job: Job, k: int, member: str, step: int, numbers: dict[str, float]) -> None:
    job.log(f"{member}/fold {k}", step, numbers)
