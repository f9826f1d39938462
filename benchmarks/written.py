"""Texts that a model writes about `scenes`: captions by their slots, and answers against classes.

    python benchmarks/written.py --captions 8m --answers 4m --difficulty easy
    python benchmarks/written.py --captions 1m --answers 0 --processor

A caption names things; of each, its number, colour and shape are a slot, which is right if the
written caption has it too (things are matched so that most slots are right). Answers to questions
about the picture are written by one fit and chosen among classes by another one, in the same time
each, of the same rows. All are measured on rows that no fit has seen, with 95 % intervals.
`--grid N` writes captions by one model that reads a frozen EfficientNet-Lite0's places averaged to
N times N tokens, or to one (0), instead of by the plan's models. `--processor` counts budgets in
this process's seconds of the processor, so that a machine that is busy with other work does not
matter; it is for one thread.
"""

from __future__ import annotations

import argparse
import csv
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

import polymodal as pm
from polymodal.base.spelling import seconds
from polymodal.builtin import scenes
from polymodal.contract.recipe import Recipe
from polymodal.metrics.answers import normalised
from polymodal.metrics.statistics import Interval, interval, paired_difference
from polymodal.metrics.summed import mean
from polymodal.report.console import Show

THING = re.compile(
    r"\b(one|two|three) (red|green|blue|yellow) (circle|square|triangle|cross)(?:s|es)?\b"
)
SLOTS = ("number", "colour", "shape")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=5000, help="of scenes, a fifth for the test")
    parser.add_argument("--difficulty", default="easy", help="of scenes")
    parser.add_argument("--captions", default="8m", help="time for the fit of captions; 0: none")
    parser.add_argument("--answers", default="4m", help="for each fit of answers; 0: none")
    parser.add_argument("--pretrained", default="installed", help="none: all from scratch")
    parser.add_argument("--grid", type=int, help="see above; of captions alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processor", action="store_true")
    given = parser.parse_args()
    if given.processor:
        time.perf_counter = time.process_time
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        splits = {"train": 0.8, "test": 0.2}
        columns = ("picture", "caption")
        paths = scenes.write(
            folder / "data", given.rows, given.seed, given.difficulty, columns, 64, splits
        )
        if given.captions != "0":
            captions(given, folder, paths)
        if given.answers != "0":
            answers(given, folder, paths)


def captions(given: argparse.Namespace, folder: Path, paths: dict[str, Path]) -> None:
    """Fit captions, and print what their slots and words are worth."""
    found = fitted(
        given, folder / "captions", paths, "caption", given.captions, ["question", "answer"], True
    )
    true = column(paths["test"], "caption")
    right = np.array([slots(*pair) for pair in zip(found[1], true, strict=True)])
    weight = np.array([len(things(one)) for one in true], float)
    for i, name in enumerate(SLOTS):
        print(f"  {name}: {shown(interval(mean(right[:, i], weight), len(true)))}", flush=True)
    whole = interval(mean(right.mean(1), weight), len(true))
    print(f"  all slots: {shown(whole)}")
    print(f"  colour and shape: {shown(interval(mean(right[:, 1:].mean(1), weight), len(true)))}")
    for name in ("cider_d", "bleu", "rouge_l", "perplexity"):
        if name in found[0]:
            print(f"  {name}: {shown(Interval(**found[0][name]))}")


def answers(given: argparse.Namespace, folder: Path, paths: dict[str, Path]) -> None:
    """Fit answers as texts and as classes, and print both, and by how much they differ."""
    true = [normalised(one) for one in column(paths["test"], "answer")]
    right = {}
    for how, written in (("written", True), ("chosen", False)):
        _, said = fitted(given, folder / how, paths, "answer", given.answers, ["caption"], written)
        right[how] = np.array(
            [normalised(one) == two for one, two in zip(said, true, strict=True)], float
        )
        share = replace(mean(right[how], np.ones(len(true))), share=True)
        print(f"  right: {shown(interval(share, len(true)))}", flush=True)
    metrics = [mean(one, np.ones(len(true))) for one in right.values()]
    print(f"  written less chosen: {shown(paired_difference(*metrics, len(true)))}")


def fitted(
    given: argparse.Namespace,
    out: Path,
    paths: dict[str, Path],
    target: str,
    budget: str,
    drop: Sequence[str],
    written: bool,
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """A fit's metrics on the test table, and what it says there."""
    start = time.perf_counter()
    run = pm.fit(
        paths["train"],
        target,
        recipe=recipe(given.grid) if target == "caption" else None,
        kinds={target: "text"} if written else None,
        drop=drop,
        budget=seconds(budget),
        seed=given.seed,
        pretrained=given.pretrained,
        out=out,
        show=Show.silent(),
    )
    took, start = time.perf_counter() - start, time.perf_counter()
    found = pm.evaluate(run, paths["test"], contributions="none", explain=0)
    members = ", ".join(
        f"{name} ({run.members[name].facts.get('steps', 0)} steps)"
        for name in run.weights["fused"][target]
    )
    how = "as texts" if written else "as classes"
    print(
        f"{target} {how}: fit {took:.0f} s of {budget}, evaluation "
        f"{time.perf_counter() - start:.0f} s, of {members}",
        flush=True,
    )
    said: list[Any] = found.predictions[target]
    return found.targets[target], [str(one) for one in said]


def recipe(grid: int | None) -> Recipe:
    """With a model of pictures' places, where a grid is told."""
    if grid is None:
        return Recipe()
    read = {"pretrained": "efficientnet_lite0", "form": {"grid": grid or None}}
    return Recipe.model_validate({"models": [{"name": "places", "modalities": {"picture": read}}]})


def things(caption: str) -> list[tuple[str, ...]]:
    """Number, colour and shape of everything that a caption names."""
    return [match.groups() for match in THING.finditer(caption.lower())]


def slots(said: str, true: str) -> list[int]:
    """How many numbers, colours and shapes of the true caption's things the written one has."""
    wanted, given = things(true), things(said)
    given += [("",) * len(SLOTS)] * (len(wanted) - len(given))
    ways = (
        [sum(one[i] == other[i] for one, other in zip(own, wanted, strict=True)) for i in range(3)]
        for own in permutations(given, len(wanted))
    )
    return max(ways, key=sum)


def column(path: Path, name: str) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def shown(found: Interval) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


if __name__ == "__main__":
    main()
