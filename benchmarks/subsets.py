"""What scoring all 16 sets of four modalities costs beside one plain pass over the same rows.

    python benchmarks/subsets.py --repeats 5

Four modalities of the built-in scenes: question, picture, sound and table. Both jobs end with the
combined scores, nothing is kept between them, and they take turns. "cells" starts from prepared
cells, "files" from the files with an empty cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import polymodal as pm
from polymodal.builtin import scenes
from polymodal.contract.recipe import Recipe
from polymodal.metrics.contribution import subsets
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table

RUNS = ("concat", "gated", "cross_attention", "early", "linear", "trees", "default")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--runs", nargs="+", default=list(RUNS), metavar="RUN")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        columns = ("picture", "sound", "weight", "place")
        paths = scenes.write(folder, given.rows, columns=columns, splits={"train": 1.0})
        for kind in given.runs:
            os.environ["POLYMODAL_CACHE"] = str(folder / "cache")
            run = _run(kind, paths["train"])
            table = run.table(paths["train"])
            for start in ("cells", "files"):
                ratios, plain = [], []
                for repeat in range(given.repeats):
                    caches = [folder / f"{kind} {start} {repeat} {job}" for job in (0, 1)]
                    one, all_sets = (
                        _seconds(run, table, cache, sets, start == "files")
                        for cache, sets in zip(caches, (False, True), strict=True)
                    )
                    plain.append(one)
                    ratios.append(all_sets / one)
                print(
                    f"{kind}, from {start}: {statistics.median(ratios):.2f} times one pass "
                    f"[{min(ratios):.2f}, {max(ratios):.2f}], which takes "
                    f"{statistics.median(plain):.2f} s for {len(table):,} rows",
                    flush=True,
                )


def _run(kind: str, train: Path) -> pm.Run:
    if kind == "default":
        return pm.fit(train, "answer", budget=60)
    names = ("question", "picture", "sound", "table")
    how = {"learner": kind} if kind in ("linear", "trees") else {"fusion": kind}
    member = {"name": kind, "modalities": {name: {} for name in names}, **how}
    if "fusion" in how:
        member["training"] = {"epochs": 1}
    return pm.fit(train, "answer", recipe=Recipe.model_validate({"models": [member]}))


def _seconds(run: pm.Run, table: Table, cache: Path, every: bool, files: bool) -> float:
    """One plain pass or all sets, from the files or from cells that are prepared already."""
    names = list(run.schema.modalities())
    sets = subsets(names) if every else [frozenset[str]()]
    if files:
        os.environ["POLYMODAL_CACHE"] = str(cache)
    else:
        prepared = run.prepare(table, Ledger())
    start = time.perf_counter()
    if files:
        prepared = run.prepare(table, Ledger())
    for scores in run.scores_without(prepared, np.arange(len(table)), sets):
        run.combine(scores)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
