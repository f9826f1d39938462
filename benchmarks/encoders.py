"""Seconds a step of every encoder of some kinds, and what they reach in a few epochs.

    python benchmarks/encoders.py --kinds text image --epochs 5

Each reads its column of the embedded `scenes` beside the other column's raw encoder, fused by
`concat`. A step is forward and backward through the encoder alone, of one batch, with the kernels
that are fastest for all of the network on this machine (`train.kernels.choose`): the shortest and
the median. The accuracy is that of validation after `--epochs`, whose training takes the seconds
beside it. Encoders of pretrained models are left out.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import polymodal as pm
from polymodal.base import lookup
from polymodal.builtin import scenes
from polymodal.contract.kind import kinds
from polymodal.contract.recipe import Modality, Recipe, Training
from polymodal.prepared.collate import Collator
from polymodal.report.console import Show
from polymodal.table.ledger import Ledger

TARGET = "answer"
COLUMNS = {"image": "picture", "text": "question"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kinds", nargs="+", choices=COLUMNS, default=list(COLUMNS))
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=1)
    given = parser.parse_args()
    print("| encoder | weights | ms a step | kernels | seconds of training | accuracy |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        paths = scenes.write(folder, given.rows, columns=("picture",), splits={"train": 1.0})
        for kind in given.kinds:
            for name in lookup.names(f"modalities/{kind}/encoders"):
                encoder = lookup.find(f"modalities/{kind}/encoders", name)
                if lookup.find(f"modalities/{kind}/forms", encoder.form).backbone is None:
                    print(_row(paths["train"], kind, name, given), flush=True)


def _row(train: Path, kind: str, name: str, given: argparse.Namespace) -> str:
    raw = {column: kinds()[other].raw for other, column in COLUMNS.items()}
    modalities = {column: Modality(encoder=encoder) for column, encoder in raw.items()}
    modalities[COLUMNS[kind]] = Modality(encoder=name)
    recipe = Recipe(
        targets={TARGET: None},
        fusion="concat",
        modalities=modalities,
        training=Training(batch_size=given.batch, epochs=given.epochs, patience=0),
    )
    run = pm.fit(train, recipe=recipe, show=Show.silent())
    trained = run.members["model"]
    module, kernels = trained.module, trained.kernels
    table = run.table(train)
    prepared = run.prepare(table, Ledger())
    inputs = {column: prepared[i] for column, i in trained.forms.items()}
    collator = Collator(inputs, run.targets(table))
    rows = np.arange(len(table))
    batches = [collator(one) for one in collator.order(rows, given.batch, np.random.default_rng(0))]
    encoder = module.encoders[module.names.index(COLUMNS[kind])]
    weights = sum(p.numel() for p in encoder.parameters())
    kernels.apply(module).train()
    took = []
    with kernels.threads_set():
        for step in range(given.steps):
            field = batches[step % len(batches)].inputs[COLUMNS[kind]]
            start = time.perf_counter()
            with kernels.autocast("cpu"):
                loss = encoder(field).mean().float().square().mean()
            loss.backward()
            took.append(1e3 * (time.perf_counter() - start))
            module.zero_grad(set_to_none=True)
    default = " (default)" if name == kinds()[kind].encoder else ""
    how = f"{kernels.precision} {kernels.attention} {kernels.memory_format} {kernels.threads}"
    return (
        f"| {kind}: {name}{default} | {weights:,} | {min(took):.0f}, {statistics.median(took):.0f} "
        f"| {how} | {trained.facts['seconds']:.0f} | {run.leaderboard[0]['value']:.3f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
