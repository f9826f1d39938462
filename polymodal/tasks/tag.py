"""One tag a word: entities in IOB2, or any other labels of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polymodal.base.arrow import is_list, is_text
from polymodal.base.errors import UserError
from polymodal.base.spelling import is_missing
from polymodal.contract.batch import Field
from polymodal.contract.kind import Guess
from polymodal.contract.metric import Metric
from polymodal.contract.scoring import Build, Family, Sides
from polymodal.contract.supervised import Supervised
from polymodal.contract.task import Answers, Array, Judged
from polymodal.metrics import metrics
from polymodal.table import references, tags
from polymodal.table.read import Table
from polymodal.tasks import _decoding, _labels, _schemes
from polymodal.tasks._forms import Codes
from polymodal.tasks._schemes import Scheme, Tags

# Tags joined in one cell: so many different ones at most, each so often on average at least.
MOST, OFTEN = 200, 5


class Tag(Supervised):
    """Cross-entropy of each word's tag; answers are per-word probabilities `(words, tags)`.

    A cell is a list of tags, one a word, the same in JSON, or tags joined by spaces, commas,
    semicolons or bars. If they mark entities, these are what is measured. They are learned in IOB2
    (B-X begins an entity of type X, I-X goes on with it, O is outside), whichever scheme of
    `_schemes` they are in; predictions are written as the training cells are. Neighbours:
    `classify` for one label a row.

    Args:
        name: the target's column.
        constrained: predict the likeliest valid sequence of IOB2 tags (Viterbi) instead of every
            word's own likeliest tag.
    """

    kind = "tags"
    order = 1
    cells = "lists of labels"
    supports = "the mean probability of its tags"
    chooses = ""

    def __init__(self, name: str, *, constrained: bool = True) -> None:
        self.name, self.constrained = name, constrained
        self._text: str | None = None
        self._scheme: Scheme | None = None
        self._between: str | None = None

    @classmethod
    def sniff(cls, table: Table, name: str) -> Guess | None:
        """Lists of labels, as many as another column has words."""
        others = [other for other in table.names if other != name]
        joined = _joined(table, name)
        if not joined and not _labels.is_listed(table, name):
            return None
        column = table.data.column(name)
        if not any(tags.cut_for(column, table.data.column(other)) for other in others):
            return None
        return Guess(cls.kind, f"{'labels joined' if joined else 'a list of labels'}, one a word")

    @classmethod
    def labels_words_of(cls, table: Table, name: str, inputs: Sequence[str]) -> str:
        """Lists of words before texts."""
        column = table.data.column(name)
        found = [one for one in inputs if tags.cut_for(column, table.data.column(one))]
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
            UserError: no list of tags; some mark entities, and others are of no scheme.
        """
        present = [cell for cell in cells if not is_missing(cell)]
        sequences: list[Tags] = [tags_of(cell, self.name) for cell in present]
        scheme = scheme_of(self.name, sequences)
        if scheme is not None:
            sequences = [_schemes.read(sequence) for sequence in sequences]
        found = [tag for sequence in sequences for tag in sequence if tag is not None]
        classes, counts = _labels.counted(found)
        if len(classes) < 2:
            got = f"only '{classes[0]}'" if classes else "no value at all"
            raise _labels.nothing_to_learn(self.name, got)
        listed = [tags.listed(cell) for cell in present]
        # A cell of one tag does not say what stands between several.
        between = {one[1] for one in listed if one is not None and one[1] != ""} or {" "}
        self.state = {
            "classes": classes,
            "counts": counts,
            "text": (details or {}).get("text"),
            "scheme": None if scheme is None else asdict(scheme),
            "between": between.pop() if len(between) == 1 else None,
        }

    @property
    def state(self) -> dict[str, Any]:
        return {
            "classes": self.classes,
            "counts": self.counts,
            "text": self._text,
            "scheme": None if self._scheme is None else asdict(self._scheme),
            "between": self._between,
        }

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.classes, self.counts = list(state["classes"]), list(state["counts"])
        self.size = len(self.classes)
        self._text, self._between = state["text"], state["between"]
        self._scheme = None if state["scheme"] is None else Scheme(**state["scheme"])
        self._known: set[str | None] = {None, *self.classes}
        self.form = Codes(self._tags, self._written, classes=self.classes)
        self.primary = "entity_f1" if self._scheme is not None else "token_accuracy"

    @classmethod
    def labels_of(cls, cells: Sequence[Any]) -> list[list[str]]:
        found = (None if cell is None else tags.listed(cell) for cell in cells)
        return [[str(tag) for tag in one[0] if tag is not None] if one else [] for one in found]

    def remarks(self) -> list[tuple[str, str]]:
        """Of the scheme, where it is not IOB2 throughout."""
        if self._scheme is None:
            return []
        found, given = [], self._scheme
        if given.name != "IOB2" or not given.mark:
            what = "learned and measured as IOB2, and predicted as they are"
            untyped = (
                "" if given.mark else f" without types (inside, they are '{_schemes.UNTYPED}')"
            )
            found.append(("info", f"The tags of '{self.name}' are {given.name}{untyped}: {what}"))
        if given.mended:
            what = f"{given.mended:,} entities of '{self.name}' begin with a tag that goes on with"
            found.append(("warning", f"{what} none before it: they are taken to begin there"))
        return found

    @property
    def words(self) -> str:
        """The text modality whose words are tagged; the task's own name until it is told."""
        return str(self._text or self.name)

    def _tags(self, cell: Any) -> list[str | None]:
        """A present cell's tags.

        Raises:
            UserError: one that no training row had.
        """
        found = self._read(cell)
        for tag in found:
            if tag not in self._known:
                raise _labels.unseen(self.name, str(tag), self.classes, "tag")
        return found

    def _read(self, cell: Any) -> list[str | None]:
        found = tags_of(cell, self.name)
        as_is = self._scheme is None or self._scheme.plain
        return found if as_is else _schemes.read(found)

    def _written(self, found: list[str | None]) -> str:
        """Tags as the training cells have them; a list in JSON unless all of those were joined."""
        return _decoding.written(found, self._scheme, self._between)

    def is_known(self, cell: Any) -> bool:
        """Whether some word has a tag."""
        return not is_missing(cell) and any(tag is not None for tag in tags_of(cell, self.name))

    def is_unseen(self, cell: Any) -> bool:
        return not is_missing(cell) and not self._known >= set(self._read(cell))

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

    @property
    def plain_decode(self) -> tuple[str, dict[str, Any]]:
        state = {key: self.state[key] for key in ("classes", "scheme", "between")}
        return "tags", {**state, "constrained": self.constrained}

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        """Rows' answers `(words, tags)` each -> one column, written as the training cells are."""
        return _decoding.tags(self.name, answers, **self.plain_decode[1])

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
        for i, (p, y) in enumerate(zip(answers, targets, strict=True)):
            known = np.flatnonzero(y >= 0)
            best = self._best(p)
            right[i] = all(k < len(best) and best[k] == y[k] for k in known)
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
        return _decoding.best(scores, self.classes, self.constrained)


