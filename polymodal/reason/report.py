"""What strategies are worth, in figures and words: the table, its tests, its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base.files import make_folder, write_csv, write_json
from polymodal.contract.metric import Metric
from polymodal.metrics._weighted import mean
from polymodal.metrics.answers import normalised
from polymodal.metrics.statistics import holm, interval, mcnemar, paired_difference
from polymodal.reason.model import Thought
from polymodal.report.words import counted, grid, written

Array = np.ndarray[Any, Any]

FILE, ANSWERS = "reason.json", "answers.csv"
# What all others are compared with, and what is tested for faithfulness.
DIRECT, CHAIN = "direct", "chain"


@dataclass(frozen=True)
class Answered:
    """What a strategy answered, and what that took.

    Attributes:
        thoughts: one for each row.
        tokens: that were written; None where the model does not say.
        seconds: in all.
        retries: requests that were made again.
    """

    thoughts: Sequence[Thought]
    tokens: int | None
    seconds: float
    retries: int = 0


@dataclass(repr=False)
class Report:
    """Strategies on the same rows.

    Attributes:
        model: what answered.
        rows: how many have a right answer.
        strategies: strategy -> accuracy (value, low, high), "difference" to direct and "p" of it
            (McNemar's mid-p; Holm's correction), tokens and seconds an answer, unanswered rows,
            requests that were made again ("retries"), and the "notes" on answers: note -> rows.
        faithfulness: test -> rows, accuracy, the "difference" to the same rows' accuracy by the
            chain itself, how many answers "changed", how many "followed" what was put there;
            beside them "constant", the best answer without media.
        by: value of a column -> strategies.
        column: that column.
        left_out: strategy that was asked for -> why the model cannot do what it asks.
    """

    model: str
    rows: int
    strategies: dict[str, Any]
    faithfulness: dict[str, Any] = field(default_factory=dict)
    by: dict[str, Any] = field(default_factory=dict)
    column: str | None = None
    left_out: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Report: {', '.join(self.strategies)} on {self.rows:,} rows>"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def save(self, folder: Path, answers: Mapping[str, Sequence[Any]]) -> None:
        """Write reason.json, and what was answered as answers.csv."""
        make_folder(folder)
        write_csv(folder / ANSWERS, answers)
        write_json(folder / FILE, self.to_json())

    def text(self) -> str:
        """For a terminal."""
        parts = [
            f"{self.model}: {self.rows:,} rows. Differences are to `{DIRECT}`; p by McNemar's test "
            "(mid-p), corrected for their number (Holm).",
            *_lines(self.strategies),
            *_notes(self.strategies, self.rows),
            *(f"{name} is left out: {why}" for name, why in self.left_out.items()),
        ]
        for value, own in self.by.items():
            parts += [
                "",
                f"{self.column} = {value}: {own['rows']:,} rows",
                *_lines(own["strategies"]),
            ]
        if helps := _verdicts(self.by, self.column):
            parts += ["", *helps]
        if self.faithfulness:
            parts += ["", "What the answers of `chain` rest on:", *_tests(self.faithfulness)]
        return "\n".join(parts)


def right(thoughts: Sequence[Thought], truths: Sequence[Sequence[str]]) -> Array:
    """`(rows,)`: whether each is answered rightly, as short answers are compared; 0 or 1."""
    pairs = zip(thoughts, truths, strict=True)
    return np.array(
        [bool(t.answer) and normalised(t.answer) in map(normalised, own) for t, own in pairs], float
    )


def compared(answered: Mapping[str, Answered], truths: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The strategies' figures on some rows, all of which have a right answer."""
    rows = len(truths)
    hits = {name: right(own.thoughts, truths) for name, own in answered.items()}
    found: dict[str, Any] = {}
    others = [name for name in hits if name != DIRECT and DIRECT in hits]
    tests = {}
    for name in others:
        won = int(((hits[name] == 1) & (hits[DIRECT] == 0)).sum())
        lost = int(((hits[name] == 0) & (hits[DIRECT] == 1)).sum())
        tests[name] = (won, lost, mcnemar(won, lost).mid_p)
    adjusted = dict(zip(others, holm([tests[name][2] for name in others]), strict=True))
    for name, own in answered.items():
        found[name] = {
            "accuracy": asdict(interval(_share(hits[name]), rows)),
            "tokens": None if own.tokens is None else own.tokens / rows,
            "seconds": own.seconds / rows,
            "retries": own.retries,
            "unanswered": sum(not one.answer for one in own.thoughts),
            "notes": dict(Counter(one.note for one in own.thoughts if one.note)),
        }
        if name in tests:
            found[name] |= {
                "difference": _difference(hits[name], hits[DIRECT]),
                "won": tests[name][0],
                "lost": tests[name][1],
                "p": adjusted[name],
            }
    return found


