"""Rows per second of `polymodal.fit` against a bare PyTorch loop and the Hugging Face Trainer.

    python benchmarks/training.py --model joint --repeats 3

All three start from the same CSV file of pictures and questions, train the same network from
scratch for the same number of epochs with the same batch size and optimiser, and validate after
every epoch; the time is all of it, from reading the file to the last validation. The rivals
are given what a user would write: pictures decoded once into memory, `torch.utils.data.DataLoader`,
AdamW in float32 with `scaled_dot_product_attention` and PyTorch's own number of threads. `fit`
begins with an empty cache each time, so decoding and its measuring of kernels count.

joint: raw pixels' and words' tokens through one Transformer (`fusion: early`).
towers: a convolutional network and hashed n-grams, concatenated.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

import polymodal as pm
from polymodal.builtin import scenes
from polymodal.contract.batch import Batch, Field
from polymodal.contract.recipe import Member, Modality, Recipe, Training
from polymodal.models import build
from polymodal.prepared.cells import cells
from polymodal.run.run import Run
from polymodal.table.read import read
from polymodal.train.kernels import Kernels
from polymodal.train.losses import losses

TARGET = "answer"
MODELS: dict[str, dict[str, Any]] = {
    "joint": {
        "fusion": {"name": "early", "depth": 4},
        "width": 192,
        "modalities": {
            "picture": Modality(form={"size": 64}, augment=False),
            "question": Modality(augment=False),
        },
    },
    "towers": {
        "fusion": "concat",
        "width": 128,
        "modalities": {
            "picture": Modality(form={"size": 64}, augment=False),
            "question": Modality(augment=False),
        },
    },
}


def polymodal(train: Path, model: str, epochs: int, size: int) -> tuple[float, float, Run]:
    """Seconds of everything, seconds of training alone, and the run."""
    recipe = Recipe(
        targets={TARGET: None},
        training=Training(epochs=epochs, batch_size=size, patience=0),
        **MODELS[model],
    )
    with tempfile.TemporaryDirectory() as cache:
        os.environ["POLYMODAL_CACHE"] = cache
        start = time.perf_counter()
        run = pm.fit(train, recipe=recipe)
        took = time.perf_counter() - start
    return took, run.members["model"].facts["seconds"], run


class Rival:
    """The network of a run without its weights, and its data as a user's own Dataset."""

    def __init__(self, run: Run, train: Path, seed: int) -> None:
        table = read(train)
        trained = run.members["model"]
        grouped = run.schema.modalities()
        self.forms = {name: run.forms[i] for name, i in trained.forms.items()}
        self.data = {
            name: [form.encode(cell) for cell in cells(table, grouped[name])]
            for name, form in self.forms.items()
        }
        self.tasks = run.tasks
        self.labels = run.tasks[TARGET].encode(table.cells(TARGET))
        torch.manual_seed(seed)
        member: Member = trained.spec
        self.network = build.module(member, run.schema, self.forms, self.tasks)
        Kernels(attention="sdpa").apply(self.network)
        for name, encoder in zip(self.network.names, self.network.encoders, strict=True):
            encoder.adapt(iter([self.field(name, range(len(self.labels)))]))
        order = np.random.default_rng(seed).permutation(len(self.labels))
        cut = round(0.15 * len(order))
        self.valid, self.train = order[:cut], order[cut:]

    def __len__(self) -> int:
        return len(self.train)

    def __getitem__(self, i: int) -> int:
        return int(self.train[i])

    def field(self, name: str, rows: Any) -> Field:
        chosen = [torch.from_numpy(self.data[name][row]) for row in rows]
        present = torch.ones(len(chosen), dtype=torch.bool)
        if not self.forms[name].ragged:
            return Field(torch.stack(chosen), None, present)
        padded = nn.utils.rnn.pad_sequence(chosen, batch_first=True)
        lengths = torch.tensor([len(one) for one in chosen])
        return Field(padded, torch.arange(padded.shape[1]) < lengths.unsqueeze(1), present)

    def collate(self, rows: list[int]) -> Batch:
        inputs = {name: self.field(name, rows) for name in self.data}
        labels = torch.from_numpy(np.stack([self.labels[row] for row in rows]))
        target = Field(labels, None, torch.ones(len(rows), dtype=torch.bool))
        return Batch(inputs, {TARGET: target}, torch.tensor(rows))

    def loss(self, batch: Batch) -> torch.Tensor:
        return losses(self.network(batch.inputs), batch, self.tasks)[TARGET]

    @torch.no_grad()
    def validate(self, size: int) -> float:
        self.network.eval()
        right = 0
        for i in range(0, len(self.valid), size):
            batch = self.collate(list(self.valid[i : i + size]))
            guessed = self.network(batch.inputs).logits[TARGET].argmax(1)
            right += int((guessed == batch.targets[TARGET].data).sum())
        self.network.train()
        return right / len(self.valid)


