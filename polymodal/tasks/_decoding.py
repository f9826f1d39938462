"""A table's answers to columns of the predictions file; numpy alone is needed for it.

Exported models carry this file: tasks say in `Task.plain_decode` which function is theirs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polymodal.contract.answers import Answers, Array, likeliest
from polymodal.tasks import _schemes
from polymodal.tasks._schemes import Scheme

Columns = dict[str, list[Any]]


def amounts(name: str, answers: Answers) -> Columns:
    """Numbers `(1,)`."""
    return {name: np.asarray(answers)[:, 0].tolist()}


def one_class(name: str, answers: Answers, classes: Sequence[str]) -> Columns:
    """Probabilities `(classes,)`: the likeliest class, then each one's share."""
    p = np.asarray(answers).reshape(len(answers), len(classes))
    best = [None if i < 0 else classes[i] for i in likeliest(p)]
    return {name: best, **shares(name, p, classes)}


def labels(name: str, answers: Answers, classes: Sequence[str], between: str | None) -> Columns:
    """Probabilities `(classes,)` of each label: those of one half or more, then each one's."""
    p = np.asarray(answers)
    return {name: [listed(row, classes, between) for row in p], **shares(name, p, classes)}


def tags(
    name: str,
    answers: Answers,
    classes: Sequence[str],
    constrained: bool,
    scheme: Mapping[str, Any] | None,
    between: str | None,
) -> Columns:
    """Probabilities `(words, classes)`: tags as the training cells have them."""
    given = None if scheme is None else Scheme(**scheme)
    codes = (best(row, classes, constrained) for row in answers)
    found = ([classes[code] for code in row] for row in codes)
    return {name: [written(row, given, between) for row in found]}


def shares(name: str, p: Array, classes: Sequence[str]) -> Columns:
    return {f"{name}={c}": p[:, i].tolist() for i, c in enumerate(classes)}


def listed(array: Array, classes: Sequence[str], between: str | None) -> str:
    """The labels at one half or more, with `between` between them; None: as a JSON list."""
    found = [name for name, yes in zip(classes, array >= 0.5, strict=True) if yes]
    return between.join(found) if between else json.dumps(found)


def written(found: Sequence[str | None], scheme: Scheme | None, between: str | None) -> str:
    """IOB2 tags in a scheme, with `between` between them; None: as a JSON list."""
    if scheme is not None and not scheme.plain:
        found = _schemes.written(found, scheme)
    if between is None or None in found:
        return json.dumps(list(found), ensure_ascii=False)
    return between.join(map(str, found))


def best(scores: Array, classes: Sequence[str], constrained: bool) -> Array:
    """The likeliest codes `(words,)` of one row, valid as IOB2 if they are `constrained`."""
    found = np.asarray(scores.argmax(-1))
    if not constrained or orphan([classes[i] for i in found]) is None:
        return found
    return _viterbi(np.log(scores.clip(np.finfo(scores.dtype).tiny)), classes)


def orphan(tags: Sequence[str | None]) -> str | None:
    """The first I-X that follows neither B-X nor I-X, or None."""
    before: str | None = "O"
    for tag in tags:
        # What follows an unknown tag cannot be judged.
        if tag is not None and before is not None and not _may_follow(tag, before):
            return tag
        before = tag
    return None


def _may_follow(tag: str, before: str) -> bool:
    return not tag.startswith("I-") or before in (tag, "B-" + tag[2:])


def _viterbi(scores: Array, classes: Sequence[str]) -> Array:
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
