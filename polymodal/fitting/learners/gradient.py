"""Networks, trained step by step under measured kernels, for as many steps as the time allows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from polymodal.base import lookup, sealed
from polymodal.base.devices import device
from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.contract.encoder import Encoder
from polymodal.contract.placing import Placing
from polymodal.contract.recipe import Training, label
from polymodal.contract.tuning import Tuning
from polymodal.contract.unlabelled import Adapting
from polymodal.fitting.beginnings import begin
from polymodal.fitting.learner import Learner, Pace, Trial
from polymodal.models import aligned, build
from polymodal.models.ensemble import simplex
from polymodal.models.model import Model
from polymodal.nn import checkpoint
from polymodal.prepared.cache import default_folder
from polymodal.prepared.prepare import Prepared
from polymodal.train.clock import Allowance, too_few
from polymodal.train.kernels import Kernels, choose
from polymodal.train.learned import learned
from polymodal.train.lesson import Augment, Lesson, Progress, Watch
from polymodal.train.loop import Loop, predict
from polymodal.train.losses import losses
from polymodal.train.passes import passes

# What optimiser, gathering, augmentation and validation add to a measured forward and backward.
OVERHEAD = 1.35
# A step in which the forward pass, a third of it, is taken twice.
TWICE = 4 / 3
# Where neither recipe nor plan says.
EPOCHS = 20
# A network has stopped improving if none of the validations in the last QUIET of its steps, FLAT of
# them at least, was the best.
QUIET, FLAT = 0.25, 3
# What of its time a network may spend on finding the kernels that are fastest.
EXPLORING = 0.05
# So many rows at least, where there are as many, adapt a network that is only to be timed, and
# start alignments.
SAMPLE = 1024
# So many rows are shown to a mode of tuning, for vectors that begin as real words.
BEGINNING = 64
# A network that makes fewer steps, unless its epochs have no more, is left out: it is close to its
# random start still, and the time is another member's.
LEAST_STEPS = 50


class Gradient(Learner[Model]):
    """Measures a step, plans how many there is time for, trains, and chooses a mixture."""

    def learn(self, predictor: Model, trial: Trial) -> tuple[Kernels, dict[str, Any]]:
        """A network makes fewer steps where the time is short, but its least steps; then it goes on
        from what those of one modality have learned."""
        member, lesson = trial.member, trial.lesson
        settings, train = member.training or Training(), lesson.train
        _adapt(predictor, trial, train)
        tuning = _tuned(predictor, trial)
        mode = "" if member.tuning is None else label(member.tuning)
        told = learned(predictor, _kept(trial), mode)
        kernels, steps = _plan(predictor, trial, settings)
        whole = _whole(settings, train)
        begun = begin(predictor, trial) if steps < whole else 0
        loop = Loop(
            predictor,
            replace(lesson, augment=_augmentations(trial)),
            settings,
            kernels,
            Allowance(
                max(1, round(steps * trial.share)),
                trial.left(),
                max(1, round(whole * trial.share)),
                _least(settings, train),
                trial.must,
            ),
            seed=trial.seed,
            folder=trial.folder,
            watch=Watch(
                member.name,
                lambda step, of, loss: trial.job.report(member.name, step, of, loss),
                lambda step, numbers: trial.job.log(member.name, step, numbers),
            ),
        )
        progress = loop.run()
        if tuning is not None:
            tuning.settle(predictor)
        alpha = predictor.fusion.alpha
        if alpha is not None and len(lesson.valid):
            _choose_alpha(predictor, lesson)
        elif alpha is not None and trial.chosen:
            _set_alpha(alpha, np.mean([one["mixture"] for one in trial.chosen], 0))
        facts = {
            "steps": progress.step,
            "best_step": progress.best_step,
            "planned_steps": steps,
            "whole_steps": _whole(settings, train),
            "begun": begun,
            "stopped": _has_stopped(progress, settings),
            "precision": kernels.precision,
            "attention": kernels.attention,
            "memory_format": kernels.memory_format,
            "threads": kernels.threads,
            "history": progress.history,
            "learned": asdict(told),
        }
        if alpha is not None:
            facts["mixture"] = alpha.softmax(0).tolist()
        return kernels, facts

    def pace(self, predictor: Model, trial: Trial) -> Pace:
        settings, train = trial.member.training or Training(), trial.lesson.train
        _adapt(predictor, trial, train[:: max(1, len(train) // SAMPLE)])
        _tuned(predictor, trial)
        seconds = _measured(predictor, trial, settings).seconds * OVERHEAD
        return Pace(seconds, _whole(settings, train), _least(settings, train))


def _tuned(model: Model, trial: Trial) -> Tuning | None:
    """Choose what learns, where the recipe says."""
    found = build.design(trial.member).tuning()
    if found is not None:
        lesson = trial.lesson
        rng = np.random.default_rng(trial.seed)
        size = min(BEGINNING, len(lesson.train))
        rows = np.sort(rng.choice(lesson.train, size, replace=False))
        found.choose(model.to(device()), lesson.collator(rows).to(device()))
    return found


def _kept(trial: Trial) -> dict[str, int]:
    """Modality -> numbers of its pretrained model, of those whose outputs are kept instead."""
    design = build.design(trial.member)
    return {
        name: checkpoint.numbers(modality.pretrained)
        for name, modality in trial.member.modalities.items()
        if modality.pretrained is not None and not design.runs(name)
    }


def _has_stopped(progress: Progress, settings: Training) -> bool:
    """Whether a training had stopped improving, as far as validation tells."""
    if 0 < settings.patience <= progress.stale:
        return True
    return progress.stale >= FLAT and progress.best_step <= (1 - QUIET) * progress.step


def _measured(model: Model, trial: Trial, settings: Training) -> Kernels:
    """The kernels that are fastest on a batch, with what a step takes."""
    lesson = trial.lesson
    rng = np.random.default_rng(trial.seed)
    rows = lesson.collator.order(lesson.train, settings.batch_size, rng)[0]
    # Of a batch that is computed in chunks one is timed, and each is computed once more.
    chunks = [task.chunk for task in lesson.tasks.values() if task.chunk is not None]
    chunk = min([len(rows), *chunks])
    batch = lesson.collator(rows[:chunk])
    for name, task in lesson.tasks.items():
        draw = torch.Generator().manual_seed(trial.seed)
        *_, (batch, _) = passes(batch, {name: task}, model.eval(), draw)
    found = choose(
        model,
        batch,
        lambda outputs, batch: torch.stack(
            list(losses(outputs, batch, lesson.tasks).values())
        ).sum(),
        settings,
        device(),
        default_folder(),
        limit=EXPLORING * max(0.0, trial.left()),
    )
    if chunk == len(rows):
        return found
    return replace(found, seconds=found.seconds * TWICE * len(rows) / chunk)


def _plan(model: Model, trial: Trial, settings: Training) -> tuple[Kernels, int]:
    """Kernels by measurement, steps by epochs and time; kept for a resume to repeat."""
    lesson, path = trial.lesson, trial.folder / "plan.json"
    if path.exists():
        kept = sealed.read(path)
        return Kernels(**kept["kernels"]), int(kept["steps"])
    kernels = _measured(model, trial, settings)
    steps, least, left = (
        _whole(settings, lesson.train),
        _least(settings, lesson.train),
        trial.left(),
    )
    if kernels.seconds > 0 and left < math.inf:
        affordable = max(0, int(left / (kernels.seconds * OVERHEAD)))
        if affordable < least and not trial.must:
            raise too_few(affordable, least)
        steps = min(steps, max(affordable, least))
    sealed.write(path, {"kernels": asdict(kernels), "steps": steps})
    return kernels, steps


def _per_epoch(settings: Training, train: np.ndarray[Any, Any]) -> int:
    return max(1, math.ceil(len(train) / settings.batch_size))


def _whole(settings: Training, train: np.ndarray[Any, Any]) -> int:
    """The steps that a member makes if it has the time."""
    return (settings.epochs or EPOCHS) * _per_epoch(settings, train)


def _least(settings: Training, train: np.ndarray[Any, Any]) -> int:
    return min(LEAST_STEPS, _whole(settings, train))


def _adapt(module: Model, trial: Trial, train: np.ndarray[Any, Any]) -> None:
    """Encoders to the training rows, or to what the parent has learned; heads that must be."""
    inputs, origin = trial.lesson.collator.inputs, trial.job.origin
    fresh = {} if origin is None else origin.start(module)

    def fields(prepared: Prepared) -> Iterator[Field]:
        for i in range(0, len(train), 256):
            yield prepared.gather(train[i : i + 256])

    new = [name for name in module.names if fresh.get(name, "new")]
    for name, encoder in zip(module.names, module.encoders, strict=True):
        assert isinstance(encoder, Encoder)
        if name in new:
            encoder.adapt(fields(inputs[name]))
    some = train[:: max(1, len(train) // SAMPLE)]
    aligned.start(
        module,
        new,
        lambda: (
            {name: inputs[name].gather(some[i : i + 256]) for name in new}
            for i in range(0, len(some), 256)
        ),
    )
    for head in module.heads:
        if isinstance(head, Adapting):
            head.adapt(fields(inputs[head.modality]))


def _choose_alpha(module: Model, lesson: Lesson) -> None:
    """Set the fusion's mixture to what minimises the validation loss.

    Decisions are mixed as scores. Features are mixed before the heads, so there the loss is asked
    of the model itself, coordinate by coordinate.
    """
    alpha = module.fusion.alpha
    assert alpha is not None
    tasks, values = lesson.tasks, lesson.known

    def loss(weights: np.ndarray[Any, Any]) -> float:
        _set_alpha(alpha, weights)
        scores = predict(module, tasks, lesson.collator, lesson.valid)
        return sum(
            o.criterion(values[n].of(scores[n]), values[n].targets) for n, o in tasks.items()
        )

    best = simplex(len(module.names), loss)
    loss(best)


def _set_alpha(alpha: torch.Tensor, weights: np.ndarray[Any, Any]) -> None:
    """A fusion's mixture from weights `(modalities,)` that sum to 1."""
    with torch.no_grad():
        alpha.copy_(torch.from_numpy(np.log(np.maximum(weights, 1e-6))))


