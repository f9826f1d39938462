"""One rule says where tensors are computed, and everything keeps to it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import polymodal as pm
from polymodal.base import devices
from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Field, Outputs
from polymodal.contract.recipe import Recipe
from polymodal.contract.task import Pass
from polymodal.run import pipeline
from polymodal.train import loop as train

pytestmark = pytest.mark.whole

META = torch.device("meta")


class Elsewhere(nn.Module):
    """A module on the meta device, which has no values: only where its inputs lie is seen."""

    batch_size = 256

    def __init__(self, *, parameters: bool) -> None:
        super().__init__()
        self.targets, self.read_in = ["y"], {}
        value = torch.zeros(1, device=META)
        if parameters:
            self.value = nn.Parameter(value)
        else:
            self.register_buffer("value", value)

    def encode(self, inputs: dict[str, Field]) -> dict[str, Field]:
        assert inputs["x"].data.device == META
        return inputs

    def fuse(self, tokens: dict[str, Field], *_: Any) -> Outputs:
        return Outputs({"y": torch.ones(len(tokens["x"].data), 2)})


class Same:
    """A task whose answers are the logits."""

    spoils = told = False

    def answer(self, done: Pass) -> list[np.ndarray]:
        return list(done.output.numpy())


class Rows:
    """A collator of one number a row."""

    def sequential(self, rows: np.ndarray, size: int) -> Any:
        data = torch.zeros(len(rows), 1)
        field = Field(data, None, torch.ones(len(rows), dtype=torch.bool))
        yield np.arange(len(rows)), Batch({"x": field}, {}, torch.from_numpy(rows))


@pytest.mark.parametrize("parameters", [True, False])
def test_a_batch_goes_where_the_model_lies(parameters: bool) -> None:
    module = Elsewhere(parameters=parameters)
    assert devices.device_of(module) == META
    tasks: Any = {"y": Same()}
    found = train.predict(module, tasks, Rows(), np.arange(3))  # type: ignore[arg-type]
    np.testing.assert_array_equal(np.stack(found["y"]), np.ones((3, 2)))


def test_a_module_without_tensors_is_on_the_cpu() -> None:
    assert devices.device_of(nn.Identity()) == torch.device("cpu")


@pytest.fixture
def fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[pd.DataFrame, pm.Run]:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    number = np.random.default_rng(0).normal(size=60)
    table = pd.DataFrame({"level": number, "label": np.where(number > 0, "up", "down")})
    settings = {"epochs": 1, "threads": 1, "precision": "fp32"}
    recipe = Recipe.model_validate({"width": 8, "training": settings})
    return table, pm.fit(table, "label", recipe=recipe)


@pytest.mark.parametrize("method", ["embed", "predict"])
def test_a_run_is_computed_on_the_chosen_device(
    method: str, fitted: tuple[pd.DataFrame, pm.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meta tensors cannot be copied back, so to be refused there is to have been there."""
    table, run = fitted
    monkeypatch.setattr(pipeline, "device", lambda: META)
    moved = replace(run, pipeline=replace(run.pipeline))
    monkeypatch.undo()
    with pytest.raises((NotImplementedError, UserError), match="meta tensor"):
        getattr(moved, method)(table)


@pytest.mark.parametrize("name", devices.WORLD)
def test_one_of_several_processes_is_refused(
    name: str, fitted: tuple[pd.DataFrame, pm.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    devices.refuse_several_processes()
    monkeypatch.setenv(name, "2")
    with pytest.raises(UserError, match="one process"):
        pm.fit(fitted[0], "label")


def test_one_thread_is_the_callers_alone() -> None:
    before = torch.get_num_threads()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(torch.set_num_threads, 3).result()
        with devices.one_thread():
            assert torch.get_num_threads() == 1
            assert pool.submit(torch.get_num_threads).result() == 3
            torch.ones(300, 300) @ torch.ones(300, 300)
            assert torch.get_num_threads() == 1
        assert pool.submit(torch.get_num_threads).result() == 3
    torch.set_num_threads(before)
