"""One member, from its recipe to trained weights and validation scores."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from polymodal.base import deadline, lookup
from polymodal.base.devices import device
from polymodal.base.files import read_json, read_tensors, write_json, write_tensors
from polymodal.contract.batch import Field
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.contract.recipe import Member, Training
from polymodal.contract.task import Answers, Task
from polymodal.models import build
from polymodal.models.ensemble import simplex
from polymodal.models.model import Model
from polymodal.models.weights import fill
from polymodal.prepared.collate import Collator
from polymodal.prepared.prepare import Prepared
from polymodal.prepared.targets import Known, known
from polymodal.run.pipeline import Trained, module_targets
from polymodal.table.schema import Schema
from polymodal.train.clock import Allowance, too_few
from polymodal.train.kernels import Kernels, choose
from polymodal.train.lesson import Augment, Lesson, Watch
from polymodal.train.loop import Loop, predict
from polymodal.train.losses import losses

# What optimiser, gathering, augmentation and validation add to a measured forward and backward.
OVERHEAD = 1.35
# Where neither recipe nor plan says.
EPOCHS = 20
# A network that makes fewer steps, unless its epochs have no more, is left out: it is close to its
# random start still, and the time is another member's.
LEAST_STEPS = 50


@dataclass
class Job:
    """What all members of a fit share.

    Attributes:
        forms, prepared: fitted forms by fingerprint of their description, and the cells in them.
        report: (member, step, steps, loss) after every step.
        log: (member, step, numbers) after every validation.
        groups: every row's group as a code, or None: those of one are never cut apart.
        memo: what experts have fitted that others may want too.
    """

    schema: Schema
    tasks: dict[str, Task]
    targets: dict[str, Prepared]
    prepared: dict[str, Prepared]
    forms: dict[str, Form]
    cache: Path
    seed: int
    report: Callable[[str, int, int, float], None] = lambda *_: None
    log: Callable[[str, int, dict[str, float]], None] = lambda *_: None
    groups: np.ndarray[Any, Any] | None = None
    memo: dict[Any, Any] = field(default_factory=dict)

    def known(self) -> np.ndarray[Any, Any]:
        """`(rows,)` bool: which rows have any target."""
        return known(self.targets.values(), np.arange(len(next(iter(self.targets.values())))))

    def keys(self, member: Member) -> dict[str, str]:
        """A member's modalities -> keys into `forms` and `prepared`."""
        grouped = self.schema.modalities()
        return {
            name: form_key(name, build.form_for(member, name, grouped[name]))
            for name in member.modalities
        }


def form_key(modality: str, form: Form) -> str:
    """Equal for two members that read a modality in the same, equally set form."""
    return f"{modality}|{type(form).__module__}|{json.dumps(form.settings, sort_keys=True)}"


def learn(
    job: Job,
    member: Member,
    train: np.ndarray[Any, Any],
    valid: np.ndarray[Any, Any],
    folder: Path,
    allowance: float = math.inf,
    share: float = 1.0,
    must: bool = False,
) -> tuple[Trained, dict[str, Answers]]:
    """Train a member on `train` rows; scores are of the `valid` rows.

    Args:
        allowance: seconds that it may take. A network then makes fewer steps; an expert cannot.
        share: of the steps that the plan foresees, for a refit without validation rows.
        must: whatever the time, an expert is finished, and a network makes its least steps.

    Raises:
        Late: an expert is not done in time, or a network would make too few steps.
    """
    start = time.perf_counter()
    keys = job.keys(member)
    inputs = {name: job.prepared[key] for name, key in keys.items()}
    forms = {name: job.forms[key] for name, key in keys.items()}
    torch.manual_seed(job.seed)
    module = build.module(member, job.schema, forms, job.tasks)
    tasks = {name: job.tasks[name] for name in module_targets(module)}
    targets = {name: job.targets[name] for name in tasks}
    collator = Collator(inputs, targets)
    train, valid = (rows[known(targets.values(), rows)] for rows in (train, valid))
    done = folder / "member.safetensors"
    if done.exists():
        kernels, facts = _read(module, done)
    else:
        if isinstance(module, Model):
            kernels, facts = _by_gradient(
                job,
                member,
                module,
                collator,
                tasks,
                (train, valid),
                folder,
                allowance,
                share,
                must,
            )
        else:
            kernels, facts = Kernels(), {}
            left = math.inf if must else allowance - (time.perf_counter() - start)
            with deadline.within(left):
                _by_solver(job, module, collator, tasks, (train, valid))
        facts["rows"] = len(train)
        facts["seconds"] = round(time.perf_counter() - start, 2)
        # Whatever numbers a member holds: an expert's are buffers, solved for and not descended to.
        facts["parameters"] = sum(t.numel() for t in module.state_dict().values())
        _write(module, kernels, facts, done)
    scores = predict(module, tasks, collator, valid, kernels) if len(valid) else {}
    # It waits where the other members do not need the room.
    return Trained(member, module.eval().cpu(), {}, kernels, facts), scores


