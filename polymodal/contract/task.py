"""Task: what is learned, what its loss is, and how answers are merged, read and measured.

A supervised target, a self-supervised one and a generated one are all tasks. They differ in what
they read (`columns`), hide (`spoil`), own (`heads`) and answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.base.spelling import canonical, is_missing
from polymodal.contract import answers as _answers
from polymodal.contract.batch import Batch, Field, Fused, Outputs
from polymodal.contract.form import Form
from polymodal.contract.kind import Guess
from polymodal.contract.metric import Metric
from polymodal.contract.scoring import Family

Array = np.ndarray[Any, Any]

Answers = _answers.Answers


@dataclass(frozen=True)
class Pass:
    """One forward pass, as a task sees it.

    Attributes:
        inputs: modality -> what the encoders read.
        fused: the fusion's result; None from an expert.
        output: what the task's head made of that.
        views: modality -> that modality's own output, from a fusion of decisions; else empty.
        target: the encoded target; None where it is not known, as in prediction.
    """

    inputs: Mapping[str, Field]
    fused: Fused | None
    output: Any
    views: Mapping[str, Any] = field(default_factory=dict)
    target: Field | None = None


@dataclass(frozen=True)
class Judged:
    """One model's answers to rows whose target is known.

    Attributes:
        answers: `(rows,)` or `(rows, labels)`, equal where the same was answered.
        right: `(rows,)` bool.
        loss: `(rows,)` log loss; squared error of a number.
        tolerance: up to this apart two numbers are the same answer; None unless they are numbers.
    """

    answers: Array
    right: Array
    loss: Array
    tolerance: float | None = None


class Task(ABC):
    """What a model learns to answer.

    Constructor: `(name: str, *, options...)`. It never sees a model. `fit` or `state` comes before
    all else. Methods with a body are defaults, to be replaced where the task knows better.

    Attributes:
        name: the task's key in a recipe, and what its answers are called.
        kind: the kind of target column that it is the default for, or None.
        reads: kinds of column that it predicts too; a column that fits none is taken for the first.
        alone: kinds of an only input and of the target for which it comes before any such default.
        order: place among those asked whether a column is theirs (`sniff`); None: it is not asked.
        cells: what cells of its kind are, in words, where no modality reads that kind.
        nested: whether these may be lists of lists, or structures.
        form: how its target cells become arrays; known after `fit`.
        primary: the metric to show first.
        exact: whether the primary metric is the share of rows that are right.
        asked: the metric that the user wants models to be chosen and judged by, or None.
        averaged: whether sums and means of answers make sense.
        spoils: whether it hides something from the model. It then has a forward pass of its own.
        told: whether its answers say how likely the target was as well, where that is known.
        mines: whether it hides what depends on what the model finds alike: see `mined`.
        supports, chooses: what `support`, `criterion` are, in words; "" is the primary metric.
        one_class: whether a row's answer is exactly one class.
        gathers: whether rows of the same inputs are one row with all their targets.
        classes: the names that it answers with, in order; known after `fit`. None for numbers.
        aligns: whether an answer is `(modalities, size)`: vectors of its `names` to compare, or 0s.
        needs: what a table must have for the task to be pretrained on it, in words.
        usual: whether pretraining that is told no task takes this one where the table suits.
        lr: the peak rate that its networks learn at where nobody says another; None: the usual.
        chunk: rows whose graph is kept at once in training, for a loss that compares all rows of
            a large batch; None: all. Its loss then reads `output`, by row, and `inputs` alone.
    """

    kind: ClassVar[str | None] = None
    reads: ClassVar[tuple[str, ...]] = ()
    alone: ClassVar[tuple[str, str] | None] = None
    order: ClassVar[int | None] = None
    cells: ClassVar[str] = ""
    nested: ClassVar[bool] = False
    exact: bool = False
    asked: str | None = None
    averaged: ClassVar[bool] = True
    spoils: ClassVar[bool] = False
    told: ClassVar[bool] = False
    mines: ClassVar[bool] = False
    supports: ClassVar[str] = "its answer"
    chooses: ClassVar[str] = "its loss"
    one_class: ClassVar[bool] = False
    gathers: ClassVar[bool] = False
    classes: Sequence[str] = ()
    aligns: ClassVar[bool] = False
    names: Sequence[str] = ()
    needs: ClassVar[str] = "a column of labels: it is fitted, not pretrained"
    usual: ClassVar[bool] = False
    lr: ClassVar[float | None] = None
    chunk: int | None = None
    name: str
    form: Form
    primary: str

    # -- what it reads -------------------------------------------------------------------------

    @classmethod
    def sniff(cls, table: Any, name: str) -> Guess | None:
        """Its kind and why, if the column of a table is a target of its own."""
        return None

    @classmethod
    def suits(cls, cells: Sequence[Any]) -> bool:
        """Whether a target's cells leave it the default that it is by `alone`."""
        return True

    @classmethod
    def labels_words_of(cls, table: Any, name: str, inputs: Sequence[str]) -> str | None:
        """The input whose words the column labels; None where a task has one answer a row.

        Args:
            inputs: columns that may have words.

        Raises:
            UserError: none of them has the words.
        """
        return None

    @classmethod
    def labels_of(cls, cells: Sequence[Any]) -> list[list[str]] | None:
        """Each row's classes, none where they are not known; None where targets are no classes."""
        return [[] if is_missing(cell) else [canonical(cell)] for cell in cells]

    @classmethod
    def family(cls) -> Family | None:
        """How predictions of it from anywhere are measured; None where they cannot be."""
        return None

    @classmethod
    def pretrains(cls, kinds: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """What there is of it to pretrain on a table without labels: name -> options of each.

        Empty where the table lacks what the task `needs`.

        Args:
            kinds: modality -> the name of its kind (`contract.kind.kinds`), in order.
        """
        return {}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that targets are read from.

        A column of the task's own name is no input of any model; others stay what they are. With
        one, a target cell is its cell; with several, a mapping of column to cell; with none, None.
        """
        return (self.name,)

    @property
    def withheld(self) -> tuple[str, ...]:
        """Those of `columns` that no model may read, and that new rows do not have."""
        return ()

    @property
    def words(self) -> str | None:
        """The text modality whose words are labelled; None if there is one answer a row."""
        return None

    @property
    def chosen_by(self) -> str:
        """What validation selects models by, in words."""
        return self.asked or self.chooses or self.primary

    @property
    def asks(self) -> Mapping[str, tuple[str, ...]]:
        """Modality -> what its encoder must declare in a network that learns the task.

        Each is the name of an attribute of `contract.encoder.Encoder`, such as "steps".
        """
        return {} if self.words is None else {self.words: ("words",)}

    @property
    def solvable(self) -> bool:
        """Whether a solver can fit it: it is `Supervised`, with one answer a row."""
        return False

    def introduce(
        self, modalities: Mapping[str, Mapping[str, str]], cells: Callable[[str], Sequence[Any]]
    ) -> None:
        """Told before `fit`: modality -> column -> kind, and what gives a column's cells."""

    @abstractmethod
    def fit(self, cells: Sequence[Any], details: Mapping[str, Any] | None = None) -> None:
        """Learn classes, means and class weights from the training rows' cells (None = missing).

        Args:
            details: what the schema says of its column beyond the kind.
        """

    @property
    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What `fit` learned, JSON-able."""

    @state.setter
    @abstractmethod
    def state(self, state: dict[str, Any]) -> None: ...

    def remarks(self) -> list[tuple[str, str]]:
        """What to know of how its training cells are read: severity (as of a finding), sentence."""
        return []

    def is_known(self, cell: Any) -> bool:
        """Whether a target cell says anything; that of a task without a column always does."""
        return not self.columns or not is_missing(cell)

    def is_unseen(self, cell: Any) -> bool:
        """Whether the form refuses a cell: no training row had its label."""
        return False

    def encode(self, cells: Sequence[Any]) -> list[Array | None]:
        """Target cells as the form encodes them, None where nothing is known."""
        return [self.form.encode(cell) if self.is_known(cell) else None for cell in cells]

    # -- learning ------------------------------------------------------------------------------

    @abstractmethod
    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        """A fresh module of all that the task owns in a model.

        It is called with the Fused result, and in training with the target's Field too, and
        returns a `Decided`.

        Args:
            width: of the fused vectors and tokens.
            views: the modalities that a fusion of decisions gives a view of; empty for a fusion
                of features.
            dropout: before layers that decide.
            forms: modality -> the form that the model reads it in, in the model's order.
        """

    def spoil(self, batch: Batch, forms: Mapping[str, Form], generator: torch.Generator) -> Batch:
        """The batch that the model sees instead; what it was given stays as it is.

        Args:
            forms: modality -> the form that the model reads it in.
            generator: of all that is random. In prediction it is the same for every batch: a row's
                answer depends on nothing but the row only if what is hidden does not either.
        """
        return batch

    def mined(self, batch: Batch, found: Outputs, generator: torch.Generator) -> Batch:
        """As `spoil`, of a task that `mines`; it may return more rows than it was given.

        Args:
            found: what the model makes of the batch: answers of tasks that hide nothing, tokens.
        """
        raise NotImplementedError(f"{type(self).__name__} mines nothing")

    @abstractmethod
    def loss(self, done: Pass) -> Tensor:
        """Mean loss over the targets that are present; 0 (with gradient) if none is."""

    def likelihood(self, done: Pass) -> Tensor:
        """exp(-loss) of each row `(batch,)`; the whole batch's for every row, unless told apart."""
        with torch.no_grad():
            assert done.target is not None
            return torch.exp(-self.loss(done)).expand(len(done.target.present))

    # -- answers -------------------------------------------------------------------------------

    @abstractmethod
    def answer(self, done: Pass) -> list[Array]:
        """What is stored, merged over members and measured: one array a row."""

    def merge(self, answers: Mapping[str, Answers], shares: Mapping[str, float]) -> list[Array]:
        """One model's answers of those of its members: their mean, or the largest share's own."""
        return (_answers.mean if self.averaged else _answers.strongest)(answers, shares)

    @property
    def constant_serves(self) -> bool:
        """Whether the constant may answer rows that lack all that is read; else the model does."""
        return True

    @abstractmethod
    def constant(self, like: Answers) -> list[Array]:
        """The answer to no input at all, for every row: shaped as a model's own answers `like`."""

    @property
    def plain_decode(self) -> tuple[str, dict[str, Any]] | None:
        """The function of `tasks/_decoding.py` that is `decode`, and its options, JSON-able."""
        return None

    @abstractmethod
    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        """One table's answers to columns of the predictions file.

        The prediction itself is under the task's own name; probabilities are `name=class`.
        """

    # -- measuring: `targets` are of rows that have one, as the form encoded them ----------------

    @abstractmethod
    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        """Metric name -> Metric; none where there is nothing to measure."""

    @abstractmethod
    def criterion(self, answers: Answers, targets: Answers) -> float:
        """What validation minimises when it selects weights, mixtures and members."""

    def measured_by(self, metric: str) -> None:
        """Show, choose models by and judge by another of its metrics than its own primary one."""
        self.exact = self.exact and metric == self.primary
        self.primary = self.asked = metric

    @abstractmethod
    def judged(self, answers: Answers, targets: Answers) -> Judged:
        """What became of each row."""

    def truth(self, target: Array) -> Any:
        """An encoded target as `decode` would write it."""
        return self.form.decode(target)

    def labels(self, targets: Answers) -> list[str] | None:
        """Each row's class, where it has one."""
        return None

    def report(self, answers: Answers, targets: Answers) -> dict[str, Any] | None:
        """A classification report (`metrics.classification_report`), of classes."""
        return None

    def reliability(
        self, answers: Answers, targets: Answers, clusters: Array | None
    ) -> dict[str, Any] | None:
        """Whether probabilities are true (`calibration.described`), of classes."""
        return None

    def figures(self, answers: Answers, targets: Answers) -> dict[str, Any] | None:
        """What a plot of true and predicted values shows: a confusion matrix, a histogram."""
        return None

    def discrepancy(
        self, alone: Mapping[str, Answers], targets: Answers
    ) -> dict[str, float] | None:
        """How far each modality is ahead (`contribution.discrepancy_ratio`) where it is `alone`."""
        return None

    def strangeness(self, answers: Answers, targets: Answers) -> Array | None:
        """How strange each row's truth is to its answer `(rows,)`; None where `region` is none."""
        return None

    def region(self, answers: Answers, within: Array) -> dict[str, list[Any]]:
        """Columns that say which targets are no stranger to each row's answer than `within`.

        Args:
            within: `(rows,)` of what `strangeness` says; infinite where nothing is known.
        """
        return {}

    def extent(self, answers: Answers, within: Array) -> Array:
        """How large each row's region is `(rows,)`: the smaller, the more an answer says."""
        raise NotImplementedError(f"{type(self).__name__} has no regions")

    def link(self, answers: Array) -> Array:
        """Stacked answers where sums of functions of the modalities are meant."""
        return answers

    def unlink(self, linked: Array) -> Array:
        """The answers of what `link` returns."""
        return linked

    @abstractmethod
    def support(self, answer: Array, answered: Array) -> float:
        """How far a row's answer supports another answer that was given to it."""
