"""One tag a word: entities in IOB2, or any other labels of words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polymodal.base.errors import UserError
from polymodal.base.spelling import is_missing
from polymodal.contract.metric import Metric
from polymodal.contract.task import Task
from polymodal.metrics import metrics
from polymodal.table import values
from polymodal.tasks import _labels


class Tag(Task):
    """Cross-entropy of each word's tag; scores are per-word probabilities `(words, tags)`.

    A cell is a list of tags, one a word, or the same as a JSON list. If any tag begins with B- or
    I-, all must be IOB2 (B-X begins an entity of type X, I-X goes on with it, O is outside), and
    entities are what is measured. Neighbours: `classify` for one label a row.

    Args:
        column: the target's name.
        constrained: predict the likeliest valid sequence of IOB2 tags (Viterbi) instead of every
            word's own likeliest tag.
    """

    level = "token"
    kind = "tags"
    missing = _labels.UNKNOWN

    def __init__(self, column: str, *, constrained: bool = True) -> None:
        self.column, self.constrained = column, constrained

    def fit(self, cells: Sequence[Any]) -> None:
        """Learn the tags.

        Raises:
            UserError: no list of tags; tags that are not IOB2 though some look like it.
        """
        sequences = [tags_of(cell, self.column) for cell in cells if not is_missing(cell)]
        tags = [tag for sequence in sequences for tag in sequence if tag is not None]
        classes, counts = _labels.counted(tags)
        if len(classes) < 2:
            got = f"only '{classes[0]}'" if classes else "no value at all"
            raise _labels.nothing_to_learn(self.column, got)
        if metrics.is_iob2(classes):
            check_iob2(self.column, classes, sequences)
        self.state = {"classes": classes, "counts": counts}

    @property
    def state(self) -> dict[str, Any]:
        return {"classes": self.classes, "counts": self.counts}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.classes, self.counts = list(state["classes"]), list(state["counts"])
        self.size = len(self.classes)
        self._codes: dict[str | None, int] = {name: i for i, name in enumerate(self.classes)}
        self._codes[None] = _labels.UNKNOWN
        self.primary = "entity_f1" if metrics.is_iob2(self.classes) else "token_accuracy"

    def encode(self, cells: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        """Cells -> int64 tag codes `(words,)`; of length 0 where the cell is missing.

        Raises:
            UserError: a tag that no training row had.
        """
        return [self._encode(cell) for cell in cells]

    def _encode(self, cell: Any) -> np.ndarray[Any, Any]:
        tags = [] if is_missing(cell) else tags_of(cell, self.column)
        for tag in tags:
            if tag is not None and tag not in self._codes:
                raise _labels.unseen(self.column, tag, self.classes, "tag")
        return np.array([self._codes[tag] for tag in tags], np.int64)

    def is_unseen(self, cell: Any) -> bool:
        return not is_missing(cell) and not self._codes.keys() >= set(tags_of(cell, self.column))

    def bias(self) -> Tensor:
        """Log of the training frequencies."""
        return torch.tensor(self.counts).double().log().log_softmax(0).float()

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Logits `(batch, words, tags)`, target `(batch, words)`."""
        return _labels.cross_entropy(logits.flatten(0, 1), target.flatten())

    def scores(self, logits: Tensor) -> Tensor:
        return _labels.in_full(logits).softmax(-1)

    def decode(self, scores: _labels.Rows) -> dict[str, list[Any]]:
        """Rows' scores `(words, tags)` each -> one column of JSON lists."""
        tags = [[self.classes[i] for i in self._best(row)] for row in scores]
        return {self.column: [json.dumps(row, ensure_ascii=False) for row in tags]}

    def metrics(
        self, scores: Sequence[np.ndarray[Any, Any]], targets: Sequence[np.ndarray[Any, Any]]
    ) -> dict[str, Metric]:
        """See `evaluate.metrics.tagging`: strict entities, words with and without O."""
        return metrics.tagging([self._best(row) for row in scores], targets, self.classes)

    def criterion(
        self, scores: Sequence[np.ndarray[Any, Any]], targets: Sequence[np.ndarray[Any, Any]]
    ) -> float:
        """What validation minimises: 1 - the primary metric, or 1 where that is not defined.

        The log loss is no guide here: nearly all words are O, and it is best long before the
        entities are.
        """
        found = self.metrics(scores, targets).get(self.primary)
        return 1 - float(found.statistic(np.ones((1, len(targets))))[0]) if found else 1.0

    def _best(self, scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The likeliest tag codes `(words,)` of one row."""
        best = scores.argmax(-1)
        if not self.constrained or _orphan([self.classes[i] for i in best]) is None:
            return best
        return _viterbi(np.log(scores.clip(np.finfo(scores.dtype).tiny)), self.classes)


def tags_of(cell: Any, column: str) -> list[str | None]:
    """The tags in a cell that is not missing, None for an unknown one.

    Raises:
        UserError: it holds no list.
    """
    found = values.json_list(cell) if isinstance(cell, str) else cell
    if not isinstance(found, list | tuple | np.ndarray):
        raise UserError(
            f"A cell of target '{column}' is no list of tags",
            expected='a list with one tag a word, as JSON in a CSV: ["O", "B-person"]',
            got=repr(cell)[:80],
        )
    return [None if is_missing(t) else _labels.spelled(t, column) for t in found]


def check_iob2(
    column: str, classes: Sequence[str], sequences: Sequence[Sequence[str | None]]
) -> None:
    """UserError if tags of which some begin or continue entities are not all IOB2."""
    wrong = [c for c in classes if c != "O" and not c.startswith(("B-", "I-"))]
    if wrong:
        raise UserError(
            f"Target '{column}' mixes IOB2 tags with the tag '{wrong[0]}'",
            expected="O, B-<type> and I-<type>, or no tag that begins with B- or I-",
            got=", ".join(classes[:10]),
        )
    for sequence in sequences:
        tag = _orphan(sequence)
        if tag is not None:
            raise UserError(
                f"Target '{column}' is not IOB2: '{tag}' does not go on with an entity",
                expected=f"'B-{tag[2:]}' at the start of every entity",
                got=json.dumps(sequence)[:80],
                do="convert IOB or IOBES tags to IOB2 first",
            )


def _may_follow(tag: str, before: str) -> bool:
    return not tag.startswith("I-") or before in (tag, "B-" + tag[2:])


def _orphan(tags: Sequence[str | None]) -> str | None:
    """The first I-X that follows neither B-X nor I-X, or None."""
    before: str | None = "O"
    for tag in tags:
        # What follows an unknown tag cannot be judged.
        if tag is not None and before is not None and not _may_follow(tag, before):
            return tag
        before = tag
    return None


def _viterbi(scores: np.ndarray[Any, Any], classes: Sequence[str]) -> np.ndarray[Any, Any]:
    """The valid IOB2 sequence of codes with the greatest sum of `scores (words, tags)`."""
    allowed = [[_may_follow(tag, before) for tag in classes] for before in classes]
    penalty = np.where(allowed, 0, -np.inf)
    start = np.where([_may_follow(tag, "O") for tag in classes], 0, -np.inf)
    best = scores[0] + start
    back = np.zeros(scores.shape, np.intp)
    for word in range(1, len(scores)):
        paths = best[:, None] + penalty
        back[word] = paths.argmax(0)
        best = paths.max(0) + scores[word]
    codes = [int(best.argmax())]
    for word in range(len(scores) - 1, 0, -1):
        codes.append(int(back[word, codes[-1]]))
    return np.array(codes[::-1])
