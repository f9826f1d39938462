"""Small models around tiny checkpoints of random weights, with whole weights and a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from polymodal.base import lookup
from polymodal.contract.batch import Batch, Field
from polymodal.contract.recipe import Training
from polymodal.contract.tuning import Tuning
from polymodal.models.model import Model
from polymodal.tasks.classify import Classify
from polymodal.train.optimizer import optimizer

WIDTH, LABELS = 8, ["no", "yes", "no", "yes", "no", "yes"]
SETTINGS = Training(lr=0.01, pretrained_lr=0.001)


@dataclass
class Tuned:
    """A model whose tuning has chosen.

    Attributes:
        plain: the same before.
        batch: what it is shown.
    """

    model: Model
    plain: Model
    tuning: Tuning
    batch: Batch

    def learns(self) -> dict[str, torch.nn.Parameter]:
        return {k: p for k, p in self.model.named_parameters() if p.requires_grad}

    def out(self, model: Model | None = None) -> torch.Tensor:
        shown = (model or self.model).eval()
        with torch.no_grad():
            return shown(self.batch.inputs).logits["y"]

    def step(self, count: int = 2) -> None:
        """Steps of AdamW on the task's loss."""
        self.model.train()
        made = optimizer(self.model, SETTINGS)
        for _ in range(count):
            logits = self.model(self.batch.inputs).logits["y"]
            target = self.batch.targets["y"].data.long().flatten()
            torch.nn.functional.cross_entropy(logits, target).backward()
            made.step()
            made.zero_grad()


def field(kind: str) -> Field:
    rng, present = np.random.default_rng(0), torch.ones(len(LABELS), dtype=torch.bool)
    if kind == "image":
        data = rng.integers(0, 256, (len(LABELS), 16, 16, 3), np.uint8)
        return Field(torch.from_numpy(data), None, present)
    lengths = torch.tensor([3, 7, 5, 2, 7, 1])
    mask = torch.arange(7) < lengths.unsqueeze(1)
    pieces = torch.from_numpy(rng.integers(5, 100, (len(LABELS), 7, 3))).int()
    pieces[..., 1], pieces[..., 2] = torch.arange(1, 8), 1
    return Field(torch.where(mask.unsqueeze(-1), pieces, 0), mask, present)


@pytest.fixture
def plain(
    bert_path: str, gpt2_path: str, vit_path: str, resnet_path: str
) -> Callable[[str], tuple[Model, Batch]]:
    """`plain("bert")`: a model of one modality, "note" or "photo", and a house encoder "level"."""
    paths = {"bert": bert_path, "gpt2": gpt2_path, "vit": vit_path, "resnet": resnet_path}

    def make(which: str) -> tuple[Model, Batch]:
        torch.manual_seed(0)
        kind = "text" if which in ("bert", "gpt2") else "image"
        form = lookup.build(
            f"modalities/{kind}/forms", {"name": "pretrained", "path": paths[which], "tune": True}
        )
        encoder = lookup.build(f"modalities/{kind}/encoders", "pretrained", form, WIDTH)
        task = Classify("y")
        task.fit(LABELS)
        fusion = lookup.build("fusion", "concat", ["note"], WIDTH)
        model = Model({"note": encoder}, fusion, {"y": task}, WIDTH, 0.0, 0.0)
        target = torch.from_numpy(np.stack(task.encode(LABELS)))
        batch = Batch(
            {"note": field(kind)},
            {"y": Field(target, None, torch.ones(len(LABELS), dtype=torch.bool))},
            torch.arange(len(LABELS)),
        )
        return model, batch

    return make


@pytest.fixture
def tuned(plain: Callable[[str], tuple[Model, Batch]]) -> Callable[..., Tuned]:
    """`tuned("bert", "lora", rank=2)`."""

    def make(which: str, name: str, **options: Any) -> Tuned:
        model, batch = plain(which)
        before = copy.deepcopy(model)
        tuning = lookup.build("tuning", {"name": name, **options})
        tuning.shape(model)
        tuning.choose(model, batch)
        return Tuned(model, before, tuning, batch)

    return make
