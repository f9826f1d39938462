"""Supervised: a task whose answers are functions of one vector of logits, a row's or a word's."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.contract.batch import Decided, Field, Fused
from polymodal.contract.form import Form
from polymodal.contract.task import Answers, Array, Pass, Task


class Supervised(Task):
    """A target that a linear layer answers, and that a solver can be fitted to.

    Attributes:
        size: how many logits there are; known after `fit`.
        continuous: whether the one logit is an amount, so that an expected value can stand for it.
    """

    continuous: ClassVar[bool] = False
    size: int

    @property
    def solvable(self) -> bool:
        return self.words is None and not self.spoils

    def bias(self) -> Tensor | None:
        """Logits of the training prior `(size,)` for a head to start from, or None for zeros."""
        return None

    @abstractmethod
    def loss_of(self, logits: Tensor, target: Field) -> Tensor:
        """Mean loss over the present targets; 0 (with gradient) if none is.

        Args:
            logits: `(batch, size)`, or `(batch, words, size)` where words are labelled.
            target: data `(batch, ...)`, or `(batch, words)` with a mask.
        """

    @abstractmethod
    def answer_of(self, logits: Tensor) -> Tensor:
        """Logits to answers, each position on its own."""

    def blended(
        self, teacher: Task, answers: Answers, targets: Answers, share: float
    ) -> Array | None:
        """Targets of which `share` is a teacher's answers, as `loss_of` takes them too; or None.

        The loss of such a target is that share of its loss against the teacher, and the rest of its
        loss against the label, but for a constant: cross-entropy is linear in its target, and
        what differs of squared errors (not of others) no prediction changes (Hinton, Vinyals and
        Dean 2015, at a temperature of 1).

        Args:
            teacher: the same task as the run of the teacher has fitted it.
            answers: its answers, one a row.
            targets: the rows' own, encoded.

        Raises:
            UserError: the teacher does not know all classes.

        Returns:
            `(rows, ...)` float32; None of a task that nothing can be blended of.
        """
        return None

    def prior(self) -> Array:
        """The answer to no input at all."""
        bias = self.bias()
        logits = torch.zeros(self.size) if bias is None else bias.float()
        return np.asarray(self.answer_of(logits.unsqueeze(0))[0].numpy())

    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        return LinearHead(width, self.size, views, dropout, self.bias(), self.words)

    def loss(self, done: Pass) -> Tensor:
        """A fusion of decisions is trained view by view, on rows that have the modality."""
        assert done.target is not None
        if not done.views or self.words is not None:
            return self.loss_of(self._aligned(done), done.target)
        each = [
            self.loss_of(logits, only(done.target, done.inputs[modality].present))
            for modality, logits in done.views.items()
        ]
        return torch.stack(each).mean()

    def likelihood(self, done: Pass) -> Tensor:
        """Of a class without smoothing, its probability."""
        target = done.target
        assert target is not None
        parts = [self._aligned(done), target.data, target.present]
        parts += [] if target.mask is None else [target.mask]

        def loss(logits: Tensor, data: Tensor, present: Tensor, *mask: Tensor) -> Tensor:
            return self.loss_of(logits, Field(data, mask[0] if mask else None, present))

        with torch.no_grad():
            return torch.exp(-torch.vmap(loss)(*(part.unsqueeze(1) for part in parts)))

    def answer(self, done: Pass) -> list[Array]:
        answers = self.answer_of(done.output.float()).cpu().numpy()
        if self.words is None or done.fused is None:
            return list(answers)
        lengths = done.fused.tokens[self.words].mask.sum(1).tolist()
        return [answer[:length] for answer, length in zip(answers, lengths, strict=True)]

    def constant(self, like: Answers) -> list[Array]:
        prior = self.prior()
        return [np.broadcast_to(prior, np.shape(row)) for row in like]

    def _aligned(self, done: Pass) -> Tensor:
        """Logits of words cut or padded to as many as the target's (a form may cut long texts)."""
        logits = done.output
        assert isinstance(logits, Tensor) and done.target is not None
        if self.words is None:
            return logits
        words = done.target.data.shape[1]
        if logits.shape[1] == 1 and not self._has_words(done):
            # Where the tagged text is absent, one decision stands for all its words.
            return logits.expand(-1, words, -1)
        if logits.shape[1] == words:
            return logits
        return nn.functional.pad(logits, (0, 0, 0, words - logits.shape[1]))

    def _has_words(self, done: Pass) -> bool:
        return done.fused is not None and bool(done.fused.tokens[str(self.words)].mask.any())


class LinearHead(nn.Module):
    """A linear layer on the fused vector, and for words another one on their tokens.

    A fusion of decisions has a layer for each modality's view, and their outputs are weighed.

    Args:
        size: outputs.
        views, dropout: as for `Task.heads`.
        bias: the prior to start from, `(size,)`, or None.
        words: the modality whose tokens are labelled, or None.
    """

    def __init__(
        self,
        width: int,
        size: int,
        views: Sequence[str],
        dropout: float,
        bias: Tensor | None,
        words: str | None,
    ) -> None:
        super().__init__()
        self.words = words
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(_linear(width, size, bias) for _ in views or [""])
        self.by_word = nn.Linear(width, size) if words is not None else None

    def forward(self, fused: Fused, target: Field | None = None) -> Decided:
        given = fused.views or {"": fused.pooled}
        views = {
            name: layer(self.dropout(view))
            for (name, view), layer in zip(given.items(), self.layers, strict=True)
        }
        output = _combined(list(views.values()), fused.weights)
        if self.by_word is not None:
            own = fused.tokens[str(self.words)].values
            output = self.by_word(self.dropout(own)) + output.unsqueeze(1)
        return Decided(output, views if fused.views else {})


def only(target: Field, rows: Tensor) -> Field:
    """The target in some rows `(batch,)` bool alone."""
    return Field(target.data, target.mask, target.present & rows)


def _linear(width: int, size: int, bias: Tensor | None) -> nn.Linear:
    linear = nn.Linear(width, size)
    if bias is not None:
        with torch.no_grad():
            linear.bias.copy_(bias)
    return linear


def _combined(views: list[Tensor], weights: Tensor | None) -> Tensor:
    """Views' logits `(batch, size)` each to their weighted mean."""
    if len(views) == 1:
        return views[0]
    assert weights is not None
    return (torch.stack(views, 1) * weights.unsqueeze(-1)).sum(1)
