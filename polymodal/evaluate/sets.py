"""Which sets of modalities a run is scored with, on which rows, and about how long that takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from polymodal.data.cache import default_folder
from polymodal.data.collate import Collator
from polymodal.data.prepare import Prepared
from polymodal.devices import device
from polymodal.errors import UserError
from polymodal.evaluate._weighted import Array
from polymodal.evaluate.contribution import Names, orders, subsets, visited

if TYPE_CHECKING:
    from polymodal.run import Run

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
            "There is no such way to contributions (`contributions`)",
            expected=f"one of {', '.join(CHOICES)}",
            got=repr(choice),
        )
    if len(names) < 2 or choice == "none":
        return None
    many = len(names) > MOST
    if choice == "exact" or (choice is None and not many):
        return Plan([team for team in subsets(names) if team], np.arange(rows))
    chosen = np.random.default_rng(seed).choice(rows, min(ROWS, rows), replace=False)
    if not many:
        return Plan([team for team in subsets(names) if team], np.sort(chosen))
    walks = orders(names, PAIRS, seed)
    everyone = frozenset(names)
    # Utilisation and imbalance ask for these, which an order may miss.
    ends = [team for name in names for team in (frozenset([name]), everyone - {name})]
    passed = [team for team in visited(walks) if team]
    return Plan(list(dict.fromkeys([*ends, *passed])), np.sort(chosen), walks)


def play(
    run: Run, prepared: Sequence[Prepared], rows: int, planned: Plan | None
) -> tuple[dict[str, Any], dict[Names, Any]]:
    """Members' scores of all rows, and those of the planned rows with every planned set."""
    everything, cache = np.arange(rows), default_folder()
    if planned is None:
        return run.scores(prepared, everything, cache=cache), {}
    everyone = max(planned.sets, key=len)
    absent = [everyone - team for team in planned.sets]
    found = run.scores_without(prepared, planned.rows, absent, cache)
    played = dict(zip(planned.sets, found, strict=True))
    if len(planned.rows) == rows:
        return played[everyone], played
    return run.scores(prepared, everything, cache=cache), played


def announcement(run: Run, prepared: Sequence[Prepared], rows: int, planned: Plan) -> str:
    """About how long the plan takes, in words, and what sampling would."""
    seconds = _seconds(run, prepared, rows)
    names = list(run.schema.modalities())
    answers = seconds([frozenset(names)], rows)
    said = f"V(S) of {len(planned.sets)} sets of modalities"
    if len(planned.rows) < rows:
        took = answers + seconds(planned.sets, len(planned.rows))
        return f"{said} on {len(planned.rows):,} of {rows:,} rows: about {_told(took)}"
    said += f": about {_told(seconds(planned.sets, rows))}, the answers alone {_told(answers)}"
    sample = plan(names, rows, "sampled")
    if sample is None or len(sample.rows) == rows:
        return said
    took = answers + seconds(sample.sets, len(sample.rows))
    return f"{said}; `contributions` sampled: about {_told(took)}"


def _seconds(
    run: Run, prepared: Sequence[Prepared], rows: int
) -> Callable[[Sequence[Names], int], float]:
    """(sets, rows) -> about how many seconds to score them: encoders once, the rest once a set."""
    batch = np.arange(min(BATCH, rows))
    measured = []
    for member in run.members.values():
        names = list(member.forms)
        module: Any = member.module.to(device()).eval()
        collator = Collator({name: prepared[i] for name, i in member.forms.items()}, {})
        with torch.inference_mode():
            module(collator(batch[:2]).to(device()).inputs)  # the first call does more
            start = time.perf_counter()
            tokens = module.encode(collator(batch).to(device()).inputs)
            encode = time.perf_counter() - start
            # By size, for what is absent may cost nothing.
            fuse = [_timed(module, tokens, names[size:]) for size in range(len(names) + 1)]
        measured.append((frozenset(names), encode, fuse))

    def seconds(sets: Sequence[Names], count: int) -> float:
        total = 0.0
        for names, encode, fuse in measured:
            total += encode + sum(fuse[len(own)] for own in {team & names for team in sets})
        return total * count / len(batch)

    return seconds


def _timed(module: Any, tokens: Any, absent: Sequence[str]) -> float:
    start = time.perf_counter()
    for logits in module.fuse(tokens, absent).logits.values():
        logits.cpu()  # waits for a GPU
    return time.perf_counter() - start


def _told(seconds: float) -> str:
    if seconds < 1:
        return "under 1 s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
