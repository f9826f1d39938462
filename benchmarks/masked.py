"""Are hidden words told better with the picture? Captions of scenes, on rows never trained on.

    python benchmarks/masked.py --rows 2000 --epochs 20

Prints the masked accuracy of a network of captions alone and of one that reads the pictures too,
with 95 % intervals; both hide the same words.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polymodal as pm
from polymodal.builtin import scenes
from polymodal.contract.recipe import Recipe

TASK = {"masked": {"name": "masked_text", "modality": "caption", "buckets": 4096}}


def measured(tables: dict[str, Path], read: list[str], epochs: int, out: Path) -> dict[str, Any]:
    """The figures of the test rows of a network of some columns."""
    drop = [name for name in ("caption", "picture", "question", "answer") if name not in read]
    training = {"epochs": epochs, "batch_size": 32}
    model = {"name": "network", "fusion": "cross_attention", "training": training}
    described = {"targets": TASK, "models": [model], "data": {"drop": drop}, "rivals": False}
    run = pm.fit(tables["train"], recipe=Recipe.model_validate(described), out=out)
    found = pm.evaluate(run, tables["test"])
    return dict(found.targets["masked"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        columns = ["picture", "caption"]
        tables = scenes.write(place / "scenes", rows=asked.rows, columns=columns, size=32)
        for read in (["caption"], columns):
            start = time.perf_counter()
            found = measured(tables, read, asked.epochs, place / "+".join(read))
            print("+".join(read), f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
            for name in ("accuracy", "majority", "perplexity"):
                one = found[name]
                print(f"{'+'.join(read):16} {name:12} {one}")


if __name__ == "__main__":
    main()
