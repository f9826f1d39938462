"""What the loop costs beside forward, backward and step on the same tensors.

    python benchmarks/loop.py --repeats 3

Both train the same network on the same rows in batches of one size, with the same kernels,
optimiser and clipping. One is `polymodal.train.loop.Loop` from prepared data: gathering, schedule,
moving average, progress and checks for Ctrl-C. The other is handed ready tensors and does nothing
else. They take turns, a step each, so that both meet the same moods of the machine.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import polymodal as pm
from polymodal.builtin import scenes
from polymodal.contract.batch import Batch
from polymodal.contract.recipe import Modality, Recipe, Training
from polymodal.prepared.collate import Collator
from polymodal.table.ledger import Ledger
from polymodal.train.clock import Allowance
from polymodal.train.kernels import Kernels
from polymodal.train.lesson import Lesson, Watch
from polymodal.train.loop import Loop
from polymodal.train.losses import losses

TARGET = "answer"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
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
        marks: list[tuple[float, float]] = []
        for seed in range(given.repeats):
            marks += _steps(trained.module, run, collator, rows, given.steps, trained.kernels, seed)
    ours, bare = np.array(marks).T
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(ours), (2000, len(ours)))
    shares = 100 * (np.median(ours[drawn], 1) / np.median(bare[drawn], 1) - 1)
    low, high = np.quantile(shares, [0.025, 0.975])
    mine, theirs = np.median(ours), np.median(bare)
    print(
        f"loop {1e3 * mine:.1f} ms a step, bare {1e3 * theirs:.1f} ms: overhead "
        f"{100 * (mine / theirs - 1):.1f} % [{low:.1f}, {high:.1f}] "
        f"(medians of {len(ours)} steps each, 95 % by bootstrap; {trained.kernels})"
    )


class _Bare:
    """Forward, backward, clipping and step on tensors that are there already."""

    def __init__(
        self, module: torch.nn.Module, run: pm.Run, batches: list[Batch], kernels: Kernels
    ) -> None:
        self.model = kernels.apply(copy.deepcopy(module)).train()
        self.params = list(self.model.parameters())
        self.optimizer = torch.optim.AdamW(self.params, 2e-3, weight_decay=0.05, fused=True)
        self.tasks, self.batches, self.kernels = run.tasks, batches, kernels

    def step(self, number: int) -> None:
        batch = self.batches[number % len(self.batches)]
        with self.kernels.autocast("cpu"):
            outputs = self.model(batch.inputs)
        losses(outputs, batch, self.tasks)[TARGET].backward()
        torch.nn.utils.clip_grad_norm_(self.params, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def _steps(
    module: torch.nn.Module,
    run: pm.Run,
    collator: Collator,
    rows: np.ndarray,
    steps: int,
    kernels: Kernels,
    seed: int,
) -> list[tuple[float, float]]:
    """Seconds of each step of the loop and of the bare one beside it.

    Left out are the first step and those after a validation, in whose time it and its checkpoint
    would fall.
    """
    batches = [collator(one) for one in collator.order(rows, 64, np.random.default_rng(seed))]
    bare = _Bare(module, run, batches, kernels)
    found: list[tuple[float, float]] = []
    begun = math.nan
    validated: set[int] = set()

    def report(step: int, *_: Any) -> None:
        nonlocal begun
        ended = time.perf_counter()
        bare.step(step)
        spent = time.perf_counter() - ended
        if step > 1 and step - 1 not in validated:
            found.append((ended - begun, spent))
        begun = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        Loop(
            copy.deepcopy(module),
            Lesson(run.tasks, collator, rows, rows[:1]),
            Training(epochs=1, patience=0, dropout=0.1),
            kernels,
            Allowance(steps),
            seed=seed,
            folder=Path(folder),
            watch=Watch("bare", report, lambda step, _: validated.add(step)),
        ).run()
    return found


if __name__ == "__main__":
    sys.exit(main())
