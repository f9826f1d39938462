"""A modality and its copy: does `fit` and `evaluate` ever find that fusing them pays?

    python benchmarks/same_twice.py --kinds picture --budgets 10 20 30 45 60 78 100 120 180 300
    python benchmarks/same_twice.py --kinds noise --budgets 6 --rows 400 --test-rows 400 --seeds 100

The second column tells nothing that the first does not: a picture's mirror image, a series read
backwards, a text with its words in another order; of noise neither tells anything. "Pays" is wrong
whatever the time, and so is a missing verdict without a reason. One line a fit, and the count of
every answer at the end.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

import polymodal as pm

BUDGETS = (10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 78.0, 100.0, 140.0, 200.0)
Pair = tuple[Any, Any]


def picture(label: int, rng: np.random.Generator) -> Pair:
    """A cross or a plus somewhere in noise, and its mirror image."""
    found = rng.integers(0, 140, (32, 32, 3)).astype(np.uint8)
    y, x = rng.integers(4, 28, 2)
    for k in range(-3, 4):
        for dy, dx in ((k, k), (k, -k)) if label else ((k, 0), (0, k)):
            found[y + dy, x + dx] = 255
    return found, found[:, ::-1].copy()


def series(label: int, rng: np.random.Generator) -> Pair:
    """A rise before or after a fall somewhere in noise, and the same read backwards."""
    found = rng.normal(size=(64, 1)).astype(np.float32)
    at = int(rng.integers(4, 44))
    found[at : at + 8] += 2.0 if label else -2.0
    found[at + 8 : at + 16] -= 2.0 if label else -2.0
    return found, found[::-1].copy()


def text(label: int, rng: np.random.Generator) -> Pair:
    """A text of fillers and a few words of its class, and the same words shuffled."""
    own = [["fine", "neat", "kind"], ["poor", "rude", "late"]][label]
    words = [f"word{i}" for i in rng.integers(0, 300, 12)] + list(rng.choice(own, 2))
    words += list(rng.choice(["fine", "neat", "kind", "poor", "rude", "late"], 2))
    return " ".join(rng.permutation(words)), " ".join(rng.permutation(words))


def noise(label: int, rng: np.random.Generator) -> Pair:
    """Two series that have to do neither with the label nor with each other."""
    first, second = rng.normal(size=(2, 32, 1)).astype(np.float32)
    return first, second


KINDS: dict[str, tuple[str, Callable[[int, np.random.Generator], Pair]]] = {
    "picture": ("image", picture),
    "series": ("series", series),
    "text": ("text", text),
    "noise": ("series", noise),
}


def table(kind: str, rows: int, seed: int) -> pd.DataFrame:
    """Rows of a modality `a`, the same thing once more as `b`, and a label."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, rows)
    pairs = [KINDS[kind][1](int(label), rng) for label in labels]
    first, second = (list(column) for column in zip(*pairs, strict=True))
    return pd.DataFrame({"a": first, "b": second, "label": np.where(labels, "yes", "no")})


def measure(kind: str, budget: float, rows: int, test_rows: int, seed: int) -> dict[str, Any]:
    """The verdict of one fit as the plan has it."""
    frame = table(kind, rows + test_rows, seed)
    kinds = dict.fromkeys("ab", KINDS[kind][0])
    run = pm.fit(frame[:rows], "label", kinds=kinds, budget=budget, seed=seed)
    test = frame[rows:].reset_index(drop=True)
    found = pm.evaluate(run, test, contributions="none", explain=0)
    return found.verdicts.get("label") or {"answer": "none", **found.unjudged["label"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--budgets", nargs="+", type=float, default=BUDGETS)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--test-rows", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=1, help="so many fits a budget")
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    for kind in given.kinds:
        for budget, seed in product(given.budgets, range(given.seeds)):
            with tempfile.TemporaryDirectory() as cache:
                os.environ["POLYMODAL_CACHE"] = cache
                found = measure(kind, budget, given.rows, given.test_rows, seed)
            counts[found["answer"]] += 1
            told = {k: found.get(k) for k in ("by_rows", "fused", "single", "gain", "p", "why")}
            why = [f"{doubt['why']} {doubt['model']}" for doubt in found.get("doubts", [])]
            print(f"{kind} {budget:g} s, seed {seed}: {found['answer']}; {told} {why}", flush=True)
    print(f"answers: {dict(counts)} (right: no 'pays')", flush=True)


if __name__ == "__main__":
    main()
