"""Coded: a task whose targets are media, told in codes of a tokenizer that is trained first."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from polymodal.contract.form import Form
from polymodal.contract.recipe import Member
from polymodal.contract.task import Answers, Array, Task
from polymodal.contract.writing import Sequenced


class Coded(Sequenced):
    """A task whose target cells are media: they are read as inputs are, and then coded.

    Its `fit` is given present cells as forms take them. Then the tokenizer is trained, as any
    network is, on the training rows; then `take` and `counted` make the task whole.

    Attributes:
        pixels: how its tokenizer reads a cell; known after `fit`.
        form: a cell as codes; known after `take`.
    """

    pixels: Form

    @abstractmethod
    def tokenizing(self) -> tuple[Member, Task]:
        """The network that is the tokenizer, which reads one modality of the target column's name,
        and the task that it learns; its training lacks what the number of rows says."""

    @abstractmethod
    def take(self, encoder: nn.Module, head: nn.Module) -> None:
        """Take over the tokenizer's encoder, and the head of its task."""

    @property
    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What was learned so, kept with a run's weights."""

    @tensors.setter
    @abstractmethod
    def tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore that; after `state`."""

    @abstractmethod
    def said(self, answer: Array) -> str:
        """One answer in words."""

    @abstractmethod
    def counted(self, targets: Answers) -> None:
        """Learn how often codes come in the training rows' targets."""


def said(task: Task, answer: Array) -> Any:
    """One of a task's answers as people are told it: of media in words."""
    if isinstance(task, Coded):
        return task.said(answer)
    return task.decode([answer])[task.name][0]
