"""Strategies asked of one model on one table, measured, tested and written down."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from polymodal.base import lookup
from polymodal.base.claims import refuse_others
from polymodal.base.errors import UserError
from polymodal.base.files import make_folder, read_json, write_json
from polymodal.contract.recipe import name_of
from polymodal.reason import faithfulness
from polymodal.reason.model import Asked, Lacks, Model, Thought
from polymodal.reason.report import (
    ANSWERS,
    CHAIN,
    FILE,
    Answered,
    Report,
    compared,
    rested,
    sliced,
)
from polymodal.reason.strategy import Strategy

FOLDER = "reason/strategies"
KEYS = ("model", "strategies", "faithfulness")
# What a strategy answered, kept so that an interrupted command need not ask again.
PARTS = "parts"

# What is being done, how many rows are done, of how many.
Tell = Callable[[str, int, int], None]


def reason(
    model: Model,
    strategies: Sequence[Any],
    out: str | Path | None = None,
    *,
    by: str | None = None,
    faithful: bool = True,
    seed: int = 0,
    tell: Tell = lambda what, done, of: None,
) -> Report:
    """Ask every row by every strategy.

    Args:
        model: what is asked.
        strategies: names of files in `reason/strategies`, or mappings with a name and options.
        out: folder for reason.json and answers.csv. What a strategy answered is kept in its "parts"
            as soon as it is done, and the same command goes on from there.
        by: a column; the strategies are also measured on the rows of each of its values.
        faithful: also run the tests of faithfulness, on the chains.
        seed: of those tests.
        tell: called with what is being done and how many rows of it are.

    A strategy that asks what the model cannot do is left out, and the report says why.

    Raises:
        UserError: a strategy is unknown, or the model cannot do what any of them asks.
    """
    built = {name_of(one): _built(one) for one in strategies}
    if not built or len(built) < len(strategies):
        raise UserError(
            "Strategies are named twice" if built else "No strategy is named",
            expected=f"some of {', '.join(lookup.names(FOLDER))}, each once",
            got=", ".join(name_of(one) for one in strategies),
        )
    folder = None if out is None else Path(out)
    if folder is not None:
        refuse_others(folder, [FILE, ANSWERS], FILE, KEYS)
    rows = [i for i, own in enumerate(model.truths) if own]
    if not rows:
        raise UserError("No row has a right answer", expected="a table with the target's column")
    truths = [model.truths[i] for i in rows]
    values = None if by is None else model.table.cells(by)
    kept = _Kept(folder, model, rows)
    answered: dict[str, Answered] = {}
    left_out: dict[str, str] = {}
    for name, spec in zip(built, strategies, strict=True):
        ask = partial(_asked, model, built[name], rows, tell, name)
        try:
            answered[name] = kept.answered(name, spec, ask)
        except Lacks as error:
            if len(left_out) + 1 == len(built):
                raise
            left_out[name] = f"{error.what}; {error.do}"
    tests: dict[str, Any] = {}
    if faithful and CHAIN in answered:
        prompts = [model.prompts[i] for i in rows]
        tests = _tests(model, rows, answered[CHAIN].thoughts, truths, prompts, seed, kept, tell)
    slices = {} if values is None else sliced(answered, truths, [values[i] for i in rows])
    report = Report(model.name, len(rows), compared(answered, truths), tests, slices, by, left_out)
    if folder is not None:
        report.save(folder, _columns(rows, truths, answered))
        kept.forget()
    return report


def _built(spec: Any) -> Strategy:
    found = lookup.build(FOLDER, spec)
    assert isinstance(found, Strategy)
    return found


def _asked(
    model: Model, strategy: Strategy, rows: Sequence[int], tell: Tell, name: str
) -> Answered:
    start, tokens, retries = time.perf_counter(), model.tokens, model.retries
    found: list[Thought] = []
    for first in range(0, len(rows), model.chunk):
        part = [Asked(row) for row in rows[first : first + model.chunk]]
        found += strategy.answers(model, part)
        tell(name, len(found), len(rows))
    spent = None if model.tokens is None or tokens is None else model.tokens - tokens
    return Answered(found, spent, time.perf_counter() - start, model.retries - retries)


def _tests(
    model: Model,
    rows: Sequence[int],
    chains: Sequence[Thought],
    truths: Sequence[Sequence[str]],
    prompts: Sequence[str],
    seed: int,
    kept: _Kept,
    tell: Tell,
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in faithfulness.TESTS:
        plan = faithfulness.spoilt(name, chains, prompts, seed)
        places = [ask.row for ask in plan.asked]
        asked = [Asked(rows[a.row], a.question, a.reason, a.blank) for a in plan.asked]
        own = faithfulness.Spoilt(asked, plan.expects)

        def run(own: faithfulness.Spoilt = own, name: str = name) -> Answered:
            done = 0

            def more(count: int) -> None:
                nonlocal done
                done += count
                tell(name, done, len(own.asked))

            start = time.perf_counter()
            thoughts = faithfulness.tested(own, model, more).found
            return Answered(thoughts, None, time.perf_counter() - start)

        answered = kept.answered(name, [asdict(a) for a in asked], run)
        found[name] = rested(chains, places, answered.thoughts, plan.expects, truths)
    best = faithfulness.constant(truths, prompts)
    blind = [Thought("", answer) for answer in best]
    found["constant"] = rested(blind, range(len(rows)), blind, (), truths)
    del found["constant"]["difference"], found["constant"]["changed"]
    return found


class _Kept:
    """What was answered so far, on the disk.

    Args:
        folder: None: nothing is kept.
        model, rows: what is asked; of another model or other rows nothing is taken.
    """

    def __init__(self, folder: Path | None, model: Model, rows: Sequence[int]) -> None:
        self.folder = None if folder is None else folder / PARTS
        self.asked = _digest([model.key, list(rows), list(map(list, model.truths))])

    def answered(self, name: str, spec: Any, ask: Callable[[], Answered]) -> Answered:
        """What was answered before, or is now."""
        if self.folder is None:
            return ask()
        path, key = self.folder / f"{name}.json", _digest([self.asked, spec])
        if path.is_file() and (known := read_json(path)).get("key") == key:
            thoughts = [
                Thought(reason, answer, math.nan if log is None else log, *note)
                for reason, answer, log, *note in known["thoughts"]
            ]
            return Answered(thoughts, known["tokens"], known["seconds"], known["retries"])
        found = ask()
        make_folder(self.folder)
        written = [[one.reason, one.answer, one.log, one.note] for one in found.thoughts]
        write_json(path, {**asdict(found), "thoughts": written, "key": key})
        return found

    def forget(self) -> None:
        """All is written down elsewhere."""
        if self.folder is not None and self.folder.is_dir():
            for path in self.folder.glob("*.json"):
                path.unlink()
            if not any(self.folder.iterdir()):
                self.folder.rmdir()


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=repr)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _columns(
    rows: Sequence[int], truths: Sequence[Sequence[str]], answered: Mapping[str, Answered]
) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {"row": list(rows), "truth": [own[0] for own in truths]}
    for name, own in answered.items():
        found[name] = [one.answer for one in own.thoughts]
        if any(one.reason for one in own.thoughts):
            found[f"{name}.rationale"] = [one.reason for one in own.thoughts]
    return found
