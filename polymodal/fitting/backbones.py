"""Which pretrained models a default fit reads cells with: what is there, and what the time allows.

It looks in this order: what packages have installed, what the hub's local cache holds of each
kind's short list (`Kind.hub`), and, only if it was asked for, the hub itself.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.checks._finding import Finding
from polymodal.contract.beside import PRETRAINED, frozen, learned
from polymodal.contract.kind import Kind, Weights, of
from polymodal.contract.recipe import Member, Recipe
from polymodal.nn import checkpoint
from polymodal.prepared.cells import Contents, cells
from polymodal.table.schema import Column, Schema

# Frozen models may read all cells once in this part of the budget, altogether.
FROZEN_PART = 0.2
# And in this part where a decoder reads what they make: from few rows it learns what pictures show
# by such a model or hardly at all.
READ_PART = 0.4
# To open and time them may take this part; those that come later are left out.
LOOKING_PART = 0.08
# A text model is trained on where words are labelled if an epoch, three readings long, takes this.
TUNED_PART = 0.75
TUNED_READINGS = 3
# Of any other modality it is one more member if all epochs of it take this part.
TUNED_EPOCHS = 4
MEMBER_PART = 0.4
SAMPLE = 32
# What is said of the parent's encoders, with which experts read.
PARENT, KNOWS = "parent", "the rows of the run that the fit starts from, without labels"
# What brings all packages at once.
EXTRA = "polymodal[pretrained]"


@dataclass
class Backbones:
    """Pretrained models for a table.

    Attributes:
        of: modality -> what reads it, the one to prefer first; none is empty.
        tunable: those of them whose first may also be trained on.
        learned: modality -> the parent's encoder of it, which only experts read with.
        findings: what people should know: what was left out, and what could be had.
    """

    of: dict[str, list[Weights]] = field(default_factory=dict)
    tunable: frozenset[str] = frozenset()
    learned: dict[str, Weights] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def backbones(
    contents: Contents,
    schema: Schema,
    recipe: Recipe,
    tagged: frozenset[str],
    theirs: Mapping[str, str],
    written: bool = False,
) -> Backbones:
    """What the plan may read cells with, by looking and by timing a sample.

    Args:
        contents: of all rows.
        tagged: modalities whose words some task labels: a model is trained on for those.
        theirs: modality -> a folder with the parent's encoder of it.
        written: whether a decoder reads the tokens.
    """
    found = Backbones()
    if recipe.models:
        return found
    spent = _learned(found, contents, schema, recipe, theirs)
    if recipe.pretrained == "none":
        return found
    begun = time.perf_counter()
    looking = math.inf if recipe.budget is None else LOOKING_PART * recipe.budget
    wanted: list[tuple[float, str, Weights]] = []
    lacking: dict[str, Weights] = {}
    for name, columns in schema.modalities().items():
        room = of(columns[0].kind)
        there = candidates(room, recipe.pretrained)
        if not there and not room.offered():
            continue
        sample, count = _sample(contents, columns[0])
        if not room.familiar(sample):
            continue
        if not there:
            lacking[name] = room.offered()[0]
        for weights in there:
            if time.perf_counter() - begun > looking:
                what = f"{weights.name} is not tried: the `budget` is too short to look at it"
                found.findings.append(Finding("info", what, 0))
                continue
            try:
                seconds = _seconds(room, weights, sample, count)
            except UserError as error:
                found.findings.append(Finding("info", f"{weights.name}: {error.what}", 0))
                continue
            wanted.append((seconds * (TUNED_READINGS if name in tagged else 1), name, weights))
    _afford(found, wanted, recipe, tagged, spent, READ_PART if written else FROZEN_PART)
    # What is preferred comes first again.
    for name, own in found.of.items():
        order = [one for _, of_name, one in wanted if of_name == name]
        own.sort(key=order.index)
    if recipe.budget is not None:
        most = MEMBER_PART * recipe.budget / (TUNED_READINGS * TUNED_EPOCHS)
        fast = {(name, one) for seconds, name, one in wanted if seconds <= most}
        rooms = {name: of(columns[0].kind) for name, columns in schema.modalities().items()}
        chosen = {
            name
            for name, own in found.of.items()
            if (name, own[0]) in fast and _trainable(rooms[name], own[0])
        }
        found.tunable = frozenset(chosen - tagged)
    if lacking:
        found.findings.append(_offer(lacking))
    return found


def candidates(room: Kind, how: str) -> list[Weights]:
    """A kind's pretrained models that may be used.

    Args:
        how: "installed", "hub" or "none", as the recipe's `pretrained` says.
    """
    if how == "none":
        return []
    more = [one for one in room.hub if how == "hub" or checkpoint.cached(one.path)]
    known: dict[str, Weights] = {}
    for one in (*room.installed(), *more):
        known.setdefault(one.name, one)
    return list(known.values())


def used(members: Sequence[Member], schema: Schema) -> list[dict[str, Any]]:
    """What is said of the pretrained models that some members read: one entry each, JSON-able."""
    grouped = schema.modalities()
    found: dict[str, dict[str, Any]] = {}
    for member in members:
        for name, modality in member.modalities.items():
            if modality.pretrained is None:
                continue
            known = described(of(grouped[name][0].kind), modality.pretrained)
            entry = found.setdefault(
                known.path,
                {
                    "name": known.name,
                    "package": known.package,
                    "licence": known.licence,
                    "knows": known.knows,
                    "reads": [],
                },
            )
            entry["reads"] += [name] if name not in entry["reads"] else []
    return list(found.values())


def described(room: Kind, path: str) -> Weights:
    """What is known of the model in a folder or of a hub id."""
    if learned(path):
        return Weights(PARENT, path, "", "", KNOWS)
    for one in (*room.installed(), *room.hub):
        if one.path == path:
            return one
    return Weights(path, path, "", checkpoint.licence(path), "")


def _learned(
    found: Backbones,
    contents: Contents,
    schema: Schema,
    recipe: Recipe,
    theirs: Mapping[str, str],
) -> float:
    """The parent's encoders for which there is time, and the seconds that they take."""
    spent = 0.0
    for name, path in theirs.items():
        column = schema.modalities()[name][0]
        room, weights = of(column.kind), described(of(column.kind), path)
        seconds = _seconds(room, weights, *_sample(contents, column))
        if recipe.budget is None or spent + seconds <= FROZEN_PART * recipe.budget:
            found.learned[name] = weights
            spent += seconds
    return spent


