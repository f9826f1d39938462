"""Do reasons pay, and are they honest? Questions of one, two and three steps about scenes.

    python benchmarks/reasoning.py --out /tmp/reasoning --rows 6000 --seconds 135

Every network has one architecture and as many seconds to learn: one that writes answers with
reasons and without ("reason"), one that writes answers alone ("alone"), one that answers from the
first one's reasons ("second"), and one that learned with blank media ("blind"). Prints the six
strategies' table, the direct answers of "alone" beside it, and what "reason" and "blind" rest on.
What --out holds already is not fitted again.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import polymodal as pm
from polymodal.builtin import _render, steps
from polymodal.contract.recipe import Recipe
from polymodal.reason.local import Local
from polymodal.reason.rationales import rationales
from polymodal.reason.reason import reason
from polymodal.run.run import Run

STRATEGIES = ("direct", "chain", "two_stage", "self_consistency", "decompose", "verified")
DECODER = {"name": "gpt2", "hidden": 96, "depth": 2, "heads": 4, "dropout": 0.0}
# How far a blank picture's pixels are from grey, and a still sensor's steps from 0: were they all
# alike, the column would be none to learn from.
NOISE = 2, 0.05


def fitted(name: str, table: Path, task: str, drop: list[str], asked: argparse.Namespace) -> Run:
    """A run of the one architecture."""
    folder = asked.out / name
    start = time.perf_counter()
    if (folder / "run.json").is_file():
        return pm.load(folder)
    modalities: dict[str, Any] = {
        "picture": {"encoder": "patch", "form": {"size": 32}, "augment": False},
        "sensor": {"encoder": "statistics"},
        "question": {"encoder": "embedding"},
        "table": {},
    }
    if "rationale" not in drop and task != "reason":
        modalities["rationale"] = {"encoder": "embedding"}
    model = {
        "name": "network",
        "modalities": modalities,
        "fusion": "sum",
        "width": 96,
        "training": {
            "epochs": 1000,
            "batch_size": 64,
            "lr": 0.003,
            "patience": 0,
            "modality_dropout": 0.0,
            "dropout": 0.0,
            "precision": "fp32",
            "attention": "sdpa",
            "memory_format": "contiguous",
        },
    }
    target = {"name": task, "decoder": DECODER, "vocabulary": 400, "reading": "attention"}
    described = {
        "targets": {"answer": target},
        "models": [model],
        "rivals": False,
        "budget": asked.seconds,
        "data": {
            "drop": drop,
            "split": "random",
            "valid": 0.04,
            "kinds": {"answer": "text", "question": "text"}
            | ({"rationale": "text"} if "rationale" in modalities else {}),
        },
    }
    run = pm.fit(table, recipe=Recipe.model_validate(described), out=folder)
    facts = run.members["network"].facts
    seconds = time.perf_counter() - start
    print(f"{name}: {seconds:.0f} s, {facts.get('steps')} steps", file=sys.stderr, flush=True)
    return run


def blanked(table: Path, folder: Path) -> Path:
    """The same rows with grey pictures and sensors that are still."""
    folder.mkdir(exist_ok=True)
    rows, (speckle, tremor) = pd.read_csv(table), NOISE
    for i in range(len(rows)):
        rng = np.random.default_rng(i)
        grey = np.clip(rng.normal(200, speckle, (32, 32, 3)), 0, 255).astype(np.uint8)
        (folder / f"{i}.png").write_bytes(_render.png(grey))
        still = rng.normal(0, tremor, (40, 3)).astype(np.float32)
        (folder / f"{i}.npy").write_bytes(_render.npy(still))
    rows["picture"] = [f"{i}.png" for i in range(len(rows))]
    rows["sensor"] = [f"{i}.npy" for i in range(len(rows))]
    rows.to_csv(folder / "train.csv", index=False)
    return folder / "train.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--test-rows", type=int, default=1200)
    parser.add_argument("--seconds", type=float, default=135)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--strategy", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--only", nargs="*", default=["alone", "second", "blind"])
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    every = asked.rows + asked.test_rows
    shares = {"train": asked.rows / every, "test": asked.test_rows / every}
    tables = {name: asked.out / "steps" / f"{name}.csv" for name in shares}
    if not tables["test"].is_file():
        tables = steps.write(asked.out / "steps", rows=every, aspects=("colour",), splits=shares)
    test = str(tables["test"])
    first = fitted("reason", tables["train"], "reason", ["steps"], asked)
    other = None
    if "second" in asked.only:
        staged = asked.out / "staged.csv"
        if not staged.is_file():
            columns = rationales(first, str(tables["train"]), temperature=0.7)
            pd.DataFrame(columns).to_csv(staged, index=False)
        other = fitted("second", staged, "generate", ["steps"], asked)
    model = Local(first, test, question="question", second=other)
    names = [name for name in asked.strategy if name != "two_stage" or other]
    drawn = {"samples": asked.samples}
    ways = [{"name": n, **drawn} if n in ("self_consistency", "verified") else n for n in names]
    print("\nreason:", reason(model, ways, by="steps").text(), sep="\n", flush=True)
    if "alone" in asked.only:
        alone = fitted("alone", tables["train"], "generate", ["steps", "rationale"], asked)
        found = reason(Local(alone, test, question="question"), ["direct"], by="steps")
        print("\nalone:", found.text(), sep="\n", flush=True)
    if "blind" in asked.only:
        table = blanked(tables["train"], asked.out / "blank")
        blind = fitted("blind", table, "reason", ["steps"], asked)
        found = reason(Local(blind, test, question="question"), ["direct", "chain"], by="steps")
        print("\nblind:", found.text(), sep="\n", flush=True)


if __name__ == "__main__":
    main()
