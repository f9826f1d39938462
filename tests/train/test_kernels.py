"""What is measured of a step, and what is remembered of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from polymodal.contract.batch import Batch, Field, Outputs
from polymodal.contract.recipe import Training
from polymodal.train import kernels as measure

RIVALS = measure._rivals  # before any test runs


@pytest.fixture(autouse=True)
def kernels_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_rivals", RIVALS)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, inputs: dict[str, Field], targets: object = None) -> Outputs:
        return Outputs({"y": self.linear(inputs["x"].data)})


def test_the_choice_is_remembered_and_the_seconds_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that was busy once must not shorten every later fit."""
    field = Field(torch.ones(4, 3), None, torch.ones(4, dtype=torch.bool))
    batch = Batch({"x": field}, {}, torch.arange(4))

    def chosen(*seconds: float) -> measure.Kernels:
        each = iter(seconds)

        def timed(step: object) -> float:
            step()  # type: ignore[operator]
            return next(each)

        monkeypatch.setattr(measure, "_shortest", timed)
        return measure.choose(
            Net(),
            batch,
            lambda outputs, _: outputs.logits["y"].sum(),
            Training(threads=1, memory_format="contiguous", attention="plain"),
            torch.device("cpu"),
            tmp_path,
        )

    assert chosen(60.0, 40.0) == measure.Kernels("bf16", "plain", "contiguous", 1, seconds=40.0)
    assert chosen(2.0) == measure.Kernels("bf16", "plain", "contiguous", 1, seconds=2.0)


def test_threads_that_wait_for_each_other_are_found_however_late_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = Field(torch.ones(4, 3), None, torch.ones(4, dtype=torch.bool))
    batch = Batch({"x": field}, {}, torch.arange(4))
    took = iter([60.0, 1.0])
    monkeypatch.setattr(measure, "_cores", lambda: 2)
    monkeypatch.setattr(measure, "_shortest", lambda step: next(took))
    found = measure.choose(
        Net(),
        batch,
        lambda outputs, _: outputs.logits["y"].sum(),
        Training(),
        torch.device("cpu"),
        tmp_path,
        limit=0.0,
    )
    assert (found.threads, found.seconds) == (1, 1.0)
    assert not (tmp_path / "kernels.json").exists()
