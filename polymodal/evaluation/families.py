"""Which metrics there are for predictions from anywhere, and what their cells must hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple, TypeVar

import numpy as np

from polymodal.base.errors import UserError
from polymodal.base.spelling import canonical, is_missing
from polymodal.contract.metric import Metric
from polymodal.metrics import alignment, answers, captions, metrics
from polymodal.metrics._weighted import Array, mean
from polymodal.metrics.answers import Extractor
from polymodal.table import values
from polymodal.tasks import _labels
from polymodal.tasks.tag import check_iob2, tags_of

Cells = list[Any]
# Names of systems -> metrics over all their rows, one system's after the other's. Any may be asked
# for alone, and two together for a test that exchanges their rows.
Build = Callable[[Sequence[str]], dict[str, Metric]]
Parsed = TypeVar("Parsed")

FEWEST_MOST = "references a row (fewest, most)"
UNLIKELY = "share of labels that are not the likeliest class of the probabilities beside them"


@dataclass(frozen=True)
class Sides:
    """What is compared: rows that have a reference.

    Attributes:
        predictions: system -> cells, None where there is no prediction.
        probabilities: system -> class -> cells of its column "system=class".
        references: what the family's `parse` made of each row's reference cells.
        extract: finds answers in the predictions, or None: each prediction is an answer.
    """

    predictions: Mapping[str, Cells]
    probabilities: Mapping[str, Mapping[str, Cells]]
    references: Cells
    extract: Extractor | None


class Family(NamedTuple):
    """Metrics of one kind of answer.

    Attributes:
        parse: a row's reference cells -> its reference, or None if it has none.
        build: Sides -> Build, and what a reader of the figures must know.
        several: whether there may be more than one reference column.
        extracts: whether answers may be extracted from free text.
    """

    parse: Callable[[Cells], Any]
    build: Callable[[Sides], tuple[Build, dict[str, Any]]]
    several: bool = False
    extracts: bool = False


def _vqa(sides: Sides) -> tuple[Build, dict[str, Any]]:
    given = {name: _answers(sides, name) for name in sides.predictions}

    def build(names: Sequence[str]) -> dict[str, Metric]:
        guesses = [answer for name in names for answer in given[name]]
        found = answers.answers(guesses, sides.references * len(names))
        return found | _failures(sides, names, given)

    annotators = [len(texts) for texts in sides.references]
    return build, {FEWEST_MOST: [min(annotators), max(annotators)]}


def _captions(sides: Sides) -> tuple[Build, dict[str, Any]]:
    compared = {
        name: captions.captions([_text(cell) or "" for cell in cells], sides.references)
        for name, cells in sides.predictions.items()
    }

    def build(names: Sequence[str]) -> dict[str, Metric]:
        return reduce(captions.Captions.followed_by, [compared[name] for name in names]).metrics()

    counts = [len(texts) for texts in sides.references]
    return build, {FEWEST_MOST: [min(counts), max(counts)], "sacrebleu": captions.version()}


def _retrieval(sides: Sides) -> tuple[Build, dict[str, Any]]:
    lists = {name: _rankings(cells) for name, cells in sides.predictions.items()}
    # As many columns of them as were named, each with a separator of its own.
    columns = [_rankings(cells) for cells in zip(*sides.references, strict=True)]
    right = [set().union(*row) for row in zip(*columns, strict=True)]
    gallery = len(set().union(*right, *(one for ranked in lists.values() for one in ranked)))
    found = {
        name: alignment.found_in(ranked, right, f"row to '{name}'", gallery)
        for name, ranked in lists.items()
    }

    def build(names: Sequence[str]) -> dict[str, Metric]:
        return reduce(alignment.Retrieval.followed_by, [found[name] for name in names]).metrics()

    return build, {name: one.conditions() for name, one in found.items()}


def _classify(sides: Sides) -> tuple[Build, dict[str, Any]]:
    given = {name: _answers(sides, name) for name in sides.predictions}
    if sides.extract is not None:
        # "b" and "Yes", found in a sentence, are the classes "B" and "yes".
        cased = {label.casefold(): label for label in sides.references}
        cased |= {label: label for label in sides.references}
        given = {
            name: [a and cased.get(a, cased.get(a.casefold(), a)) for a in found]
            for name, found in given.items()
        }
    shares = {
        name: _probabilities(columns, sides.references, name)
        for name, columns in sides.probabilities.items()
        if columns
    }

    def classes(names: Sequence[str]) -> list[str]:
        named = (label for name in names for label in given[name] if label is not None)
        return _labels.in_order([*sides.references, *named])

    def build(names: Sequence[str]) -> dict[str, Metric]:
        codes = _codes(classes(names))
        target = np.array([codes[label] for label in sides.references] * len(names))
        guessed = np.array([codes[label] for name in names for label in given[name]])
        found = metrics.decisions(guessed, target, len(codes) - 1)
        # Rankings of other classes are not compared.
        if all(name in shares and [*shares[name]] == [*shares[names[0]]] for name in names):
            scores = np.concatenate([np.stack([*shares[name].values()], 1) for name in names])
            codes = _codes([*shares[names[0]]])
            target = np.array([codes[label] for label in sides.references] * len(names))
            found = metrics.classification(scores, target) | found
        return found | _failures(sides, names, given)

    conditions: dict[str, Any] = {"classes": {name: classes([name]) for name in given}}
    if shares:
        conditions[UNLIKELY] = {name: _unlikely(given[name], one) for name, one in shares.items()}
    return build, conditions


def _multilabel(sides: Sides) -> tuple[Build, dict[str, Any]]:
    gold = _sets(sides.references)
    given = {name: _sets(cells) for name, cells in sides.predictions.items()}

    def classes(names: Sequence[str]) -> list[str]:
        sides = (gold, *(given[name] for name in names))
        return _labels.in_order(label for side in sides for one in side for label in one)

    def build(names: Sequence[str]) -> dict[str, Metric]:
        labels = classes(names)

        def coded(side: Sequence[Sequence[str]]) -> Array:
            return np.array([[label in one for label in labels] for one in map(set, side)], float)

        guesses = np.concatenate([coded(given[name]) for name in names])
        # What only the other system names counts for neither.
        found = metrics.multilabel(guesses, np.tile(coded(gold), (len(names), 1)), absent=np.nan)
        # Labels alone rank nothing.
        return {name: metric for name, metric in found.items() if name != "roc_auc"}

    return build, {"classes": {name: classes([name]) for name in given}}


def _regress(sides: Sides) -> tuple[Build, dict[str, Any]]:
    gold = np.array(sides.references)
    given = {}
    for name, cells in sides.predictions.items():
        given[name] = np.array([_number([cell]) for cell in cells], float)
        missing = int(np.isnan(given[name]).sum())
        if missing:
            raise UserError(
                f"'{name}' has no prediction in {missing} of {len(gold)} rows",
                expected="a number in each: how wrong a missing one is cannot be said",
                do="predict these rows too, or leave them out of the table for every system",
            )

    def build(names: Sequence[str]) -> dict[str, Metric]:
        guesses = np.concatenate([given[name] for name in names])
        return metrics.regression(guesses, np.tile(gold, len(names)))

    return build, {}


def _tag(sides: Sides) -> tuple[Build, dict[str, Any]]:
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
        codes = _codes(tags := classes(names))

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


def _codes(classes: Sequence[str]) -> dict[str | None, int]:
    """Code of each class; of None: negative, which no class has."""
    return {label: code for code, label in enumerate(classes)} | {None: -1}


def _answers(sides: Sides, name: str) -> list[str | None]:
    """A system's answers as texts; None where there is none or none can be extracted."""
    texts = [_text(cell) for cell in sides.predictions[name]]
    if sides.extract is None:
        return texts
    return [None if text is None else sides.extract(text) for text in texts]


