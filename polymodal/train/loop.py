"""The one loop: AdamW, warm-up and cosine, clipping, a moving average, validation, checkpoints."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.base.devices import device, device_of, seeded
from polymodal.base.errors import UserError
from polymodal.base.tensors import read_tensors, write_tensors
from polymodal.contract.balance import JOINT, MODALITIES, Loss
from polymodal.contract.batch import Batch, Outputs
from polymodal.contract.predictor import Predictor
from polymodal.contract.recipe import Training
from polymodal.contract.task import Answers, Task
from polymodal.contract.writing import silenced
from polymodal.models.model import Model
from polymodal.prepared.collate import Collator
from polymodal.train import cached, several
from polymodal.train.clock import Allowance
from polymodal.train.interrupt import Interrupted, interruptible
from polymodal.train.kernels import Kernels
from polymodal.train.lesson import Lesson, Progress, Watch
from polymodal.train.losses import alone, losses
from polymodal.train.optimizer import optimizer, rate
from polymodal.train.pace import Pace
from polymodal.train.passes import passes, seen, told

# At most this many validations in one fit of a member: on small sets one costs like an epoch.
VALIDATIONS = 30
# So many updates in a row without a finite loss and gradient end a training: it will not recover.
BAD_STEPS = 20


class Diverged(UserError):
    """A member whose loss or answers are no numbers; others of the fit may be sound."""

    def __init__(self, name: str, got: str) -> None:
        super().__init__(
            f"The training of '{name}' diverges",
            expected="a finite loss",
            got=got,
            do="lower training.lr (for a tuned backbone pretrained_lr), or clip extreme values",
        )


class Loop:
    """One model's training.

    Args:
        model: its encoders adapted.
        lesson: what it learns from.
        settings: resolved: `epochs` is a number.
        kernels: precision, attention, memory format and threads, as measured.
        allowance: how many updates, in what time.
        seed: of order, augmentation, dropout.
        folder: where checkpoints go; one there is resumed.
        watch: who is told.
    """

    def __init__(
        self,
        model: Model,
        lesson: Lesson,
        settings: Training,
        kernels: Kernels,
        allowance: Allowance,
        *,
        seed: int,
        folder: Path,
        watch: Watch | None = None,
    ) -> None:
        self.lesson, self.settings, self.kernels = lesson, settings, kernels
        self.allowance, self.seed, self.folder = allowance, seed, folder
        self.watch = watch or Watch()
        self.device = device()
        kernels.apply(model)
        self.model = model.to(self.device)
        self.pace = Pace(self.model, kernels, self.device)
        self.balance = several.balance(model, settings, lesson.tasks)
        self.optimizer = optimizer(model, settings)
        self.weights: list[nn.Parameter] = []
        if self.balance is not None:
            self.weights = list(self.balance.to(self.device).parameters())
        if self.weights:
            own = {"params": self.weights, "lr": settings.lr, "peak": settings.lr}
            self.optimizer.add_param_group({**own, "weight_decay": 0.0})
        self.params = [p for p in model.parameters() if p.requires_grad]
        self.average = [p.detach().clone() for p in self.params] if settings.ema else []
        self.generator = torch.Generator().manual_seed(seed)
        self.progress = Progress(allowance.steps)
        self.per_epoch = max(1, math.ceil(len(lesson.train) / settings.batch_size))
        self.every = max(self.per_epoch, math.ceil(allowance.steps / VALIDATIONS))
        self.best: dict[str, Tensor] = {}

    def run(self) -> Progress:
        """Train to the end, or to Ctrl-C; the model holds the selected weights afterwards.

        Raises:
            Interrupted: Ctrl-C; the checkpoint is written.
            Late: the time is too short for `least` updates.
            UserError: the loss is not finite.
        """
        with seeded(self.seed):
            return self._run()

    def _run(self) -> Progress:
        self._restore()
        start, begun = time.perf_counter(), self.progress.step
        with self.kernels.threads_set(), interruptible() as interrupted:
            for rows in self._batches():
                with self.pace.timed():
                    loss = self._step(rows)
                self.progress.step += 1
                if self.progress.bad >= BAD_STEPS:
                    raise self._diverged(f"{self.progress.bad} steps in a row without one")
                self.progress.steps = self.allowance.paced(
                    self.progress.step - begun,
                    time.perf_counter() - start,
                    self.progress.step,
                    self.progress.steps,
                )
                self.watch.report(self.progress.step, self.progress.steps, loss)
                last = self.progress.step >= self.progress.steps
                if last or self.progress.step % self.every == 0:
                    self._validate()
                    self._save()
                    if last or self.progress.done:
                        break
                if interrupted.is_set():
                    self._save()
                    raise Interrupted("Interrupted; the same fit goes on where this stopped")
        if self.progress.best == math.inf:
            raise self._diverged("not one validation with one")
        self.progress.done = True
        self._select()
        self._save()
        return self.progress

    def _batches(self) -> Iterator[np.ndarray[Any, Any]]:
        """Batches from the current step on: the order depends on the seed and the epoch alone."""
        size = self.settings.batch_size
        while self.progress.step < self.progress.steps and not self.progress.done:
            epoch, skip = divmod(self.progress.step, self.per_epoch)
            rng = np.random.default_rng([self.seed, epoch])
            batches = self.lesson.collator.order(self.lesson.train, size, rng)
            # An epoch is `per_epoch` steps by definition, whatever a joined last batch did to it.
            for i in range(skip, self.per_epoch):
                yield batches[i % len(batches)]

    def _step(self, rows: np.ndarray[Any, Any]) -> float:
        self.model.train()
        batch = self.lesson.batch(rows)
        for name, change in self.lesson.augment.items():
            batch.inputs[name] = change(batch.inputs[name], self.generator)
        batch = batch.to(self.device)
        share = rate(self.progress.step, self.progress.steps, self.settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * share
        total = self._backward(batch)
        norm = nn.utils.clip_grad_norm_(self.params, self.settings.clip)
        loss = float(total)
        finite = math.isfinite(loss) and math.isfinite(norm)
        self.progress.bad = 0 if finite else self.progress.bad + 1
        if finite:  # one bad gradient would spoil every weight for good
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if finite and self.average:
            step = self.progress.step
            decay = min(self.settings.ema, (1 + step) / (10 + step))
            torch._foreach_lerp_(self.average, [p.detach() for p in self.params], 1 - decay)
        return loss

    def _backward(self, batch: Batch) -> Tensor:
        """Fill the gradients from one batch; its loss."""
        each: dict[str, Tensor] = {}
        own: dict[str, Loss] = {}
        over = None if self.balance is None else self.balance.over
        done, model = torch.zeros((), device=self.device), self.model
        for given, asked in passes(batch, self.lesson.tasks, model, self.generator):
            tasks = {name: task for name, task in asked.items() if not _parted(task, batch)}
            for task in (task for name, task in asked.items() if name not in tasks):
                assert task.chunk is not None
                done += cached.backward(model, given, task, task.chunk, self._autocast)
            if not tasks:
                continue
            with self.kernels.autocast(self.device):
                tokens = model.encode(given.inputs)
                outputs = model.fuse(tokens, (), given.targets, tasks)
            each |= losses(outputs, given, tasks)
            # Balance is kept by the tasks that hide nothing, if there are any.
            if over == MODALITIES and not own:
                with self.kernels.autocast(self.device):
                    apart = model.alone(tokens, given.targets, tasks)
                own = alone(apart, given, tasks)
        if not each:
            return done
        total = torch.stack(list(each.values())).sum()
        if self.balance is None:
            torch.autograd.backward(total)
            return total.detach() + done
        self.progress.notice({f"train/ratio/{n}": one.ratio for n, one in own.items()})
        joint = {JOINT: Loss(total), **own}
        found = joint if over == MODALITIES else several.of_tasks(each, batch)
        if not found:
            torch.autograd.backward(total)
            return total.detach()
        numbers = self.balance.backward(found, several.parts(model, self.balance.over))
        self.progress.notice({f"train/{n}": value for n, value in numbers.items()})
        return total.detach()

    def _autocast(self) -> AbstractContextManager[Any]:
        return self.kernels.autocast(self.device)

    def _diverged(self, got: str) -> Diverged:
        return Diverged(self.watch.name, f"{got}, up to step {self.progress.step}")

    def _validate(self) -> None:
        progress = self.progress
        with self._averaged():
            loss, numbers = self._measure()
            numbers |= {name: total / n for name, (total, n) in progress.noticed.items()}
            numbers |= self.pace.numbers()
            progress.noticed = {}
            self.watch.log(progress.step, numbers)
            progress.history.append({"step": progress.step, **numbers})
            if loss < progress.best or not self.best:
                progress.best, progress.best_step, progress.stale = loss, progress.step, 0
                self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
            else:
                progress.stale += 1
            if self.settings.select == "last":
                self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        progress.done = 0 < self.settings.patience <= progress.stale

    def _measure(self) -> tuple[float, dict[str, float]]:
        """What selection minimises, and the validation numbers to show."""
        if not len(self.lesson.valid):
            return -float(self.progress.step), {}
        tasks, collator = self.lesson.tasks, self.lesson.collator
        # What selects is what targets cost; to write texts as well would take longer than steps.
        with silenced(self.model):
            scores = predict(self.model, tasks, collator, self.lesson.valid)
        total, numbers = 0.0, {}
        for name, task in tasks.items():
            known = self.lesson.known[name]
            loss = task.criterion(known.of(scores[name]), known.targets)
            numbers[f"valid/{name}"] = loss
            total += loss
        return total if math.isfinite(total) else math.inf, numbers

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The moving average in the model's place for a while.

        Buffers stay: a batch norm's running statistics are moving averages themselves.
        """
        if not self.average:
            yield
            return
        own = [p.detach().clone() for p in self.params]
        try:
            with torch.no_grad():
                torch._foreach_copy_(list[Tensor](self.params), self.average)
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(list[Tensor](self.params), own)

    def _select(self) -> None:
        self.model.load_state_dict(self.best)
        self.model.eval()

    def _save(self) -> None:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        tensors |= {f"average.{i}": v for i, v in enumerate(self.average)}
        if self.balance is not None:
            tensors |= {f"balance.{k}": v for k, v in self.balance.state_dict().items()}
        for i, p in enumerate([*self.params, *self.weights]):
            for key, value in self.optimizer.state.get(p, {}).items():
                tensors[f"optimizer.{i}.{key}"] = value
        tensors["rng.torch"] = torch.get_rng_state()
        tensors["rng.augment"] = self.generator.get_state()
        if self.device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        described = {"progress": json.dumps(asdict(self.progress))}
        write_tensors(self.folder / "checkpoint.safetensors", tensors, described)

    def _restore(self) -> None:
        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            return
        tensors, described = read_tensors(path)
        self.progress = Progress(**json.loads(described["progress"]))

        def under(prefix: str) -> dict[str, Tensor]:
            return {
                k[len(prefix) :]: v.to(self.device)
                for k, v in tensors.items()
                if k.startswith(prefix)
            }

        self.model.load_state_dict(under("model."))
        self.best = under("best.")
        self.average = [tensors[f"average.{i}"].to(self.device) for i in range(len(self.average))]
        if self.balance is not None:
            self.balance.load_state_dict(under("balance."))
        for i, p in enumerate([*self.params, *self.weights]):
            state = under(f"optimizer.{i}.")
            if state:
                self.optimizer.state[p] = state
        torch.set_rng_state(tensors["rng.torch"])
        self.generator.set_state(tensors["rng.augment"])
        if self.device.type == "cuda" and "rng.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["rng.cuda"], self.device)


