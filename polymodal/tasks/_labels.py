"""Labels of a target, its losses, and other small things tasks share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional as F

from polymodal.base.arrow import depth, holds_binary, is_list
from polymodal.base.errors import UserError
from polymodal.base.spelling import canonical
from polymodal.contract.task import Answers, Array, Task
from polymodal.table.read import Table

# A probability no lower counts, where its logarithm is taken.
LEAST = 1e-12
# A target of whole numbers with so many values at most is a choice among them.
CLASSES = 30


def spelled(cell: Any, column: str) -> str:
    """The one spelling of a target's label.

    Raises:
        UserError: the cell holds several values.
    """
    if isinstance(cell, list | tuple | dict | set | np.ndarray):
        raise UserError(
            f"A cell of target '{column}' holds several values, where one label is expected",
            expected="one label",
            got=repr(cell)[:80],
            do=f"`kind {column}=set` for several labels a row, `kind {column}=tags` for one a word",
        )
    return canonical(cell)


def is_listed(table: Table, name: str) -> bool:
    """Whether a column's cells are lists of labels."""
    kind = table.data.column(name).type
    if not is_list(kind):
        return False
    levels, inner = depth(kind)
    return levels == 1 and not (pa.types.is_floating(inner) or pa.types.is_boolean(inner))


def is_plain(table: Table, name: str) -> bool:
    """Whether a column's cells are single values: neither lists nor structures nor bytes."""
    kind = table.data.column(name).type
    return not (is_list(kind) or pa.types.is_struct(kind) or holds_binary(kind))


def choices(numbers: np.ndarray[Any, Any]) -> int:
    """How many values numbers choose among; 0 if they are amounts."""
    different = len(np.unique(numbers))
    repeated = different <= len(numbers) / 2 or different == 1
    few = different <= CLASSES and repeated and bool(np.all(numbers == np.floor(numbers)))
    return different if few else 0


def in_order(labels: Iterable[str]) -> list[str]:
    """Distinct labels, by value if all are numbers, else by spelling."""
    distinct = set(labels)
    try:
        return sorted(distinct, key=lambda label: (float(label), label))
    except ValueError:
        return sorted(distinct)


def counted(labels: Iterable[str]) -> tuple[list[str], list[int]]:
    """Distinct labels in order, and how often each occurs."""
    counts = Counter(labels)
    classes = in_order(counts)
    return classes, [counts[name] for name in classes]


def codes(classes: Sequence[str]) -> dict[str | None, int]:
    """Code of each class; of None: negative, which no class has."""
    return {label: code for code, label in enumerate(classes)} | {None: -1}


def unseen(column: str, label: str, classes: Sequence[str], what: str) -> UserError:
    """The error for a label that no training row had."""
    shown = ", ".join(classes[:10]) + (f", ... ({len(classes)} in all)" if classes[10:] else "")
    return UserError(
        f"Target '{column}' has the {what} '{label}', which no training row had",
        expected=f"one of {shown}",
        got=repr(label),
        do="correct its spelling, leave such rows out, or fit again with examples of it",
    )


def nothing_to_learn(column: str, got: str) -> UserError:
    """The error for a training target that does not vary."""
    return UserError(
        f"Target '{column}' has nothing to learn from: it has fewer than two different values",
        expected="training rows with two different values or more",
        got=got,
        do="check that `target` names the right column and that the table is not filtered by it",
    )


def in_full(logits: Tensor) -> Tensor:
    """Logits in float32 at least, whatever the precision of the model."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def mean_known(losses: Tensor, known: Tensor) -> Tensor:
    """Mean of the losses where known; 0, with a gradient, if none is."""
    return torch.where(known, losses, 0).sum() / known.sum().clamp(min=1)


def average(losses: np.ndarray[Any, Any]) -> float:
    """Mean of the losses; 0 if there is none."""
    return float(losses.mean()) if losses.size else 0.0


def surprise(own: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Log loss of the true answers' probabilities, finite where one is 0."""
    return np.asarray(-np.log(own.clip(np.finfo(own.dtype).eps)), float)


def aligned(teacher: Task, answers: Answers, classes: Sequence[str]) -> Array:
    """Another run's answers `(rows, classes)` in the order of these classes, float32.

    Raises:
        UserError: it does not know one of them.
    """
    theirs: list[str] = teacher.state["classes"]
    if lacking := [name for name in classes if name not in theirs]:
        raise UserError(
            f"The teacher has never seen '{lacking[0]}' of the target '{teacher.name}'",
            expected=f"a run that knows all of {', '.join(classes[:10])}",
            got=", ".join(theirs[:10]),
            do="name a run of the same target, or leave such rows out",
        )
    order = [theirs.index(name) for name in classes]
    return np.stack([np.asarray(one, np.float32)[order] for one in answers])


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    known: Tensor,
    weights: Tensor | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """`F.cross_entropy` of logits `(n, classes)`, but 0 with a gradient if no target is known.

    Args:
        target: `(n,)` class codes, or `(n, classes)` probabilities.
        known: `(n,)` bool, which of them count.
        weights: `(classes,)`; the mean is weighted by the targets' own.
        smoothing: of the labels.
    """
    logits = in_full(logits)
    if weights is not None:
        weights = weights.to(logits)
    if target.is_floating_point():
        each = F.cross_entropy(
            logits, target.to(logits), weights, reduction="none", label_smoothing=smoothing
        )
        mass = known if weights is None else (target.to(logits) @ weights) * known
        return (each * known).sum() / torch.where(mass.sum() > 0, mass.sum(), 1)
    unknown = -100
    total = F.cross_entropy(
        logits,
        target.masked_fill(~known, unknown),
        weights,
        ignore_index=unknown,
        reduction="sum",
        label_smoothing=smoothing,
    )
    mass = known.sum() if weights is None else (weights[target.clamp(min=0)] * known).sum()
    return total / torch.where(mass > 0, mass, 1)
