"""The kinds of component, abstract: Form, Corruption, Encoder, Fusion, Objective, Balance.

A component is one file that exports one final subclass, named like the file (`cross_attention.py`
exports `CrossAttention`). Keyword-only constructor parameters are its options: they are what a
recipe may set, and each must change behaviour. `tests/contract` finds every file by itself.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Fused, Tokens


@dataclass(frozen=True)
class Metric:
    """A score over rows that can be computed again on any resample of them.

    Attributes:
        statistic: `weights (resamples, rows) float` -> `(resamples,)`: the metric where row i
            counts weights[:, i] times. All ones is the plain value. It must be vectorised: 10 000
            resamples of 10 000 rows are asked of it.
        greater_is_better: the direction.
    """

    statistic: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]
    greater_is_better: bool = True


class Form(ABC):
    """How one cell becomes one array: decoded, resized, resampled, hashed, tokenised.

    `encode` is pure: the same cell gives the same array in any process, so results are cached by
    content and `fingerprint`. What has to be learned from training rows (a tokenizer, a
    vocabulary) is learned in `fit` and kept in `state`, JSON-able, so that a run needs no pickle.

    Attributes:
        kind: folder under `modalities/` ("text", "image", ..., "table").
        dtype: numpy dtype of what `encode` returns.
        ragged: True if the first axis varies from cell to cell.
        parallel: whether `encode` may run in worker processes (not if it holds a large model).
        version: raised by hand whenever `encode` changes its answer, so stale caches miss.
    """

    kind: ClassVar[str]
    dtype: ClassVar[str]
    ragged: ClassVar[bool]
    parallel: ClassVar[bool] = True
    version: ClassVar[int] = 1

    def fit(self, cells: Iterable[Any]) -> None:
        """Learn from the training rows' present cells."""

    @property
    def state(self) -> dict[str, Any]:
        """What `fit` learned, JSON-able."""
        return {}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        """Restore what `fit` learned."""

    @abstractmethod
    def encode(self, cell: Any) -> np.ndarray[Any, Any]:
        """One cell to one array of `dtype`: `(length, ...)` if ragged, else always one shape.

        Args:
            cell: for text a string (or a list of words); for media what `data.media.load` takes;
                for "table" a mapping of column name to value, None where missing.

        Raises:
            UserError: the cell cannot be decoded; the message names what is wrong with it.
        """

    def was_truncated(self, cell: Any) -> bool:
        """Whether `encode` leaves out the end of this cell, which is long for this form."""
        return False

    @staticmethod
    def suggest(cells: Iterable[Any]) -> dict[str, Any]:
        """Options that suit a sample of the cells; {} where the defaults suit any."""
        return {}

    def encode_many(self, cells: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        """Several cells at once; worth overriding where a model runs faster on batches."""
        return [self.encode(cell) for cell in cells]

    @property
    def fingerprint(self) -> str:
        """Equal exactly when `encode` gives equal answers: part of every cache key."""
        described = [type(self).__module__, self.version, self.settings, self.state]
        return hashlib.blake2b(json.dumps(described).encode(), digest_size=16).hexdigest()

    @property
    def settings(self) -> dict[str, Any]:
        """The options this form was built with (its keyword-only parameters), JSON-able."""
        return lookup.chosen(self)


class Corruption(ABC):
    """How one cell gets worse, to measure how a model holds when its inputs do.

    Every draw is made from the generator handed in and none depends on the level, so that what a
    level spoils a higher one spoils too, and more.

    Attributes:
        kind: folder under `modalities/`.
        version: raised by hand whenever the answer changes, so stale caches miss.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1

    def fit(self, form: Form, cells: Iterable[Any]) -> None:
        """Learn what a cell alone does not tell, from the fitted form that will take it and from
        the present cells of the table to corrupt."""

    def __call__(self, cell: Any, level: float, rng: np.random.Generator) -> Any:
        """A cell that forms take -> a worse one of the same kind; at level 0 the same object.

        Args:
            level: from 0 to 1, the strongest.

        Raises:
            UserError: the level is none, or the cell cannot be decoded.
        """
        if not 0 <= level <= 1:
            raise UserError(
                "A corruption has no such level", expected="a number from 0 to 1", got=f"{level:g}"
            )
        return self.corrupt(cell, level, rng) if level else cell

    @abstractmethod
    def corrupt(self, cell: Any, level: float, rng: np.random.Generator) -> Any:
        """`__call__` at a level above 0; the given cell is left as it is."""


class Encoder(nn.Module, ABC):
    """One modality's prepared field to tokens.

    Constructor: `(form: Form, width: int, *, options...)`. `forward` must give the same values at
    a real position whatever stands at masked ones, and must not mix rows (so no batch statistics
    at evaluation).

    Attributes:
        kind: folder under `modalities/`.
        form: the form's name that this encoder reads, under `modalities/<kind>/forms/`.
        words: True if, given `words=True` as an option, the tokens are one per word of the text,
            so that a `tag` objective can label them.
    """

    kind: ClassVar[str]
    form: ClassVar[str]
    words: ClassVar[bool] = False

    def adapt(self, fields: Iterable[Field]) -> None:
        """Set data-dependent buffers (means, vocabularies) from training batches, before step 1."""

    @abstractmethod
    def forward(self, field: Field) -> Tokens:
        """Field -> Tokens `(batch, length, width)`; the model applies `field.present` itself."""


class Fusion(nn.Module, ABC):
    """Named tokens to one vector a row.

    Constructor: `(names: Sequence[str], width: int, *, options...)`. All tokens arrive with the
    same width. An absent modality has an all-False mask; rows with nothing present must still give
    finite numbers. A fusion with one modality must work.

    Attributes:
        decides: True for a fusion of decisions: it fills `Fused.views` and `Fused.weights`, every
            modality gets heads of its own and is trained by its own loss.
    """

    decides: ClassVar[bool] = False

    @property
    def alpha(self) -> Tensor | None:
        """Log-weights `(modalities,)` for validation rows to choose after training, or None.

        A property, because a class attribute would hide a module's buffer or parameter.
        """
        return None

    @abstractmethod
    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """Tokens by modality, in the order of `names` -> Fused."""


class Objective(ABC):
    """One target column: how its cells become tensors, what the loss is, how outputs are read.

    Constructor: `(column: str, *, options...)`. It never sees a model. A missing target cell is
    encoded so that `loss` skips it.

    Attributes:
        level: "row" (one output a row) or "token" (one a word of the tagged text column).
        kind: the column kind it reads ("category", "number", "set" or "tags").
        missing: what stands in an encoded target that is not known (or is padding).
        size: how many outputs a head must have; known after `fit`.
        primary: the metric to show first.
    """

    level: ClassVar[str] = "row"
    kind: ClassVar[str]
    missing: ClassVar[float]
    size: int
    primary: str
    column: str

    @abstractmethod
    def fit(self, cells: Sequence[Any]) -> None:
        """Learn classes, means and class weights from the training rows' cells (None = missing)."""

    @property
    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What `fit` learned, JSON-able."""

    @state.setter
    @abstractmethod
    def state(self, state: dict[str, Any]) -> None: ...

    @abstractmethod
    def encode(self, cells: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        """Cells to arrays: all of one shape for "row", `(words,)` each for "token"."""

    def is_unseen(self, cell: Any) -> bool:
        """Whether `encode` refuses a cell for a label that no training row had."""
        return False

    def bias(self) -> Tensor | None:
        """Logits of the training prior `(size,)` for a head to start from, or None."""
        return None

    @abstractmethod
    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean loss over the targets that are not missing; 0 (with gradient) if none is.

        Args:
            logits: `(batch, size)` or `(batch, length, size)`.
            target: `(batch, ...)`, or `(batch, length)` padded with the missing value.
        """

    @abstractmethod
    def scores(self, logits: Tensor) -> Tensor:
        """Logits to what is stored, averaged over members and measured: probabilities or values."""

    @abstractmethod
    def decode(self, scores: Sequence[np.ndarray[Any, Any]]) -> dict[str, list[Any]]:
        """One table's scores, an array a row, to columns of the predictions file.

        The prediction itself is under the target's own name; probabilities are `name=class`.
        """

    @abstractmethod
    def metrics(
        self, scores: Sequence[np.ndarray[Any, Any]], targets: Sequence[np.ndarray[Any, Any]]
    ) -> dict[str, Metric]:
        """Metric name -> Metric, from rows' `scores` and `encode`d targets, missing left out."""

    @abstractmethod
    def criterion(
        self, scores: Sequence[np.ndarray[Any, Any]], targets: Sequence[np.ndarray[Any, Any]]
    ) -> float:
        """What validation minimises when it selects weights, mixtures and members."""


@dataclass(frozen=True)
class Alone:
    """What one modality reaches by itself on a batch, over the rows that have it.

    Attributes:
        loss: `()`, with a gradient.
        ratio: its mean exp(-loss of a row) over the mean of the other modalities': above 1 it is
            ahead of them. NaN if the batch has no other.
    """

    loss: Tensor
    ratio: float


class Balance(ABC):
    """How the modalities of one model are kept from starving each other: losses to one update.

    Constructor: `(*, options...)`. It is asked only where there are several modalities. What is
    random comes from torch's own generator, which checkpoints hold.
    """

    @abstractmethod
    def backward(
        self,
        joint: Tensor,
        alone: Mapping[str, Alone],
        encoders: Mapping[str, Sequence[nn.Parameter]],
        rest: Sequence[nn.Parameter],
    ) -> dict[str, float]:
        """Fill the gradients of all parameters, which have none, from one batch.

        Args:
            joint: the loss of all modalities together, `()`.
            alone: the modalities that some row of the batch has.
            encoders: every modality -> what is trained of its encoder.
            rest: what is trained of fusion and heads.

        Returns:
            Numbers to record, each with a name; NaN for one that this batch does not have.
        """
