"""OGM-GE: factors by the paper's formula, noise with the gradient's own deviation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from polymodal.base.errors import UserError
from polymodal.contract.balance import JOINT, Loss, Part
from polymodal.train.balance.ogm_ge import OgmGe

ROWS = torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]])
HEAD = torch.tensor([2.0, -1.0])


def gradients(balance: OgmGe, ratios: dict[str, float]) -> dict[str, torch.Tensor]:
    """Of two encoders and a head in a joint loss whose gradients are ROWS, 2 ROWS and HEAD."""
    params = {name: nn.Parameter(torch.zeros(2, 3)) for name in ("a", "b")}
    head = nn.Parameter(torch.zeros(2))
    joint = (params["a"] * ROWS).sum() + (params["b"] * 2 * ROWS).sum() + (head * HEAD).sum()
    losses = {JOINT: Loss(joint), **{name: Loss(joint, ratio) for name, ratio in ratios.items()}}
    parts = {name: Part([p], (JOINT, name)) for name, p in params.items()}
    numbers = balance.backward(losses, {**parts, JOINT: Part([head], (JOINT, *params))})
    assert numbers == {}
    return {name: p.grad for name, p in (params | {"head": head}).items()}


@pytest.mark.parametrize(
    ("alpha", "ratio", "factor"),
    # 1 - tanh(0.45) and 1 - tanh(2.4), by a table of hyperbolic tangents.
    [(0.3, 1.5, 0.5781010), (0.8, 3.0, 0.0163251), (0.3, 1.0, 1.0), (0.3, 0.2, 1.0)],
)
def test_only_the_encoder_that_is_ahead_is_slowed(
    alpha: float, ratio: float, factor: float
) -> None:
    found = gradients(OgmGe(alpha=alpha, noise=False), {"a": ratio, "b": 1 / ratio})
    # Where a is behind, b is ahead.
    other = 1.0 if ratio >= 1 else 1 - math.tanh(alpha / ratio)
    torch.testing.assert_close(found["a"], factor * ROWS, rtol=1e-5, atol=0)
    torch.testing.assert_close(found["b"], other * 2 * ROWS)
    assert torch.equal(found["head"], HEAD)


@pytest.mark.parametrize("ratios", [{"a": math.nan}, {}])
def test_without_another_modality_in_the_batch_nothing_is_slowed(ratios: dict[str, float]) -> None:
    found = gradients(OgmGe(noise=False), ratios)
    assert torch.equal(found["a"], ROWS)
    assert torch.equal(found["b"], 2 * ROWS)


def test_noise_has_the_deviation_of_the_gradient_before_and_spares_what_has_none() -> None:
    torch.manual_seed(0)
    draws = [gradients(OgmGe(), {"a": 1.5, "b": 2 / 3}) for _ in range(4000)]
    for name, mean, before in (("a", 0.578101 * ROWS, ROWS), ("b", 2 * ROWS, 2 * ROWS)):
        seen = torch.stack([draw[name] for draw in draws])
        deviation = before.std()
        away = 4 * float(deviation) / math.sqrt(len(draws))
        torch.testing.assert_close(seen.mean(0), mean, rtol=0, atol=away)
        kept = before != 0
        expected = deviation.expand(int(kept.sum()))
        torch.testing.assert_close(seen.std(0)[kept], expected, rtol=0.06, atol=0)
        assert not seen[:, ~kept].any()
    assert all(torch.equal(draw["head"], HEAD) for draw in draws)


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.inf, math.nan])
def test_an_alpha_that_is_no_strength_is_refused(alpha: float) -> None:
    with pytest.raises(UserError, match="above 0"):
        OgmGe(alpha=alpha)