def _failures(
    sides: Sides, names: Sequence[str], given: Mapping[str, Sequence[str | None]]
) -> dict[str, Metric]:
    if sides.extract is None:
        return {}
    failed = np.array([answer is None for name in names for answer in given[name]], float)
    return {"extraction_failure_rate": Metric(mean(failed), greater_is_better=False)}


def _text(cell: Any) -> str | None:
    if is_missing(cell):
        return None
    if isinstance(cell, list | dict | bytes):
        raise UserError("A cell holds no text", expected="a text or a number", got=repr(cell)[:80])
    return canonical(cell)


def _texts(cells: Cells) -> list[str] | None:
    """A row's texts: of several columns, of lists, of JSON lists."""
    listed = [values.json_list(cell) if isinstance(cell, str) else cell for cell in cells]
    parts = [
        part
        for cell, found in zip(cells, listed, strict=True)
        for part in (found if isinstance(found, list) else [cell])
    ]
    texts = [text for text in map(_text, parts) if text is not None]
    return texts or None


def _items(cells: Cells) -> Cells | None:
    """A row's cells, if any of them names an item."""
    named = [not is_missing(cell) and bool(values.parts(cell, None)) for cell in cells]
    return cells if any(named) else None


def _one(read: Callable[[Any], Parsed]) -> Callable[[Cells], Parsed | None]:
    """A reference that stands in a single cell."""
    return lambda cells: None if is_missing(cells[0]) else read(cells[0])


