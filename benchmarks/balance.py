"""Whether balancing the modalities during training pays: the fused model, and each one alone.

    python benchmarks/balance.py
    python benchmarks/balance.py --train train.csv --test test.csv --target label

Every balancing trains the same network from the same start for the same number of epochs. Alone
means the one trained model with the others absent, as `evaluate` asks it. Figures are the primary
metric on test rows: mean [least, most] over the seeds. Without --train: built-in `scenes`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import polymodal as pm
from polymodal.builtin import scenes
from polymodal.contract.recipe import Data, Recipe, Training
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table, read

# Fixed, so that all are computed alike whatever the machine is busy with.
KERNELS: dict[str, Any] = {
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}
BALANCES: dict[str, Any] = {
    "none": None,
    "ogm_ge": "ogm_ge",
    "ogm_ge without noise": {"name": "ogm_ge", "noise": False},
    **{
        f"jacobian_descent {name}": {"name": "jacobian_descent", "aggregator": name}
        for name in ("Mean", "PCGrad", "MGDA", "AlignedMTL")
    },
}


def fitted(train: Table, given: argparse.Namespace, balance: Any, seed: int) -> pm.Run:
    recipe = Recipe(
        targets={given.target: None},
        data=Data(drop=given.drop),
        fusion=given.fusion,
        width=64,
        training=Training(**KERNELS, epochs=given.epochs, batch_size=64, balance=balance),
        seed=seed,
    )
    return pm.fit(train, recipe=recipe)


def measured(run: pm.Run, table: Table, target: str) -> dict[str, float]:
    """The metric with all modalities, and with each alone."""
    names = list(run.schema.modalities())
    teams = {"fused": set(names), **{name: {name} for name in names}}
    absent = [frozenset(set(names) - team) for team in teams.values()]
    rows = np.arange(len(table))
    task, targets = run.tasks[target], run.targets(table)[target].arrays(rows)
    found = {}
    scored = run.scores_without(run.prepare(table, Ledger()), rows, absent)
    for team, scores in zip(teams, scored, strict=True):
        metric = task.metrics(run.combine(scores)[target], targets)[task.primary]
        found[team] = float(metric.statistic(np.ones((1, len(rows))))[0])
    return found


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--target", default="answer")
    parser.add_argument("--balance", action="append", choices=BALANCES, help="All by default.")
    parser.add_argument("--drop", action="append", default=[])
    parser.add_argument("--fusion", default="concat")
    parser.add_argument("--rows", type=int, default=1500, help="At most so many for training.")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.train is None:
            paths = scenes.write(folder, given.rows, columns=("picture", "sound"), size=32)
            given.train, given.test = paths["train"], paths["test"]
        train = read(given.train)
        order = np.random.default_rng(0).permutation(len(train))
        train = train.take(np.sort(order[: given.rows]))
        for name in given.balance or BALANCES:
            seen: dict[str, list[float]] = {}
            for seed in range(given.seeds):
                run = fitted(train, given, BALANCES[name], seed)
                table = run.table(given.test, require_targets=True)
                numbers = measured(run, table, given.target)
                numbers["seconds"] = run.members["model"].facts["seconds"]
                for what, value in numbers.items():
                    seen.setdefault(what, []).append(value)
            figures = ", ".join(f"{what} {spread(values)}" for what, values in seen.items())
            print(f"{name}: {figures}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