def _write(module: nn.Module, kernels: Kernels, facts: dict[str, Any], path: Path) -> None:
    """Keep a member that is done, so that a resumed fit need not train it again."""
    described = {"kernels": json.dumps(asdict(kernels)), "facts": json.dumps(facts)}
    write_tensors(path, module.state_dict(), described)
    (path.parent / "checkpoint.safetensors").unlink(missing_ok=True)


def _read(module: nn.Module, path: Path) -> tuple[Kernels, dict[str, Any]]:
    """What `_write` kept; the weights go into the module."""
    tensors, described = read_tensors(path)
    fill(module, tensors)
    kernels = Kernels(**json.loads(described["kernels"]))
    kernels.apply(module).to(device())
    return kernels, json.loads(described["facts"])


def _by_solver(
    job: Job,
    module: nn.Module,
    collator: Collator,
    tasks: Mapping[str, Task],
    rows: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]],
) -> None:
    train, valid = rows
    held_out = valid if len(valid) else None
    # One thread: the experts alternate between numpy's and torch's threads, and two pools that
    # spin for the same cores made small fits a hundred times slower.
    with threadpool_limits(1), Kernels(threads=1).threads_set():
        module.fit(  # type: ignore[operator]
            collator.inputs,
            train,
            held_out,
            collator.targets,
            tasks,
            job.seed,
            job.groups,
            job.memo,
        )


def _by_gradient(
    job: Job,
    member: Member,
    module: Model,
    collator: Collator,
    tasks: Mapping[str, Task],
    rows: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]],
    folder: Path,
    allowance: float,
    share: float,
    must: bool,
) -> tuple[Kernels, dict[str, Any]]:
    train, valid = rows
    settings = member.training or Training()
    start = time.perf_counter()
    _adapt(module, collator, train)
    kernels, steps = _plan(
        job, module, collator, tasks, train, settings, folder, start, allowance, must
    )
    loop = Loop(
        module,
        Lesson(tasks, collator, train, valid, _augmentations(job, member)),
        settings,
        kernels,
        Allowance(
            max(1, round(steps * share)),
            allowance - (time.perf_counter() - start),
            max(1, round(_whole(settings, train) * share)),
            _least(settings, train),
            must,
        ),
        seed=job.seed,
        folder=folder,
        watch=Watch(
            member.name,
            lambda step, of, loss: job.report(member.name, step, of, loss),
            lambda step, numbers: job.log(member.name, step, numbers),
        ),
    )
    progress = loop.run()
    if module.fusion.alpha is not None and len(valid):
        _choose_alpha(module, tasks, collator, valid, kernels)
    facts = {
        "steps": progress.step,
        "best_step": progress.best_step,
        "planned_steps": steps,
        "precision": kernels.precision,
        "attention": kernels.attention,
        "memory_format": kernels.memory_format,
        "threads": kernels.threads,
        "history": progress.history,
    }
    return kernels, facts


