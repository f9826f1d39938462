"""A table's columns alone: what reads them best, each model under the same split and time.

    python benchmarks/tables.py --table reviews.csv --target rating --drop id --seeds 3

Every model is fitted alone by `polymodal.fit` to the same training rows and measured on the same
validation rows, which also chose its passes or strengths; over seeds, which draw the rows anew.
Printed are the metric of each with its standard deviation over seeds, its seconds, and the ratio
of its error (1 - metric, or the error itself) to that of the first, with the spread.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import Any

import numpy as np

import polymodal as pm
from polymodal.contract.kind import of
from polymodal.contract.recipe import Recipe
from polymodal.report.console import Show

# Of a table's columns; the first is what others are held against.
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"modalities": {"table": {"encoder": "mlp"}}},
    "linear": {"learner": "linear", "modalities": {"table": {}}},
    "trees": {"learner": "trees", "modalities": {"table": {}}},
    "tabm": {"learner": "tabm", "modalities": {"table": {}}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--kind", action="append", default=[], help="COLUMN=KIND")
    parser.add_argument("--drop", action="append", default=[])
    parser.add_argument("--rows", type=int, default=6000, help="of the table at most")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds a model")
    asked = parser.parse_args()
    whole = pm.read(asked.table)
    kinds = dict(item.split("=", 1) for item in asked.kind)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in asked.models}
    for seed in range(asked.seeds):
        order = np.random.default_rng(seed).permutation(len(whole))[: asked.rows]
        table = whole.take(np.sort(order))
        for name in asked.models:
            model = MODELS[name]
            value, seconds, better = fitted(table, asked, kinds, {"name": name, **model}, seed)
            found[name].append((1 - value if better else value, seconds))
            print(f"seed {seed} {name}: {value:.4f} in {seconds:.0f} s", flush=True)
    base = np.array([error for error, _ in found[asked.models[0]]])
    for name, runs in found.items():
        errors, seconds = np.array(runs).T
        ratio = errors / base
        print(
            f"{name:8} error {errors.mean():.4f} ± {errors.std():.4f}, {seconds.mean():.0f} s, "
            f"{ratio.mean():.3f} ± {ratio.std():.3f} of {asked.models[0]}'s"
        )


def fitted(
    table: Any, asked: argparse.Namespace, kinds: dict[str, str], model: dict[str, Any], seed: int
) -> tuple[float, float, bool]:
    """One model's validation metric, its seconds, and whether more of the metric is better."""
    described = {
        "models": [model],
        "data": {"drop": [*asked.drop, *others(table, asked, kinds)], "valid": 0.25},
    }
    run = pm.fit(
        table,
        asked.target,
        recipe=Recipe.model_validate(described),
        kinds=kinds,
        budget=asked.budget,
        seed=seed,
        show=Show.silent(),
    )
    line = next(one for one in run.leaderboard if one["role"] == "member")
    return float(line["value"]), float(line["seconds"]), bool(line["greater_is_better"])


def others(table: Any, asked: argparse.Namespace, kinds: dict[str, str]) -> list[str]:
    """Columns that are no table's."""
    from polymodal.table.infer import infer

    schema = infer(table, [asked.target], kinds=kinds)
    return [c.name for c in schema.inputs if not of(c.kind).joint and c.name not in asked.drop]


if __name__ == "__main__":
    os.environ["POLYMODAL_CACHE"] = tempfile.mkdtemp()
    main()