def _augmentations(trial: Trial) -> dict[str, Augment]:
    grouped = trial.job.schema.modalities()
    placing = [task for task in trial.job.tasks.values() if isinstance(task, Placing)]
    looked_at = {name for task in placing for name in task.looks_at}
    found: dict[str, Augment] = {}
    for name, modality in trial.member.modalities.items():
        kind = build.folder_kind(grouped[name])
        if modality.augment is False or "augment" not in lookup.names(f"modalities/{kind}"):
            continue
        options = modality.augment if isinstance(modality.augment, dict) else {}
        if name in looked_at:
            options = _in_place(name, kind, options)
        found[name] = lookup.build(f"modalities/{kind}", {"name": "augment", **options})
    return found


def _in_place(name: str, kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of an augmentation under which everything stays where targets say that it is.

    Raises:
        UserError: it is asked to move something.
    """
    still: dict[str, Any] = lookup.find(f"modalities/{kind}", "augment").still
    moving = {key: value for key, value in options.items() if key in still and value}
    if moving:
        raise UserError(
            f"'{name}' cannot be augmented by {', '.join(moving)}",
            expected="what leaves everything in its place: a target says where it is",
            got=", ".join(f"{key}: {value}" for key, value in moving.items()),
            do=f"leave it out of modalities.{name}.augment",
        )
    return {**still, **options}