def _plan(
    job: Job,
    module: Model,
    collator: Collator,
    tasks: Mapping[str, Task],
    train: np.ndarray[Any, Any],
    settings: Training,
    folder: Path,
    start: float,
    allowance: float,
    must: bool,
) -> tuple[Kernels, int]:
    """Kernels by measurement, steps by epochs and allowance; kept for a resume to repeat."""
    path = folder / "plan.json"
    if path.exists():
        kept = read_json(path)
        return Kernels(**kept["kernels"]), int(kept["steps"])
    rng = np.random.default_rng(job.seed)
    first = collator.order(train, settings.batch_size, rng)[0]
    batch = collator(first)
    for task in tasks.values():
        batch = task.spoil(batch, module.read_in, torch.Generator().manual_seed(job.seed))
    kernels = choose(
        module,
        batch,
        lambda outputs, batch: torch.stack(list(losses(outputs, batch, tasks).values())).sum(),
        settings,
        device(),
        job.cache,
    )
    steps, least = _whole(settings, train), _least(settings, train)
    left = allowance - (time.perf_counter() - start)
    if kernels.seconds > 0 and left < math.inf:
        affordable = max(0, int(left / (kernels.seconds * OVERHEAD)))
        if affordable < least and not must:
            raise too_few(affordable, least)
        steps = min(steps, max(affordable, least))
    write_json(path, {"kernels": asdict(kernels), "steps": steps})
    return kernels, steps


def _per_epoch(settings: Training, train: np.ndarray[Any, Any]) -> int:
    return max(1, math.ceil(len(train) / settings.batch_size))


def _whole(settings: Training, train: np.ndarray[Any, Any]) -> int:
    """The steps that a member makes if it has the time."""
    return (settings.epochs or EPOCHS) * _per_epoch(settings, train)


def _least(settings: Training, train: np.ndarray[Any, Any]) -> int:
    return min(LEAST_STEPS, _whole(settings, train))


def _adapt(module: Model, collator: Collator, train: np.ndarray[Any, Any]) -> None:
    for name, encoder in zip(module.names, module.encoders, strict=True):
        assert isinstance(encoder, Encoder)
        prepared = collator.inputs[name]

        def fields(prepared: Prepared = prepared) -> Iterator[Field]:
            for i in range(0, len(train), 256):
                yield prepared.gather(train[i : i + 256])

        encoder.adapt(fields())


def _augmentations(job: Job, member: Member) -> dict[str, Augment]:
    grouped = job.schema.modalities()
    found: dict[str, Augment] = {}
    for name, modality in member.modalities.items():
        kind = build.folder_kind(grouped[name])
        if modality.augment is False or "augment" not in lookup.names(f"modalities/{kind}"):
            continue
        options = modality.augment if isinstance(modality.augment, dict) else {}
        found[name] = lookup.build(f"modalities/{kind}", {"name": "augment", **options})
    return found


def _choose_alpha(
    module: Model,
    tasks: Mapping[str, Task],
    collator: Collator,
    valid: np.ndarray[Any, Any],
    kernels: Kernels,
) -> None:
    """Set the fusion's mixture to what minimises the validation loss.

    Decisions are mixed as scores. Features are mixed before the heads, so there the loss is asked
    of the model itself, coordinate by coordinate.
    """
    alpha = module.fusion.alpha
    assert alpha is not None
    values = {n: Known(collator.targets[n], valid) for n in tasks}

    def loss(weights: np.ndarray[Any, Any]) -> float:
        with torch.no_grad():
            alpha.copy_(torch.from_numpy(np.log(np.maximum(weights, 1e-6))))
        scores = predict(module, tasks, collator, valid, kernels)
        return sum(
            o.criterion(values[n].of(scores[n]), values[n].targets) for n, o in tasks.items()
        )

    best = simplex(len(module.names), loss)
    loss(best)
