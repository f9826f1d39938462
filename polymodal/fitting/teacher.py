"""What a fit learns of another run: its answers, in the place of labels (distillation).

A run of many models, or of large ones, so becomes a small network (Bucila, Caruana and
Niculescu-Mizil 2006; Hinton, Vinyals and Dean 2015).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base import lookup, sealed
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Member
from polymodal.contract.recipe import Teacher as Spec
from polymodal.contract.supervised import Supervised
from polymodal.contract.task import Task
from polymodal.models import build
from polymodal.prepared.cache import default_folder
from polymodal.prepared.prepare import Prepared
from polymodal.run.run import Run
from polymodal.run.saved import JSON, load
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Teacher:
    """A run whose answers are learned.

    Attributes:
        hash: of its run.json, which holds the hashes of all its files.
        share: of its answers in what is learned.
    """

    run: Run
    hash: str
    share: float

    def described(self) -> dict[str, Any]:
        """What a run that has learned from it says of it."""
        return {"run": str(self.run.folder), "hash": self.hash, "share": self.share}

    def blended(
        self,
        members: Sequence[Member],
        table: Table,
        train: Array,
        tasks: Mapping[str, Task],
        targets: Mapping[str, Prepared],
    ) -> dict[str, Array]:
        """Task -> `(rows, ...)`: its answers to training rows whose target is known, blended with
        that; other rows are 0.

        Args:
            members: that are to learn them.
            train: the training rows, which alone are asked.

        Raises:
            UserError: a member does not learn in steps; the run does not predict all of the
                targets, or answers to one cannot be learned.
        """
        own = self._learnable(members, tasks)
        held = self.run.table(table.take(train))
        prepared = self.run.prepare(held, Ledger(), max_bad_rows=len(held))
        scores = self.run.scores(prepared, np.arange(len(held)), cache=default_folder())
        answers = self.run.combine(scores, present=self.run.present(held, prepared))
        found = {}
        for name, task in own.items():
            asked = np.flatnonzero(targets[name].present[train])
            told, known = [answers[name][i] for i in asked.tolist()], train[asked]
            theirs, true = self.run.tasks[name], targets[name].arrays(known)
            mixed = task.blended(theirs, told, true, self.share)
            if mixed is None:
                raise _unlearnable(name, task)
            found[name] = np.zeros((len(table), *mixed.shape[1:]), np.float32)
            found[name][known] = mixed
        return found

    def _learnable(
        self, members: Sequence[Member], tasks: Mapping[str, Task]
    ) -> dict[str, Supervised]:
        for member in members:
            if not build.design(member).paced:
                raise UserError(
                    f"The model '{member.name}' cannot learn from a teacher",
                    expected="networks: learner: gradient",
                    got=f"learner: {member.learner}",
                    do="leave it out of the recipe, or the teacher",
                )
        found = {}
        for name, task in tasks.items():
            if not isinstance(task, Supervised):
                raise _unlearnable(name, task)
            if type(self.run.tasks.get(name)) is not type(task):
                known = {n: lookup.name_of(type(one)) for n, one in self.run.tasks.items()}
                raise UserError(
                    f"The teacher '{self.run.folder}' cannot teach '{name}'",
                    expected=f"a run that predicts '{name}' by {lookup.name_of(type(task))}",
                    got=", ".join(f"{n} by {what}" for n, what in known.items()),
                    do="name a run that was fitted to the same target",
                )
            found[name] = task
        return found


def teaching(given: Spec, trust: bool) -> Teacher:
    """The run that a recipe names as the teacher.

    Args:
        trust: execute the components of the user's own that it brings.

    Raises:
        UserError: it is no run, or brings code and is not trusted.
    """
    folder = Path(given.run)
    return Teacher(load(folder, trust=trust), sealed.hashed(folder / JSON), given.share)


def _unlearnable(name: str, task: Task) -> UserError:
    return UserError(
        f"What a teacher answers to '{name}' cannot be learned",
        expected="a target of classes, sets of labels or numbers",
        got=lookup.name_of(type(task)),
        do="fit without a teacher",
    )