def predict(
    model: Predictor,
    tasks: Mapping[str, Task],
    collator: Collator,
    rows: np.ndarray[Any, Any],
) -> dict[str, Answers]:
    """Answers to every row: task -> one array a row, `(size,)` or `(words, size)`.

    Validation, prediction and everything that measures a run ask here, so that what was selected
    is what answers: in float32 whatever training was computed in, with the attention and the
    memory format that the model was given, where it lies.
    """
    return predict_without(model, tasks, collator, rows, absent=[()])[0]


def predict_without(
    model: Predictor,
    tasks: Mapping[str, Task],
    collator: Collator,
    rows: np.ndarray[Any, Any],
    *,
    absent: Sequence[Collection[str]],
) -> list[dict[str, Answers]]:
    """`predict` for every set in `absent` of modalities to treat as missing in every row.

    The encoders run once a batch, whatever the number of sets.
    """
    found: list[dict[str, Any]] = [{name: [None] * len(rows) for name in tasks} for _ in absent]
    if model.training:  # else threads may share it: nothing is written
        model.eval()
    place = device_of(model)
    with torch.inference_mode():
        for positions, batch in collator.sequential(rows, model.batch_size):
            for given, asked in passes(batch.to(place), tasks, model):
                tokens = model.encode(given.inputs)
                for scored, gone in zip(found, absent, strict=True):
                    outputs = model.fuse(tokens, gone, told(given, asked), asked)
                    collect(scored, positions, asked, given, outputs)
    return found


def collect(
    scored: Mapping[str, Any],
    positions: np.ndarray[Any, Any],
    tasks: Mapping[str, Task],
    batch: Batch,
    outputs: Outputs,
) -> None:
    """Put a batch's answers in their places."""
    for name, task in tasks.items():
        answers = task.answer(seen(name, task, batch, outputs))
        for position, answer in zip(positions, answers, strict=True):
            scored[name][position] = answer


def unanswered(scores: Mapping[str, Answers]) -> list[int]:
    """Positions of answers that hold what is no number, in any task."""
    found: set[int] = set()
    for answers in scores.values():
        if len(answers) and np.isfinite(np.concatenate([np.ravel(one) for one in answers])).all():
            continue
        found.update(i for i, one in enumerate(answers) if not np.isfinite(one).all())
    return sorted(found)


def _parted(task: Task, batch: Batch) -> bool:
    """Whether a task keeps the graph of some rows of a batch only, and not of all."""
    return task.chunk is not None and task.chunk < len(batch)