def _joined(table: Table, name: str) -> bool:
    """Whether texts are tags joined in one cell: few different ones, of varied number."""
    column = table.data.column(name)
    if is_list(column.type) or not is_text(column.type):
        return False
    cells = [tags.listed(cell) for cell in column.to_pylist() if cell is not None]
    found = [cell[0] for cell in cells if cell is not None]
    if any(isinstance(one, list | dict) for row in found for one in row):
        return False
    counts = Counter(tag for tags in found for tag in tags)
    few = len(counts) <= min(MOST, counts.total() / OFTEN)
    return len(found) == len(cells) and few and len({len(tags) for tags in found}) > 1


def tags_of(cell: Any, column: str) -> list[str | None]:
    """The tags in a cell that is not missing, None for an unknown one.

    Raises:
        UserError: it holds none.
    """
    found = tags.listed(cell)
    if found is None:
        raise UserError(
            f"A cell of target '{column}' is no list of tags",
            expected='a tag for each word, as a list, in JSON (["O", "B-person"]) or joined by '
            "spaces, commas, semicolons or bars",
            got=repr(cell)[:80],
        )
    return [None if is_missing(t) else _labels.spelled(t, column) for t in found[0]]


def scheme_of(column: str, sequences: Sequence[Tags]) -> Scheme | None:
    """How tags mark entities; None if they do not.

    Raises:
        UserError: some of them do, and others are of no scheme.
    """
    found = _schemes.scheme(sequences)
    every = [tag for sequence in sequences for tag in sequence if tag is not None]
    if found is None and metrics.is_iob2(every):
        classes = _labels.in_order(every)
        known = ("B-", "I-", "E-", "S-", "L-", "U-", "M-", "W-")
        wrong = next((c for c in classes if c != "O" and not c.startswith(known)), None)
        one = f"mixes IOB2 tags with the tag '{wrong}'" if wrong else "mixes schemes of tags"
        raise UserError(
            f"Target '{column}' {one}",
            expected="O, B-<type> and I-<type> (IOB2); another scheme: IOB1, IOE2, IOBES, BILOU, "
            "BMES or BMEWO; or no tag that begins with B- or I-",
            got=", ".join(classes[:10]),
        )
    return found


def _scored(sides: Sides) -> tuple[Build, dict[str, Any]]:
    """Predictions of tags from anywhere against their references."""
    scheme = scheme_of("reference", sides.references)
    # In plain IOB2 a prediction that goes on with nothing is no entity.
    read = list if scheme is None or scheme.plain else _schemes.read
    gold = [read(row) for row in sides.references]
    given = {
        name: [[] if is_missing(cell) else read(tags_of(cell, name)) for cell in cells]
        for name, cells in sides.predictions.items()
    }

    def classes(names: Sequence[str]) -> list[str]:
        every = [gold, *(given[name] for name in names)]
        return _labels.in_order(tag for side in every for row in side for tag in row if tag)

    def build(names: Sequence[str]) -> dict[str, Metric]:
        codes = _labels.codes(names_of := classes(names))

        def coded(rows: Sequence[Sequence[str | None]]) -> list[Array]:
            return [np.array([codes[tag] for tag in row], np.intp) for row in rows]

        guesses = [row for name in names for row in coded(given[name])]
        return metrics.tagging(guesses, coded(gold) * len(names), names_of)

    lengths = {
        name: sum(len(a) != len(b) for a, b in zip(rows, gold, strict=True))
        for name, rows in given.items()
    }
    found = {name: classes([name]) for name in given}
    return build, {"classes": found, "rows of another length": lengths}
