"""One member, from its recipe to trained weights and validation scores."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base import lookup
from polymodal.base.devices import device, seeded
from polymodal.base.tensors import read_tensors, write_tensors
from polymodal.contract.predictor import Predictor
from polymodal.contract.recipe import Member
from polymodal.contract.task import Answers
from polymodal.fitting.job import Job
from polymodal.fitting.learner import Learner, Pace, Trial
from polymodal.models import build
from polymodal.nn.weights import fill
from polymodal.prepared.collate import Collator
from polymodal.prepared.targets import known
from polymodal.run.pipeline import Trained
from polymodal.train.kernels import Kernels
from polymodal.train.lesson import Lesson
from polymodal.train.loop import Diverged, predict, unanswered

# What is done of a member lies in its folder under this name.
DONE = "member.safetensors"


def learn(
    job: Job,
    member: Member,
    train: np.ndarray[Any, Any],
    valid: np.ndarray[Any, Any],
    folder: Path,
    allowance: float = math.inf,
    share: float = 1.0,
    must: bool = False,
    part: str = "",
    chosen: Sequence[Mapping[str, Any]] = (),
    rivals: Sequence[tuple[Member, Path]] = (),
) -> tuple[Trained, dict[str, Answers]]:
    """Train a member on `train` rows; scores are of the `valid` rows.

    Args:
        allowance: seconds that it may take.
        share: of the steps that the plan foresees, for a refit without validation rows.
        must: it is finished whatever the time.
        part: the fold, or "" without folds.
        chosen: the folds' facts, for a refit: what they chose.
        rivals: networks of one modality that have learned before, and their folders of all parts.

    Raises:
        Late: it cannot be done in time.
        Diverged: its loss or its answers are no numbers.
    """
    start, seed = time.perf_counter(), job.seed_of(member, part)
    with seeded(seed):
        module, lesson = _lesson(job, member, train, valid)
        done = folder / DONE
        if done.exists():
            kernels, facts = _read(module, done)
        else:
            end, alike = start + allowance, [(rival, place / part) for rival, place in rivals]
            trial = Trial(job, member, lesson, folder, seed, end, share, must, chosen, alike)
            kernels, facts = learner(member).learn(module, trial)
            facts["rows"] = len(lesson.train)
            facts["seconds"] = round(time.perf_counter() - start, 2)
            facts["parameters"] = module.numbers()
            _write(module, kernels, facts, done)
        # Wherever it was fitted or read to: it is validated where it will predict.
        module.to(device())
        scores: dict[str, Answers] = {}
        if len(lesson.valid):
            scores = predict(module, lesson.tasks, lesson.collator, lesson.valid)
        if bad := unanswered(scores):
            what = f"{len(bad)} of {len(lesson.valid)} answers that are no numbers"
            raise Diverged(member.name, what)
        job.keep_masked(member, module, lesson.collator, lesson.valid, scores)
    # It waits where the other members do not need the room.
    return Trained(member, module.eval().cpu(), {}, kernels, facts), scores


def pace(
    job: Job,
    member: Member,
    train: np.ndarray[Any, Any],
    folder: Path,
    allowance: float,
    part: str,
) -> Pace:
    """How fast a member that learns in steps would learn from `train` rows, by measuring.

    Args:
        allowance: seconds that it might have in all.
        part: as of `learn`.
    """
    start = time.perf_counter()
    seed = job.seed_of(member, part)
    with seeded(seed):
        module, lesson = _lesson(job, member, train, np.arange(0))
        trial = Trial(job, member, lesson, folder, seed, start + allowance)
        return learner(member).pace(module, trial)


def learner(member: Member) -> Learner[Any]:
    """How the predictor of a member's design is fitted."""
    name = lookup.name_of(type(build.design(member)))
    found = lookup.find("fitting/learners", name)()
    assert isinstance(found, Learner)
    return found


def _lesson(
    job: Job, member: Member, train: np.ndarray[Any, Any], valid: np.ndarray[Any, Any]
) -> tuple[Predictor, Lesson]:
    """A member's predictor with nothing learned, and what it is to learn from."""
    keys = job.keys(member)
    forms = {name: job.forms[key] for name, key in keys.items()}
    module = build.module(member, job.schema, forms, job.tasks)
    tasks = {name: job.tasks[name] for name in module.targets}
    targets = {name: job.targets[name] for name in tasks}
    collator = Collator({name: job.prepared[key] for name, key in keys.items()}, targets)
    train, valid = (rows[known(targets.values(), rows)] for rows in (train, valid))
    blended = {name: job.blended[name] for name in tasks if name in job.blended}
    return module, Lesson(tasks, collator, train, valid, blended=blended)


def _write(module: Predictor, kernels: Kernels, facts: dict[str, Any], path: Path) -> None:
    """Keep a member that is done, so that a resumed fit need not train it again."""
    described = {"kernels": json.dumps(asdict(kernels)), "facts": json.dumps(facts)}
    write_tensors(path, module.state_dict(), described)
    (path.parent / "checkpoint.safetensors").unlink(missing_ok=True)


def _read(module: Predictor, path: Path) -> tuple[Kernels, dict[str, Any]]:
    """What `_write` kept; the weights go into the module."""
    tensors, described = read_tensors(path)
    fill(module, tensors)
    kernels = Kernels(**json.loads(described["kernels"]))
    kernels.apply(module)
    return kernels, json.loads(described["facts"])