def _number(cells: Cells) -> float | None:
    try:
        found = values.number(cells[0])
    except ValueError as error:
        raise UserError(f"A cell {error}", expected="a number", got=repr(cells[0])[:80]) from error
    return None if np.isnan(found) else found


def _sets(cells: Sequence[Any]) -> list[list[str]]:
    """The labels of each cell; none where it is missing."""
    between = values.separator([cell for cell in cells if cell is not None])
    return [values.members(cell, between) or [] for cell in cells]


def _rankings(cells: Sequence[Any]) -> list[list[str]]:
    between = values.separator([cell for cell in cells if cell is not None])
    return [
        []
        if is_missing(cell)
        else [canonical(item) for item in values.parts(cell, between) if not is_missing(item)]
        for cell in cells
    ]


def _probabilities(
    columns: Mapping[str, Cells], references: Sequence[str], name: str
) -> dict[str, Array]:
    """Probabilities `(rows,)` of each class, in the order of classes."""
    spelled = [canonical(label) for label in columns]
    lacking = sorted(set(references) - set(spelled))
    if lacking or len(set(spelled)) < len(spelled):
        raise UserError(
            f"The columns '{name}=CLASS' are not one for each class",
            expected="probabilities of every class that the references name, each once",
            got=f"none for {', '.join(lacking[:5])}" if lacking else ", ".join(columns),
            do="add, rename or remove these columns",
        )
    cells = dict(zip(spelled, columns.values(), strict=True))
    found = {
        label: np.array([_number([cell]) for cell in cells[label]], float)
        for label in _labels.in_order(cells)
    }
    shares = np.stack([*found.values()], 1)
    wrong = ~((shares >= 0).all(1) & (np.abs(shares.sum(1) - 1) < 0.01))
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(
            f"The columns '{name}={next(iter(found))}', ... are no probabilities",
            expected="numbers from 0 that add up to 1 in each row",
            got=str(shares[row].tolist())[:80],
            do="rename or remove these columns",
        )
    return found


def _unlikely(labels: Sequence[str | None], shares: Mapping[str, Array]) -> float:
    """Which part of the labels another class is likelier than."""
    most = np.stack([*shares.values()]).max(0)
    named = [(row, label) for row, label in enumerate(labels) if label is not None]
    unlike = [label not in shares or shares[label][row] < most[row] for row, label in named]
    return sum(unlike) / max(1, len(unlike))


FAMILIES = {
    "vqa": Family(_texts, _vqa, several=True, extracts=True),
    "captions": Family(_texts, _captions, several=True),
    "retrieval": Family(_items, _retrieval, several=True),
    "classify": Family(_one(_text), _classify, extracts=True),
    "multilabel": Family(_one(lambda cell: cell), _multilabel),
    "regress": Family(_number, _regress),
    "tag": Family(_one(lambda cell: tags_of(cell, "reference") or None), _tag),
}
