"""A parameter-efficient ensemble, held against its paper's description."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from polymodal.base import deadline
from polymodal.models.experts import tabm
from polymodal.models.experts._ensemble import Ensemble
from polymodal.nn.weights import fill

SIZES = {"size": 2, "members": 5, "width": 7, "depth": 2, "bins": 4, "embedding": 3}


@pytest.fixture
def layer() -> tuple[Ensemble, dict[str, torch.Tensor], torch.Tensor]:
    """An ensemble of random weights, and 12 rows of 3 features with gaps."""
    features = np.random.default_rng(0).normal(size=(12, 3))
    features[2, 1] = features[5, 0] = np.nan
    found = Ensemble(**SIZES)
    found.adapt(features)
    generator = torch.Generator().manual_seed(0)
    weights = found.start(generator)
    for name, tensor in weights.items():
        if name not in ("embed", "shift", "w_0", "w_1"):
            tensor += 0.5 * torch.randn(tensor.shape, generator=generator)
    found.take(weights)
    return found, weights, torch.from_numpy(features)


def test_a_member_is_a_perceptron_whose_matrices_its_adapters_scale(layer) -> None:
    """Member i's layer is s_i * (W (r_i * x)) + b_i = (W scaled by r_i and s_i) x + b_i."""
    found, weights, features = layer
    encoded = found.encoded(features)
    each = found.each(weights, encoded)
    x = torch.einsum("bfp,fpe->bfe", encoded, weights["embed"]) + weights["shift"]
    for i in range(SIZES["members"]):
        values = x.relu().flatten(1)
        for j in range(SIZES["depth"]):
            linear = nn.Linear(*weights[f"w_{j}"].shape)
            scaled = weights[f"w_{j}"] * weights[f"r_{j}"][i, :, None] * weights[f"s_{j}"][i]
            linear.weight.data, linear.bias.data = scaled.T, weights[f"b_{j}"][i]
            values = linear(values).relu()
        wanted = values @ weights["head"][i] + weights["bias"][i]
        torch.testing.assert_close(each[:, i], wanted, atol=1e-5, rtol=1e-5)
    assert all((each[:, i] - each[:, j]).abs().max() > 0.01 for i in range(5) for j in range(i))
    torch.testing.assert_close(found(features), each.mean(1))


def test_at_the_start_the_first_adapters_are_signs_and_the_others_1() -> None:
    found = Ensemble(**SIZES)
    found.adapt(np.random.default_rng(0).normal(size=(12, 3)))
    weights = found.start(torch.Generator().manual_seed(0))
    assert set(weights["r_0"].unique().tolist()) == {-1.0, 1.0}
    assert len(weights["r_0"].unique(dim=0)) == SIZES["members"]
    for name in ("s_0", "r_1", "s_1"):
        assert set(weights[name].unique().tolist()) == {1.0}
    # It begins as the linear model that it adds to; no matrix is a member's own but the heads.
    assert not weights["head"].any() and not weights["bias"].any()
    shared = {name: tensor.dim() for name, tensor in weights.items() if name[:2] == "w_"}
    assert shared == {"w_0": 2, "w_1": 2}


def test_numbers_are_piecewise_linear(layer) -> None:
    found, _, features = layer
    encoded = found.encoded(features)
    assert encoded.shape == (12, 3, SIZES["bins"] + 2) and bool(encoded.isfinite().all())
    assert encoded[2, 1].tolist() == [0, 1, 0, 0, 0, 0]
    column = features[:, 2].float()
    edges = torch.quantile(features[:, 2], torch.linspace(0, 1, 5, dtype=torch.float64)).float()
    for i in range(4):
        reached = ((column - edges[i]) / (edges[i + 1] - edges[i])).clamp(0, 1)
        torch.testing.assert_close(encoded[:, 2, 2 + i], reached, atol=1e-4, rtol=1e-4)


def test_it_learns_what_no_linear_model_can_and_the_same_twice(task, monkeypatch) -> None:
    """A product of two signs; trained on 300 rows, of which folds choose the passes."""
    monkeypatch.setattr(tabm, "EPOCHS", 30)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 400))
    level = np.where(a * b > 0, 1.0, -1.0)
    frame = pd.DataFrame({"a": a, "b": b, "level": level + 0.1 * rng.normal(size=400)})
    frame.loc[5, "a"] = np.nan
    job = task(frame, {"a": "number", "b": "number"}, {"level": "regress"}, rows=300)
    small = {"members": 4, "width": 32, "lr": 0.02}
    module = job.fit("tabm", **small)
    scores, truth = job.scores(module)["level"], frame["level"].to_numpy()[300:]
    # A linear model is at the variance.
    assert np.mean((scores[300:, 0] - truth) ** 2) < 0.5 * truth.var()
    again = job.build("tabm", **small)
    fill(again, job.fit("tabm", **small).state_dict())
    np.testing.assert_array_equal(job.scores(again.eval())["level"], scores)


def test_without_time_for_a_few_passes_it_is_late(task) -> None:
    frame = pd.DataFrame({"a": np.arange(80.0), "y": np.arange(80.0) ** 2})
    job = task(frame, {"a": "number"}, {"y": "regress"})
    with deadline.within(-1.0), pytest.raises(deadline.Late):
        job.fit("tabm", members=2, width=8)
