"""What pretraining without labels is worth: 1 %, 5 % and 20 % of the labels, from it and without.

    python benchmarks/pretraining.py --pretrain 60s --fit 30s --seeds 0 1
    python benchmarks/pretraining.py --train DIR/train.csv --test DIR/test.csv --target label

The network is pretrained once a seed on all training rows, their labels left out. (Of scenes it
reads pictures and captions, and the fits read questions and pictures alone.) Then a fit of a share
of the rows starts from it, and another one of the same rows starts at random and has the time of
both. Both are measured on the test rows, with 95 % intervals, and tested (`pm.compare`): a line a
share. Seconds are this process's of the processor, so that a machine that is busy with other work
favours neither. Neither has a model trained elsewhere, unless `--pretrained installed` says so:
what is asked is what the table's own rows are worth.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import tempfile
import time
from pathlib import Path

import polymodal as pm
from polymodal.base.spelling import seconds
from polymodal.builtin import scenes
from polymodal.report.console import Show


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", help="table of training rows; without it scenes are rendered")
    parser.add_argument("--test")
    parser.add_argument("--target", default="answer")
    parser.add_argument("--drop", nargs="*", default=[], help="of what the fits would read")
    parser.add_argument("--columns", nargs="*", default=[], help="what is pretrained; all")
    parser.add_argument("--rows", type=int, default=6000, help="of scenes, 1 000 for the test")
    parser.add_argument("--difficulty", default="medium", help="of scenes")
    parser.add_argument("--shares", nargs="*", type=float, default=[0.01, 0.05, 0.2])
    parser.add_argument("--pretrain", default="120s")
    parser.add_argument("--fit", default="60s")
    parser.add_argument("--pretrained", default="none", help="installed: of both fits")
    parser.add_argument("--metric", help="of the fits and the comparison; the target's own")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    given = parser.parse_args()
    # What budgets are counted by.
    time.perf_counter = time.process_time
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.train is None:
            columns = ("picture", "caption")
            given.columns, given.drop = list(columns), ["caption"]
            splits = {"train": 1 - 1000 / given.rows, "test": 1000 / given.rows}
            paths = scenes.write(
                folder / "data", given.rows, 0, given.difficulty, columns, 64, splits
            )
            given.train, given.test = str(paths["train"]), str(paths["test"])
        print("| seed | share | rows | started | scratch | gain | p |")
        print("|---|---|---|---|---|---|---|", flush=True)
        for seed in given.seeds:
            measured(given, folder, seed)


def measured(given: argparse.Namespace, folder: Path, seed: int) -> None:
    """Print a line for every share of the labels."""
    silent, parent = Show.silent(), folder / f"pretrained-{seed}"
    pm.pretrain(
        given.train,
        drop=[given.target],
        columns=given.columns,
        budget=given.pretrain,
        seed=seed,
        out=parent,
        show=silent,
    )
    both = seconds(given.pretrain) + seconds(given.fit)
    for share in given.shares:
        table, rows = labelled(Path(given.train), share, seed, folder / f"labelled-{share}-{seed}")
        runs = [folder / f"{kind}-{share}-{seed}" for kind in ("started", "scratch")]
        for out, budget, origin in zip(runs, (given.fit, both), (parent, None), strict=True):
            pm.fit(
                table,
                given.target,
                drop=given.drop,
                budget=budget,
                seed=seed,
                out=out,
                show=silent,
                parent=origin,
                pretrained=given.pretrained,
                metric=given.metric,
            )
        found = pm.compare(runs, given.test, target=given.target).targets[given.target]
        values = {one["name"]: one for one in found["models"]}
        started, scratch = (values[str(run)] for run in runs)
        (pair,) = found["pairs"]
        sign = 1 if pair["first"] == str(runs[0]) else -1
        gain = sorted(sign * pair["difference"][key] for key in ("low", "high"))
        shown = [f"{o['value']:.3f} [{o['low']:.3f}, {o['high']:.3f}]" for o in (started, scratch)]
        told = f"{sign * pair['difference']['value']:+.3f} [{gain[0]:+.3f}, {gain[1]:+.3f}]"
        line = [str(seed), f"{share:.0%}", str(rows), *shown, told, f"{pair['p']:.3f}"]
        print(f"| {' | '.join(line)} |", flush=True)
        for run in runs:
            chosen = ", ".join(pm.load(run).weights["fused"][given.target])
            print(f"  {run.name} is made of {chosen}", file=sys.stderr, flush=True)


def labelled(train: Path, share: float, seed: int, folder: Path) -> tuple[Path, int]:
    """A table of some of the rows in a folder of its own, beside links to the table's media."""
    with train.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = random.Random(seed).sample(rows, max(20, round(share * len(rows))))
    folder.mkdir()
    for beside in train.parent.resolve().iterdir():
        if beside.is_dir():
            (folder / beside.name).symlink_to(beside)
    with (folder / "train.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(chosen)
    return folder / "train.csv", len(chosen)


if __name__ == "__main__":
    main()
