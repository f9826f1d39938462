"""Design: what a member is to be, before it has learned anything."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from polymodal.contract.form import Form
from polymodal.contract.predictor import Predictor
from polymodal.contract.recipe import Member, Modality, Spec
from polymodal.contract.task import Task
from polymodal.contract.tuning import Tuning
from polymodal.table.schema import Column


class Design(ABC):
    """One way to build a predictor from a member's part of the recipe.

    A file of `models/designs/` is one, and `fitting/learners/` has a file of the same name: how
    such a predictor is fitted.

    Attributes:
        paced: True if it learns in steps whose number is set beforehand to fit the time; False if
            it takes what it needs.
    """

    paced: ClassVar[bool]

    def __init__(self, member: Member) -> None:
        self.member = member

    @abstractmethod
    def components(
        self, grouped: Mapping[str, list[Column]], targets: Collection[str]
    ) -> list[tuple[str, Spec]]:
        """Folder and spec of every component that it is built of.

        Args:
            targets: what tasks are called: parts that its recipe may name.

        Raises:
            UserError: one needs a package that is not there.
        """

    @abstractmethod
    def form(self, name: str, modality: Modality, kind: str) -> str:
        """The form that it reads a modality in; UserError if it cannot read its kind."""

    def runs(self, name: str) -> bool:
        """Whether a modality's pretrained model is part of it, and not its kept outputs alone."""
        return False

    def tuning(self) -> Tuning | None:
        """Which of its parameters learn; None: all that it has."""
        return None

    @abstractmethod
    def resolved(self, modality: Modality, kind: str) -> dict[str, Any]:
        """Keys of the modality that nothing but a default has said so far."""

    @abstractmethod
    def predictor(
        self,
        kinds: Mapping[str, str],
        forms: Mapping[str, Form],
        tasks: Mapping[str, Task],
    ) -> Predictor:
        """The predictor, with nothing learned.

        Args:
            kinds, forms: by modality, in order.
            tasks: name -> fitted task.
        """