def bare(run: Run, train: Path, epochs: int, size: int, seed: int) -> tuple[float, float]:
    """A PyTorch loop as tutorials write it: seconds, validation accuracy."""
    start = time.perf_counter()
    rival = Rival(run, train, seed)
    loader = DataLoader(rival, size, shuffle=True, collate_fn=rival.collate)
    optimizer = torch.optim.AdamW(rival.network.parameters(), 2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    accuracy = 0.0
    for _ in range(epochs):
        rival.network.train()
        for batch in loader:
            loss = rival.loss(batch)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(rival.network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        accuracy = rival.validate(256)
    return time.perf_counter() - start, accuracy


def trainer(run: Run, train: Path, epochs: int, size: int, seed: int) -> tuple[float, float]:
    """The Hugging Face Trainer on the same network: seconds, validation accuracy."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    start = time.perf_counter()
    rival = Rival(run, train, seed)

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = rival.network

        def forward(self, batch: Batch, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"loss": rival.loss(batch)}

    def collate(rows: list[int]) -> dict[str, Any]:
        batch = rival.collate(rows)
        return {"batch": batch, "labels": batch.targets[TARGET].data}

    class Validate(TrainerCallback):
        accuracy = 0.0

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            self.accuracy = rival.validate(256)

    validation = Validate()
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=size,
            learning_rate=2e-3,
            weight_decay=0.05,
            lr_scheduler_type="cosine",
            warmup_steps=20,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
            logging_strategy="no",
        )
        Trainer(Wrapped(), settings, collate, rival, callbacks=[validation]).train()
    return time.perf_counter() - start, validation.accuracy


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=MODELS, default="joint")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    ratios: dict[str, list[float]] = {"bare loop": [], "HF Trainer": []}
    rivals: dict[str, Callable[..., tuple[float, float]]] = {
        "bare loop": bare,
        "HF Trainer": trainer,
    }
    with tempfile.TemporaryDirectory() as folder:
        # All rows are for training: what is held out is cut from them by every contender alike.
        paths = scenes.write(folder, given.rows, columns=("picture",), splits={"train": 1.0})
        seen = given.rows * 0.85 * given.epochs
        for repeat in range(given.repeats):
            took, training, run = polymodal(paths["train"], given.model, given.epochs, given.batch)
            facts = run.members["model"].facts
            kernels = " ".join(str(facts[k]) for k in ("precision", "attention", "memory_format"))
            print(
                f"fit {took:.1f} s, {seen / took:.0f} rows/s (training alone {training:.1f} s, "
                f"{kernels}, {facts['threads']} threads), "
                f"accuracy {run.leaderboard[0]['value']:.3f}",
                flush=True,
            )
            for name, rival in rivals.items():
                its, accuracy = rival(run, paths["train"], given.epochs, given.batch, repeat)
                ratios[name].append(its / took)
                print(
                    f"  {name} {its:.1f} s, {seen / its:.0f} rows/s, accuracy {accuracy:.3f}: "
                    f"fit is {its / took:.2f} times as fast",
                    flush=True,
                )
    print(f"{given.model}, {facts['parameters']:,} parameters, torch {torch.__version__}")
    for name, values in ratios.items():
        print(f"fit / {name}: {spread(values)} (median [least, most] of {given.repeats})")


if __name__ == "__main__":
    sys.exit(main())
