"""Which sets of modalities a run is scored with, on which rows, and about how long that takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from polymodal.base.devices import device_of, wait
from polymodal.base.errors import UserError
from polymodal.metrics._weighted import Array
from polymodal.metrics.contribution import Names, orders, subsets, visited
from polymodal.prepared.cache import usable_folder
from polymodal.prepared.collate import Collator
from polymodal.prepared.prepare import Prepared
from polymodal.run.run import Run

CHOICES = ("exact", "sampled", "none")
# All 2^M sets are scored up to this many modalities; of more, those that random orders pass.
MOST = 6
# A sample's rows, and its orders of joining, each of which is also walked backwards.
ROWS, PAIRS = 500, 60
# Costs are taken from one batch of this many rows, as prediction's.
BATCH = 256


@dataclass(frozen=True)
class Plan:
    """What is scored.

    Attributes:
        sets: of present modalities, the full one among them; the empty one has no need of a model.
        rows: row numbers, ascending.
        walks: orders of joining that pass these sets; None: the sets are all there are.
    """

    sets: list[Names]
    rows: Array
    walks: list[list[str]] | None = None


def plan(names: Sequence[str], rows: int, choice: str | None = None, seed: int = 0) -> Plan | None:
    """The sets and rows for the contributions of modalities; None: only the answers are wanted.

    Args:
        names: modalities.
        rows: of the table.
        choice: "exact": every set on every row; "sampled": on ROWS random rows, and with more than
            MOST modalities only the sets that PAIRS random orders and their reverses pass; "none".
            By default exact up to MOST modalities.

    Raises:
        UserError: there is no such choice.
    """
    if choice not in (None, *CHOICES):
        raise UserError(
            "`contributions` takes no such value",
            expected=f"one of {', '.join(CHOICES)}",
            got=repr(choice),
        )
    if len(names) < 2 or choice == "none":
        return None
    many = len(names) > MOST
    if choice == "exact" or (choice is None and not many):
        return Plan([team for team in subsets(names) if team], np.arange(rows))
    chosen = drawn(rows, ROWS, seed)
    if not many:
        return Plan([team for team in subsets(names) if team], chosen)
    walks = orders(names, PAIRS, seed)
    everyone = frozenset(names)
    # Utilisation and imbalance ask for these, which an order may miss.
    ends = [team for name in names for team in (frozenset([name]), everyone - {name})]
    passed = [team for team in visited(walks) if team]
    return Plan(list(dict.fromkeys([*ends, *passed])), chosen, walks)


def drawn(rows: int, most: int, seed: int = 0) -> Array:
    """Row numbers of a random sample, ascending; all of them if there are no more than `most`."""
    return np.sort(np.random.default_rng(seed).choice(rows, min(most, rows), replace=False))


def play(
    run: Run,
    prepared: Sequence[Prepared],
    rows: int,
    planned: Plan | None,
    targets: Mapping[str, Prepared],
) -> tuple[dict[str, Any], dict[Names, Any]]:
    """Members' scores of all rows, and those of the planned rows with every planned set.

    Args:
        targets: encoded, for answers that say how likely they were.
    """
    everything, folder = np.arange(rows), usable_folder()
    if planned is None:
        return run.scores(prepared, everything, cache=folder, targets=targets), {}
    everyone = max(planned.sets, key=len)
    absent = [everyone - team for team in planned.sets]
    found = run.scores_without(prepared, planned.rows, absent, folder, targets=targets)
    played = dict(zip(planned.sets, found, strict=True))
    if len(planned.rows) == rows:
        return played[everyone], played
    return run.scores(prepared, everything, cache=folder, targets=targets), played


def announcement(
    run: Run,
    prepared: Sequence[Prepared],
    rows: int,
    planned: Plan,
    targets: Mapping[str, Prepared],
) -> str:
    """About how long the plan takes, in words, and what sampling would; what is kept takes none.

    Args:
        targets: as of `play`.
    """
    seconds = _seconds(run, prepared, targets)
    names, everything = list(run.schema.modalities()), np.arange(rows)
    said = f"scoring {len(planned.sets)} sets of modalities"
    answers = seconds([frozenset(names)], everything)
    whole = seconds(planned.sets, planned.rows)
    if answers == whole == 0:
        return f"{said}: done before and kept"
    if len(planned.rows) < rows:
        took = _told(answers + whole)
        return f"{said} on {len(planned.rows):,} of {rows:,} rows: {took}"
    said += f": {_told(whole)}, the answers alone {_told(answers)}"
    sample = plan(names, rows, "sampled")
    if sample is None or len(sample.rows) == rows:
        return said
    took = _told(answers + seconds(sample.sets, sample.rows))
    return f"{said}; `contributions sampled`: {took}"


def _seconds(
    run: Run, prepared: Sequence[Prepared], targets: Mapping[str, Prepared]
) -> Callable[[Sequence[Names], Array], float]:
    """(sets, rows) -> about how many seconds to score what of them is not kept.

    Encoders run once, the rest once a set. Members are timed when they are first asked for.
    """
    everyone, costs = frozenset(run.schema.modalities()), cache(partial(_costs, run, prepared))

    def seconds(sets: Sequence[Names], rows: Array) -> float:
        absent = [everyone - team for team in sets]
        total = 0.0
        left_of = run.unscored(prepared, rows, absent, usable_folder(), targets)
        for name, left in left_of.items():
            if left:
                encode, fuse = costs(name)
                total += encode + sum(fuse[len(gone)] for gone in left)
        return total * len(rows)

    return seconds


def _costs(run: Run, prepared: Sequence[Prepared], name: str) -> tuple[float, list[float]]:
    """Seconds a row to encode, and to fuse without so many modalities, of a member."""
    member = run.members[name]
    names = list(member.forms)
    module: Any = member.module
    place = device_of(module)
    collator = Collator({name: prepared[i] for name, i in member.forms.items()}, {})
    batch = np.arange(min(BATCH, len(prepared[0])))

    def seconds(call: Callable[[], Any]) -> float:
        wait(place)
        start = time.perf_counter()
        call()
        wait(place)
        return (time.perf_counter() - start) / len(batch)

    with torch.inference_mode():
        module(collator(batch[:2]).to(place).inputs)  # the first call does more
        tokens: list[Any] = []
        encode = seconds(lambda: tokens.append(module.encode(collator(batch).to(place).inputs)))
        # By size, for what is absent may cost nothing.
        fuse = [
            seconds(partial(module.fuse, tokens[0], names[:size])) for size in range(len(names) + 1)
        ]
    return encode, fuse


def _told(seconds: float) -> str:
    if seconds < 1:
        return "under 1 s"
    return f"about {seconds:.0f} s" if seconds < 120 else f"about {seconds / 60:.0f} min"
