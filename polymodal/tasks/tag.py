"""One tag a word: entities in IOB2, or any other labels of words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polymodal.base.arrow import depth, is_list, is_text
from polymodal.base.errors import UserError
from polymodal.base.spelling import is_missing
from polymodal.contract.batch import Field
from polymodal.contract.kind import Guess
from polymodal.contract.metric import Metric
from polymodal.contract.scoring import Build, Family, Sides
from polymodal.contract.supervised import Supervised
from polymodal.contract.task import Answers, Array, Judged
from polymodal.metrics import metrics
from polymodal.table import references, values
from polymodal.table._kinds import lengths
from polymodal.table.read import Table
from polymodal.tasks import _labels
from polymodal.tasks._forms import Codes


class Tag(Supervised):
    """Cross-entropy of each word's tag; answers are per-word probabilities `(words, tags)`.

    A cell is a list of tags, one a word, or the same as a JSON list. If any tag begins with B- or
    I-, all must be IOB2 (B-X begins an entity of type X, I-X goes on with it, O is outside), and
    entities are what is measured. Neighbours: `classify` for one label a row.

    Args:
        name: the target's column.
        constrained: predict the likeliest valid sequence of IOB2 tags (Viterbi) instead of every
            word's own likeliest tag.
    """

    kind = "tags"
    order = 1
    cells = "lists of labels"
    supports = "the mean probability of its tags"

    def __init__(self, name: str, *, constrained: bool = True) -> None:
        self.name, self.constrained = name, constrained
        self._text: str | None = None

    @classmethod
    def sniff(cls, table: Table, name: str) -> Guess | None:
        """Lists of labels, as many as another column has words."""
        others = [other for other in table.names if other != name]
        if not _labels.is_listed(table, name):
            return None
        if not any(_is_aligned(table, name, other) for other in others):
            return None
        return Guess(cls.kind, "a list of labels, one a word")

    @classmethod
    def labels_words_of(cls, table: Table, name: str, inputs: Sequence[str]) -> str:
        """Lists of words before texts cut at spaces."""
        found = [other for other in inputs if _is_aligned(table, name, other)]
        if not found:
            raise UserError(
                f"No column has as many words as '{name}' has tags",
                expected="a column of word lists as long as the tags, row by row",
                got=f"columns {', '.join(inputs) or 'none'}",
                do="add the words that the tags belong to as a column of lists",
            )
        return min(found, key=lambda other: not is_list(table.data.column(other).type))

    @classmethod
    def family(cls) -> Family:
        return Family(references.one(lambda cell: tags_of(cell, "reference") or None), _scored)

    def fit(self, cells: Sequence[Any], details: Mapping[str, Any] | None = None) -> None:
        """Learn the tags.

        Raises:
            UserError: no list of tags; tags that are not IOB2 though some look like it.
        """
        sequences = [tags_of(cell, self.name) for cell in cells if not is_missing(cell)]
        tags = [tag for sequence in sequences for tag in sequence if tag is not None]
        classes, counts = _labels.counted(tags)
        if len(classes) < 2:
            got = f"only '{classes[0]}'" if classes else "no value at all"
            raise _labels.nothing_to_learn(self.name, got)
        if metrics.is_iob2(classes):
            check_iob2(self.name, classes, sequences)
        text = (details or {}).get("text")
        self.state = {"classes": classes, "counts": counts, "text": text}

    @property
    def state(self) -> dict[str, Any]:
        return {"classes": self.classes, "counts": self.counts, "text": self._text}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.classes, self.counts = list(state["classes"]), list(state["counts"])
        self.size = len(self.classes)
        self._text = state["text"]
        self._known: set[str | None] = {None, *self.classes}
        self.form = Codes(self._tags, classes=self.classes)
        self.primary = "entity_f1" if metrics.is_iob2(self.classes) else "token_accuracy"

    @property
    def words(self) -> str:
        """The text modality whose words are tagged; the task's own name until it is told."""
        return str(self._text or self.name)

    def _tags(self, cell: Any) -> list[str | None]:
        """A present cell's tags.

        Raises:
            UserError: one that no training row had.
        """
        tags = tags_of(cell, self.name)
        for tag in tags:
            if tag not in self._known:
                raise _labels.unseen(self.name, str(tag), self.classes, "tag")
        return tags

    def is_known(self, cell: Any) -> bool:
        """Whether some word has a tag."""
        return not is_missing(cell) and any(tag is not None for tag in tags_of(cell, self.name))

    def is_unseen(self, cell: Any) -> bool:
        return not is_missing(cell) and not self._known >= set(tags_of(cell, self.name))

    def bias(self) -> Tensor:
        """Log of the training frequencies."""
        return torch.tensor(self.counts).double().log().log_softmax(0).float()

    def loss_of(self, logits: Tensor, target: Field) -> Tensor:
        """Logits `(batch, words, tags)`, codes `(batch, words)`."""
        assert target.mask is not None
        known = target.mask & target.present.unsqueeze(-1) & (target.data >= 0)
        return _labels.cross_entropy(logits.flatten(0, 1), target.data.flatten(), known.flatten())

    def answer_of(self, logits: Tensor) -> Tensor:
        return _labels.in_full(logits).softmax(-1)

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        """Rows' answers `(words, tags)` each -> one column of JSON lists."""
        return {self.name: [self.form.decode(self._best(row)) for row in answers]}

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        """See `metrics.tagging`: strict entities, words with and without O."""
        return metrics.tagging([self._best(row) for row in answers], targets, self.classes)

    def criterion(self, answers: Answers, targets: Answers) -> float:
        """What validation minimises: 1 - the primary metric, or 1 where that is not defined.

        The log loss is no guide here: nearly all words are O, and it is best long before the
        entities are.
        """
        found = self.metrics(answers, targets).get(self.primary)
        return 1 - float(found.statistic(np.ones((1, len(targets))))[0]) if found else 1.0

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        """A text is right if all of its tags are."""
        given = np.array(self.decode(answers)[self.name], object)
        right, loss = np.zeros(len(targets), bool), np.zeros(len(targets))
        for i, (answer, p, y) in enumerate(zip(given, answers, targets, strict=True)):
            known = np.flatnonzero(y >= 0)
            tags = json.loads(answer)
            right[i] = all(k < len(tags) and tags[k] == self.classes[y[k]] for k in known)
            # Words beyond the answers were never seen.
            seen = known[known < len(p)]
            own = np.zeros(len(known), p.dtype)
            own[: len(seen)] = p[seen, y[seen]]
            loss[i] = _labels.surprise(own).mean()
        return Judged(given, right, loss)

    def support(self, answer: Array, answered: Array) -> float:
        # A replaced word may leave room for more words, or for fewer.
        words = min(len(answer), len(answered))
        best = answered[:words].argmax(-1)[:, None]
        own = np.take_along_axis(answer[:words], best, -1)
        return float(own.mean()) if own.size else 0.0

    def _best(self, scores: Array) -> Array:
        """The likeliest tag codes `(words,)` of one row."""
        best = scores.argmax(-1)
        if not self.constrained or _orphan([self.classes[i] for i in best]) is None:
            return best
        return _viterbi(np.log(scores.clip(np.finfo(scores.dtype).tiny)), self.classes)