def _afford(
    found: Backbones,
    wanted: Sequence[tuple[float, str, Weights]],
    recipe: Recipe,
    tagged: frozenset[str],
    spent: float,
    frozen: float,
) -> None:
    """Those for which there is time, the fastest first.

    Args:
        spent: seconds that are gone already.
        frozen: what part of the budget frozen ones may take.
    """
    for seconds, name, weights in sorted(wanted, key=lambda one: one[0]):
        part = TUNED_PART if name in tagged else frozen
        if name in tagged and name in found.of:
            continue
        if recipe.budget is None or spent + seconds <= part * recipe.budget:
            found.of.setdefault(name, []).append(weights)
            spent += seconds * (name not in tagged)
            continue
        long = max(recipe.budget, seconds / part)
        what = (
            f"{weights.name} is not used: it would need about {seconds:,.0f} s for '{name}'; "
            f"a `budget` of {long:,.0f} s has them"
        )
        found.findings.append(Finding("info", what, 0))


def _offer(lacking: dict[str, Weights]) -> Finding:
    """What could be had, in one line."""
    packages = list(dict.fromkeys(one.package for one in lacking.values()))
    package = packages[0] if len(packages) == 1 else EXTRA
    gains = ", ".join(f"a model of {one.knows} for '{name}'" for name, one in lacking.items())
    what = f"No pretrained model is installed: pip install '{package}' adds {gains}"
    return Finding("info", what, 0)


def _sample(contents: Contents, column: Column) -> tuple[list[Any], int]:
    """Some different cells of a column that can be read, and how many different ones there are."""
    keys, _ = contents.keys(column)
    first = {key: row for row, key in reversed(list(enumerate(keys))) if key is not None}
    rows = np.array(sorted(first.values()), np.int64)
    found: list[Any] = []
    for row in rows[:: max(1, len(rows) // SAMPLE)][:SAMPLE].tolist():
        # What cannot be read is counted when all cells are prepared.
        with contextlib.suppress(UserError):
            found += cells(contents.table, [column], np.array([row]))
    return found, len(rows)


def _seconds(room: Kind, weights: Weights, sample: Sequence[Any], count: int) -> float:
    """What it takes to read so many cells once, by a sample of them.

    Raises:
        UserError: the model cannot be opened, or had.
    """
    form = frozen(room.name, weights.path)
    readable = []
    for cell in sample:
        with contextlib.suppress(UserError):
            form.encode(cell)  # the first call also loads the model
            readable.append(cell)
    if not readable:
        return 0.0

    def once() -> float:
        start = time.perf_counter()
        form.encode_many(readable)
        return time.perf_counter() - start

    # The less disturbed of two: what is decided by it is no matter of a busy moment.
    return min(once(), once()) / len(readable) * count


def _trainable(room: Kind, weights: Weights) -> bool:
    """Whether a model may be trained on; some are only heard or seen with."""
    spec = {"name": PRETRAINED, "path": weights.path, "tune": True}
    try:
        lookup.build(f"modalities/{room.name}/forms", spec)
    except UserError:
        return False
    return True
