"""Writing: a task whose answers are texts, which can be asked for in other manners than its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from polymodal.contract.batch import Fused
from polymodal.contract.task import Task


@dataclass(frozen=True)
class Said:
    """A text that a model wrote.

    Attributes:
        text: what it says.
        log_likelihood: of all its pieces, the end included if it came.
        finish: "stop" where the model ended it, "length" where there was no more room.
        choices: where it had to be one of some texts, each one's log-likelihood, and the same a
            piece.
        pieces: how many it has, without the end.
        read: places of what stood before it.
    """

    text: str
    log_likelihood: float
    finish: str
    choices: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    pieces: int = 0
    read: int = 0


@dataclass(frozen=True)
class Part:
    """What has come to one of several texts that are being written.

    Attributes:
        row: whose it is.
        sample: which of the row's texts.
        text: that has come.
        said: the whole, once it is done.
    """

    row: int
    sample: int
    text: str
    said: Said | None = None


class Sequenced(Task):
    """A task whose answers a decoder makes piece by piece, in a manner.

    Attributes:
        decoding: an option: the manner, keys of `nn.manner.Manner`.
    """

    decoding: Mapping[str, Any] | None

    @abstractmethod
    def planned(self) -> nn.Module | None:
        """A `nn.decoder.Decoder` as it writes, without its numbers: on the meta device; None of a
        task that writes without one.

        Before `fit`, of as many pieces as are allowed.
        """


class Speaker(nn.Module):
    """The head of such a task.

    Attributes:
        silent: where targets are known, only what they cost is asked: nothing is written.
    """

    silent: bool = False


@contextmanager
def silenced(model: nn.Module) -> Iterator[None]:
    """Inside, the model's heads that could write are `silent`."""
    heads = [module for module in model.modules() if isinstance(module, Speaker)]
    try:
        for head in heads:
            head.silent = True
        yield
    finally:
        for head in heads:
            head.silent = False


class Writing(Sequenced):
    """A task that writes texts."""

    @property
    def read_by(self) -> Mapping[str, Mapping[str, Any]]:
        """Modality -> options of the form that it is best read in, where that form has them."""
        return {}

    @property
    def named(self) -> Sequence[str]:
        """Columns that its options name, which models are to read."""
        return ()

    @abstractmethod
    def sample(self, row: Mapping[str, Any], cell: Any) -> str | None:
        """A row as the decoder reads it, for people; None where it has no template.

        What stands in 《》 is a medium, in ⟦⟧ what is learned.

        Args:
            row: column -> cell.
            cell: of the target.
        """

    @abstractmethod
    def write(self, head: nn.Module, fused: Fused, how: Mapping[str, Any]) -> list[list[Said]]:
        """Texts for every row, as many as asked for, the best first.

        Args:
            head: what `heads` returned, trained.
            how: what is asked for instead of the task's own manner.

        Raises:
            UserError: there is no such manner.
        """

    @abstractmethod
    def stream(self, head: nn.Module, fused: Fused, how: Mapping[str, Any]) -> Iterator[str]:
        """One row's text as it is written, part by part."""

    @abstractmethod
    def parts(
        self,
        head: nn.Module,
        fused: Fused,
        how: Mapping[str, Any],
        seeds: Sequence[int] = (),
        left: Collection[int] = (),
    ) -> Iterator[list[Part]]:
        """All rows' texts as they are written, a step at a time; each is whole in the end.

        Args:
            seeds: each row's own, instead of that of `how`.
            left: rows that nobody waits for any longer, looked into after each step: of these the
                rest is not written.
        """

    @abstractmethod
    def blank(self, how: Mapping[str, Any]) -> list[Said]:
        """What is said of a row without anything, as many texts as are asked for; none where no
        text of training keeps to what is asked: then the model writes of it as of others.

        Args:
            how: as of `write`.
        """
