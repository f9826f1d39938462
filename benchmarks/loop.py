"""What the loop costs beside forward, backward and step on the same tensors.

    python benchmarks/loop.py --repeats 5

Both train the same network on the same batches with the same kernels, optimiser and clipping. One
is `polymodal.train.Loop` from prepared data: gathering, schedule, moving average, progress and
checks for Ctrl-C. The other is handed ready tensors and does nothing else.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import polymodal as pm
from polymodal.data.builtin import scenes
from polymodal.data.collate import Collator
from polymodal.data.ledger import Ledger
from polymodal.losses import losses
from polymodal.measure import Kernels
from polymodal.recipe import Modality, Recipe, Training
from polymodal.train import Loop

TARGET = "answer"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = scenes.write(folder, given.rows, columns=("picture",), splits={"train": 1.0})
        recipe = Recipe(
            targets={TARGET: None},
            fusion={"name": "early", "depth": 4},
            width=192,
            modalities={"picture": Modality(form={"size": 64}), "question": Modality()},
            training=Training(epochs=1),
        )
        run = pm.fit(paths["train"], recipe=recipe)
        table = run.table(paths["train"])
        trained = run.members["model"]
        prepared = run.prepare(table, Ledger())
        inputs = {name: prepared[i] for name, i in trained.forms.items()}
        collator = Collator(inputs, run.targets(table))
        rows = np.arange(len(table))
        shares = []
        for repeat in range(given.repeats):
            ours = _loop(trained.module, run, collator, rows, given.steps, trained.kernels, repeat)
            bare = _bare(trained.module, run, collator, rows, given.steps, trained.kernels, repeat)
            shares.append(100 * (ours / bare - 1))
            print(f"loop {1e3 * ours:.1f} ms a step, bare {1e3 * bare:.1f} ms", flush=True)
    print(
        f"overhead {statistics.median(shares):.1f} % [{min(shares):.1f}, {max(shares):.1f}] "
        f"(median [least, most] of {given.repeats}; {trained.kernels})"
    )


def _loop(
    module: torch.nn.Module,
    run: pm.Run,
    collator: Collator,
    rows: np.ndarray,
    steps: int,
    kernels: Kernels,
    seed: int,
) -> float:
    """Seconds a step; the one validation and checkpoint at the end are left out."""
    marks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        Loop(
            copy.deepcopy(module),
            run.objectives,
            collator,
            rows,
            rows[:1],
            Training(epochs=1, patience=0, dropout=0.1),
            kernels,
            steps=steps,
            seed=seed,
            folder=Path(folder),
            augment={},
            report=lambda *_: marks.append(time.perf_counter()),
        ).run()
    return statistics.median(np.diff(marks).tolist())


def _bare(
    module: torch.nn.Module,
    run: pm.Run,
    collator: Collator,
    rows: np.ndarray,
    steps: int,
    kernels: Kernels,
    seed: int,
) -> float:
    model = kernels.apply(copy.deepcopy(module)).train()
    params = list(model.parameters())
    optimizer = torch.optim.AdamW(params, 2e-3, weight_decay=0.05, fused=True)
    order = collator.order(rows, 64, np.random.default_rng(seed))
    batches = [collator(one) for one in order]
    marks = []
    with kernels.threads_set():
        for step in range(steps):
            batch = batches[step % len(batches)]
            with kernels.autocast("cpu"):
                outputs = model(batch.inputs)
            outputs.logits = {k: v.float() for k, v in outputs.logits.items()}
            losses(outputs, batch, run.objectives)[TARGET].backward()
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            marks.append(time.perf_counter())
    return statistics.median(np.diff(marks).tolist())


if __name__ == "__main__":
    sys.exit(main())
