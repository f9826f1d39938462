"""What a training is given and how far it is: Lesson, Watch, Progress."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from polymodal.contract.batch import Batch, Field
from polymodal.contract.task import Task
from polymodal.prepared.collate import Collator
from polymodal.prepared.targets import Known

Augment = Callable[[Field, torch.Generator], Field]


@dataclass
class Progress:
    """Where a fit of one member stands; everything of a checkpoint that is not a tensor.

    Attributes:
        steps: updates in all.
        bad: updates left out since the last whose loss and gradient were finite.
        noticed: what balancing saw since the last validation: name -> [sum, count].
    """

    steps: int
    step: int = 0
    best: float = math.inf
    best_step: int = 0
    stale: int = 0
    bad: int = 0
    done: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    noticed: dict[str, list[float]] = field(default_factory=dict)

    def notice(self, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            if math.isfinite(value):
                total, count = self.noticed.get(name, (0.0, 0))
                self.noticed[name] = [total + value, count + 1]


@dataclass(frozen=True)
class Lesson:
    """What a model learns from.

    Attributes:
        tasks: name -> fitted task.
        collator: over the whole table.
        train, valid: row numbers.
        augment: modality -> augmentation of training batches.
        blended: task -> `(rows, ...)` of the whole table: what stands in the place of the training
            rows' targets (`Supervised.blended`).
    """

    tasks: Mapping[str, Task]
    collator: Collator
    train: np.ndarray[Any, Any]
    valid: np.ndarray[Any, Any]
    augment: Mapping[str, Augment] = field(default_factory=dict)
    blended: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)

    def batch(self, rows: np.ndarray[Any, Any]) -> Batch:
        """Training rows as they are learned."""
        found = self.collator(rows)
        for name, every in self.blended.items():
            present = found.targets[name].present
            found.targets[name] = Field(torch.from_numpy(every[rows]), None, present)
        return found

    @cached_property
    def known(self) -> dict[str, Known]:
        """Each task's targets of the validation rows: gathered once for all validations."""
        return {name: Known(self.collator.targets[name], self.valid) for name in self.tasks}


@dataclass(frozen=True)
class Watch:
    """Who is told how a training goes.

    Attributes:
        name: the model's, for messages.
        report: called after every step with (step, of how many, loss).
        log: called after every validation with the step and its numbers.
    """

    name: str = "model"
    report: Callable[[int, int, float], None] = lambda *_: None
    log: Callable[[int, dict[str, float]], None] = lambda *_: None
