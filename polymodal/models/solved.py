"""Solved: predictors that a solver fits as a whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.block import Array, Cellwise
from polymodal.contract.form import Form
from polymodal.contract.predictor import Predictor
from polymodal.contract.supervised import Supervised
from polymodal.contract.task import Task
from polymodal.prepared.prepare import Prepared


class Solved(Predictor, ABC):
    """A predictor whose numbers are solved for at once, not descended to step by step.

    Constructor: `(kinds, forms, tasks, *, options...)`.

    Args:
        kinds: modality -> its kind.
        forms: modality -> fitted form.
        tasks: target -> fitted task.

    Attributes:
        tasks: what it is to learn, in the order of `targets`.
        sizes: how many logits each has.
        with_and_without: whether it is worth trying with frozen models' outputs and without them;
            else only with them, where there are any.
        first: whether others build on what it solves: helped by frozen models it may take as long
            as without.
        least: training rows without which it is not tried unasked.

    Raises:
        UserError: it cannot learn one of the tasks.
    """

    with_and_without: ClassVar[bool] = True
    least: ClassVar[int] = 0
    first: ClassVar[bool] = False
    # It keeps no more of a row than it answers.
    batch_size: ClassVar[int] = 4096

    def __init__(
        self, kinds: Mapping[str, str], forms: Mapping[str, Form], tasks: Mapping[str, Task]
    ) -> None:
        super().__init__()
        self.tasks = {name: _solvable(task, type(self)) for name, task in tasks.items()}
        self.names, self.targets = list(kinds), list(self.tasks)
        self.read_in = {name: forms[name] for name in kinds}
        self.sizes = [task.size for task in self.tasks.values()]

    @staticmethod
    @abstractmethod
    def suited(kinds: Mapping[str, str], frozen: Collection[str] = ()) -> list[str]:
        """Of modalities and their kinds those that it is worth reading unasked.

        Args:
            frozen: those that a frozen model reads too.
        """

    @abstractmethod
    def fit(
        self,
        inputs: Mapping[str, Cellwise],
        train: Array,
        valid: Array | None,
        targets: Mapping[str, Prepared],
        seed: int,
        groups: Array | None = None,
        memo: dict[Any, Any] | None = None,
    ) -> Any:
        """Fit to the training rows.

        Args:
            inputs: modality -> cells of all rows.
            train, valid: row numbers; what is chosen is chosen on the latter.
            targets: target -> encoded targets of all rows, present where known.
            seed: of all that is drawn: equal ones cut the rows alike.
            groups: of all rows: equal ones are never cut apart inside the training rows either.
            memo: kept between the members of one fit, so that equal parts are fitted once.
        """


def _solvable(task: Task, expert: type[Solved]) -> Supervised:
    """The task, if a solver can learn it."""
    if isinstance(task, Supervised) and task.solvable:
        return task
    cannot = "answer" if task.words is None else "label the words of"
    raise UserError(
        f"The expert '{lookup.name_of(expert)}' cannot {cannot} target '{task.name}'",
        expected="supervised targets of one answer a row",
        do="use learner: gradient for it",
    )