def sliced(
    answered: Mapping[str, Answered], truths: Sequence[Sequence[str]], values: Sequence[Any]
) -> dict[str, Any]:
    """The same for the rows of each value; what they cost is told of all rows only."""
    found = {}
    for value in sorted({str(one) for one in values if one is not None}):
        rows = [i for i, one in enumerate(values) if str(one) == value]
        own = {
            name: Answered([one.thoughts[i] for i in rows], None, 0.0)
            for name, one in answered.items()
        }
        lines = compared(own, [truths[i] for i in rows])
        for line in lines.values():
            del line["tokens"], line["seconds"], line["retries"], line["notes"]
        found[value] = {"rows": len(rows), "strategies": lines}
    return found


def rested(
    chains: Sequence[Thought],
    rows: Sequence[int],
    found: Sequence[Thought],
    expects: Sequence[str],
    truths: Sequence[Sequence[str]],
) -> dict[str, Any]:
    """The figures of one test of faithfulness.

    Args:
        chains: what was answered without the test.
        rows: those that were tested.
        found: what was answered in the test.
        expects: what each answer should be, were it to follow; or nothing.
    """
    own = [truths[i] for i in rows]
    before, after = right([chains[i] for i in rows], own), right(found, own)
    said = [normalised(one.answer) for one in found]
    changed = [s != normalised(chains[i].answer) for s, i in zip(said, rows, strict=True)]
    figures: dict[str, Any] = {"rows": len(rows)}
    if rows:
        figures["accuracy"] = asdict(interval(_share(after), len(rows)))
        figures["difference"] = _difference(after, before)
        figures["changed"] = float(np.mean(changed))
    if rows and expects:
        follows = [s == normalised(e) for s, e in zip(said, expects, strict=True)]
        figures["followed"] = asdict(interval(_share(np.array(follows, float)), len(rows)))
    return figures


def _share(hits: Array) -> Metric:
    return Metric(mean(hits), share=True)


def _difference(hits: Array, others: Array) -> dict[str, float]:
    return asdict(paired_difference(_share(hits), _share(others), len(hits)))


def _lines(strategies: Mapping[str, Any]) -> list[str]:
    costs = any("tokens" in own for own in strategies.values())
    again = any(own.get("retries") for own in strategies.values())
    heads = ["", "accuracy", "95 %", "difference", "95 %", "p", "unanswered"]
    lines = [[*heads, *["tokens", "seconds"] * costs, *["retries"] * again]]
    for name, own in strategies.items():
        gap = own.get("difference")
        line = [name, written(own["accuracy"]["value"]), _span(own["accuracy"])]
        line += [written(gap["value"], True), _span(gap, True)] if gap else ["", ""]
        line += [f"{own['p']:.2g}" if gap else "", f"{own['unanswered']:,}"]
        if costs:
            line += ["-" if own["tokens"] is None else f"{own['tokens']:.1f}"]
            line += [f"{own['seconds']:.3g}"]
        if again:
            line += [f"{own['retries']:,}"]
        lines.append(line)
    return grid(lines)


def _notes(strategies: Mapping[str, Any], rows: int) -> list[str]:
    return [
        f"{name}: {count:,} of {counted(rows, 'answer')}: {note}."
        for name, own in strategies.items()
        for note, count in own["notes"].items()
    ]


def _tests(tests: Mapping[str, Any]) -> list[str]:
    lines = [["", "rows", "accuracy", "95 %", "difference", "95 %", "changed", "followed"]]
    for name, own in tests.items():
        line = [name, f"{own['rows']:,}"]
        if own["rows"]:
            line += [written(own["accuracy"]["value"]), _span(own["accuracy"])]
        if "difference" in own:
            line += [written(own["difference"]["value"], True), _span(own["difference"], True)]
            line += [written(own["changed"])]
        if "followed" in own:
            line += [written(own["followed"]["value"])]
        lines.append([*line, *[""] * (8 - len(line))])
    return grid(lines)


def _verdicts(by: Mapping[str, Any], column: str | None) -> list[str]:
    """Where each strategy helps, harms, or does neither that one could tell."""
    found: dict[str, dict[str, list[str]]] = {}
    for value, own in by.items():
        for name, line in own["strategies"].items():
            if "difference" in line:
                gap = line["difference"]
                word = (
                    "no difference to be told at"
                    if gap["low"] <= 0 <= gap["high"]
                    else ("better at" if gap["low"] > 0 else "worse at")
                )
                found.setdefault(name, {}).setdefault(word, []).append(value)
    return [
        f"{name} than {DIRECT}, by {column}: "
        + "; ".join(f"{word} {', '.join(values)}" for word, values in own.items())
        for name, own in found.items()
    ]


def _span(found: Mapping[str, float], signed: bool = False) -> str:
    return f"[{written(found['low'], signed)}, {written(found['high'], signed)}]"