def _is_aligned(table: Table, tags: str, words: str) -> bool:
    """Whether a column has as many words as another has tags, in nearly all rows with both.

    Nearly: a stray miscounted sentence is a mistake to report, not a reason to take tags for sets.
    """
    column, other = table.data.column(tags), table.data.column(words)
    levels, inner = depth(other.type)
    if levels > 1 or not is_text(inner):
        return False
    ours, theirs = lengths(column), lengths(other)
    both = (ours >= 0) & (theirs >= 0)
    # A set of one label beside a column of single words is no sequence.
    equal = np.mean(ours[both] == theirs[both]) if both.any() else 0.0
    return bool(equal >= values.NEARLY_ALL and ours.max() > 1)


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


def _scored(sides: Sides) -> tuple[Build, dict[str, Any]]:
    """Predictions of tags from anywhere against their references."""
    given = {
        name: [[] if is_missing(cell) else tags_of(cell, name) for cell in cells]
        for name, cells in sides.predictions.items()
    }

    def classes(names: Sequence[str]) -> list[str]:
        every = [sides.references, *(given[name] for name in names)]
        return _labels.in_order(tag for side in every for row in side for tag in row if tag)

    if metrics.is_iob2(classes([*given])):
        check_iob2("reference", classes([]), sides.references)

    def build(names: Sequence[str]) -> dict[str, Metric]:
        codes = _labels.codes(tags := classes(names))

        def coded(rows: Sequence[Sequence[str | None]]) -> list[Array]:
            return [np.array([codes[tag] for tag in row], np.intp) for row in rows]

        guesses = [row for name in names for row in coded(given[name])]
        return metrics.tagging(guesses, coded(sides.references) * len(names), tags)

    lengths = {
        name: sum(len(a) != len(b) for a, b in zip(rows, sides.references, strict=True))
        for name, rows in given.items()
    }
    tags = {name: classes([name]) for name in given}
    return build, {"classes": tags, "rows of another length": lengths}
