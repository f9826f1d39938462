"""Boxes around the things of `scenes`, and around the one that a phrase names.

    python benchmarks/boxes.py --difficulty medium --budget 300s --processor
    python benchmarks/boxes.py --difficulty medium --asked --budget 300s --processor

By default a picture's boxes are those of all its things, by shape. With `--asked` a second column
names one of the things by its colour ("the red one"), its box alone is the target, without its
shape, and the verdict says whether picture and phrase together tell more than either. Figures are
those of `evaluate` on rows that no fit has seen, with intervals of 95 %. `--processor` counts the
budget in this process's seconds of the processor, so that a machine that is busy with other work
does not matter; it is for one thread.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import tempfile
import time
from pathlib import Path

import pandas as pd

import polymodal as pm
from polymodal.builtin import scenes

THING = re.compile(r"\b(?:one|two|three) (\w+) (circle|square|triangle|cross)(?:s|es)?\b")
DROPPED = ("question", "answer", "caption")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=3000, help="of scenes, a fifth for the test")
    parser.add_argument("--difficulty", default="medium", help="of scenes")
    parser.add_argument("--size", type=int, default=64, help="side of the pictures")
    parser.add_argument("--budget", default="300s")
    parser.add_argument("--asked", action="store_true", help="only what a phrase names")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processor", action="store_true")
    given = parser.parse_args()
    if given.processor:
        time.perf_counter = time.process_time
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        splits = {"train": 0.8, "test": 0.2}
        columns = ("picture", "boxes", "caption")
        paths = scenes.write(
            folder, given.rows, given.seed, given.difficulty, columns, given.size, splits
        )
        if given.asked:
            for path in paths.values():
                asked(path, given.seed)
        train = {"drop": DROPPED, "budget": given.budget, "out": folder / "run"}
        start = time.perf_counter()
        run = pm.fit(paths["train"], "boxes", **train)
        took = time.perf_counter() - start
        steps = ", ".join(f"{n} {one.facts['steps']} steps" for n, one in run.members.items())
        print(f"fitted in {took:.0f} s: {steps}")
        found = pm.evaluate(folder / "run", paths["test"])
        for who, numbers in {"fused": found.targets, **found.rivals}.items():
            for metric, one in numbers["boxes"].items():
                print(f"{who} {metric}: {one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]")
        for verdict in found.verdicts.values():
            print(verdict.get("sentence") or json.dumps(verdict, default=str)[:500])


def asked(path: Path, seed: int) -> None:
    """Leave one box a row, by chance, and say which by its colour."""
    table = pd.read_csv(path, dtype=str)
    draw = pd.Series(range(len(table))).sample(frac=1, random_state=seed).to_numpy()
    phrases, kept = [], []
    for number, boxes, caption in zip(draw, table["boxes"], table["caption"], strict=True):
        colours = {shape: colour for colour, shape in THING.findall(caption.lower())}
        every = json.loads(boxes)
        one = every[number % len(every)]
        phrases.append(f"the {colours[one[4]]} one")
        kept.append(json.dumps([[*one[:4], "thing"]]))
    table.assign(phrase=phrases, boxes=kept).to_csv(path, index=False, quoting=csv.QUOTE_MINIMAL)


if __name__ == "__main__":
    main()
