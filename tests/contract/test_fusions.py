"""Every fusion: masks, absent modalities, single rows, precision, saving."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save

from polymodal.base import lookup
from polymodal.contract.batch import Tokens
from polymodal.contract.fusion import Fusion

WIDTH = 16
NAMES = ["a", "b", "c"]
# Row 0 has all, row 5 none.
LENGTHS = {"a": [3, 5, 0, 2, 0, 0], "b": [2, 0, 4, 0, 0, 0], "c": [1, 2, 1, 0, 2, 0]}

SPECS = [
    *({"name": name} for name in lookup.names("fusion")),
    {"name": "weighted", "weights": "validation"},
    {"name": "weighted", "weights": [0.2, 0.3, 0.5]},
    {"name": "cross_attention", "depth": 2},
    {"name": "perceiver", "depth": 1},
    {"name": "bottleneck", "depth": 3, "start": 1},
    {"name": "exchange", "depth": 2, "ratio": 1},
    {"name": "tensor", "size": 2},
]
every_fusion = pytest.mark.parametrize("spec", SPECS, ids=str)


def built(spec: dict, names: list[str] = NAMES) -> Fusion:
    torch.manual_seed(0)
    return lookup.build("fusion", spec, names, WIDTH)


def tokens(padding: int = 0, filling: float = 0.0, dtype=torch.float32) -> dict[str, Tokens]:
    """Random tokens of six rows; `filling` stands at masked positions, `padding` more of them."""
    found = {}
    for i, (name, lengths) in enumerate(LENGTHS.items()):
        generator = torch.Generator().manual_seed(i)
        mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
        values = torch.randn(*mask.shape, WIDTH, generator=generator, dtype=torch.float64)
        values = torch.where(mask.unsqueeze(-1), values, filling)
        extra = torch.full((len(mask), padding, WIDTH), filling, dtype=torch.float64)
        mask = torch.cat([mask, torch.zeros(len(mask), padding, dtype=torch.bool)], 1)
        found[name] = Tokens(torch.cat([values, extra], 1).to(dtype), mask)
    return found


def close(ours: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-5)


@every_fusion
@torch.no_grad()
def test_fused(spec):
    fused = built(spec).eval()(tokens())
    assert fused.pooled.shape == (6, WIDTH) and fused.pooled.isfinite().all()
    assert (fused.pooled[5] == 0).all() and (fused.pooled[:5] != 0).any(1).all()
    assert list(fused.tokens) == NAMES
    for name, before in tokens().items():
        after = fused.tokens[name]
        assert torch.equal(after.mask, before.mask)
        assert after.values.shape == before.values.shape
        assert (after.values[~after.mask] == 0).all()
    present = torch.stack([t.present() for t in tokens().values()], 1)
    if fused.weights is not None:
        close(fused.weights.sum(1), torch.ones(6))
        assert (fused.weights[:5][~present[:5]] == 0).all()
    if lookup.find("fusion", spec["name"]).decides:
        assert list(fused.views) == NAMES and fused.weights is not None
    else:
        assert not fused.views


@every_fusion
@torch.no_grad()
def test_masked_positions_change_nothing(spec):
    fusion = built(spec).eval()
    wanted = fusion(tokens())
    for other in (tokens(padding=3), tokens(padding=1, filling=9.0)):
        fused = fusion(other)
        close(fused.pooled, wanted.pooled)
        for name in NAMES:
            kept = fused.tokens[name].values[:, : wanted.tokens[name].mask.shape[1]]
            mask = wanted.tokens[name].mask
            close(kept[mask], wanted.tokens[name].values[mask])


@every_fusion
@torch.no_grad()
def test_a_row_alone_is_what_it_is_in_a_batch(spec):
    fusion = built(spec).eval()
    wanted = fusion(tokens())
    for row in range(6):
        # Cut to the row's own length: an absent modality has no position at all.
        alone = {
            name: Tokens(t.values[row : row + 1, :length], t.mask[row : row + 1, :length])
            for name, t in tokens().items()
            for length in [LENGTHS[name][row]]
        }
        fused = fusion(alone)
        close(fused.pooled[0], wanted.pooled[row])
        for name, view in fused.views.items():
            close(view[0], wanted.views[name][row])


@every_fusion
def test_gradients_are_finite_and_reach_everything(spec):
    fusion = built(spec).train()
    given = tokens()
    for t in given.values():
        t.values.requires_grad_()
    fused = fusion(given)
    weight = torch.randn(WIDTH, generator=torch.Generator().manual_seed(9))
    after = sum((t.values.square() @ weight).sum() for t in fused.tokens.values())
    ((fused.pooled.square() @ weight).sum() + after).backward()
    for name, parameter in fusion.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert (parameter.grad != 0).any(), name
    for t in given.values():
        assert t.values.grad.isfinite().all()
        assert (t.values.grad[~t.mask] == 0).all()


@every_fusion
def test_a_batch_of_rows_with_nothing(spec):
    fusion = built(spec).train()
    none = {n: Tokens(torch.zeros_like(t.values), t.mask & False) for n, t in tokens().items()}
    for t in none.values():
        t.values.requires_grad_()
    fused = fusion(none)
    assert (fused.pooled == 0).all()
    (fused.pooled.sum() + sum(v.sum() for v in fused.views.values())).backward()
    grads = [p.grad for p in fusion.parameters()] + [t.values.grad for t in none.values()]
    assert all(grad.isfinite().all() for grad in grads if grad is not None)


@every_fusion
@pytest.mark.parametrize("count", [1, 2, 4, 5, 6])
@torch.no_grad()
def test_any_number_of_modalities(spec, count):
    """As many copies of the three, each row of which has something or nothing as before."""
    if isinstance(spec.get("weights"), list):
        spec = spec | {"weights": [1.0] * count}
    names = [str(i) for i in range(count)]
    given = dict(zip(names, [*tokens().values()] * 2, strict=False))
    fused = built(spec, names).eval()(given)
    assert fused.pooled.isfinite().all()
    present = torch.stack([t.present() for t in given.values()], 1).any(1)
    assert torch.equal((fused.pooled != 0).any(1), present)
    assert list(fused.tokens) == names


@every_fusion
@torch.no_grad()
def test_precisions(spec):
    fusion = built(spec).eval()
    single = fusion(tokens()).pooled
    with torch.autocast("cpu", torch.bfloat16):
        half = fusion(tokens()).pooled.float()
    assert (half - single).norm() <= 0.05 * single.norm()
    double = fusion.double()(tokens(dtype=torch.float64)).pooled
    assert double.dtype == torch.float64
    close(double.float(), single)


@every_fusion
@torch.no_grad()
def test_saved_and_loaded(spec):
    fusion = built(spec).eval()
    torch.manual_seed(1)
    other = lookup.build("fusion", spec, NAMES, WIDTH).eval()
    other.load_state_dict(load(save(fusion.state_dict())))
    assert torch.equal(other(tokens()).pooled, fusion(tokens()).pooled)


@every_fusion
@torch.no_grad()
def test_alpha_can_be_chosen_where_there_is_one(spec):
    fusion = built(spec).eval()
    if fusion.alpha is None:
        return
    before = fusion(tokens()).weights
    fusion.alpha.copy_(torch.tensor([0.7, 0.2, 0.1]).log())
    after = fusion(tokens()).weights
    close(after[0], torch.tensor([0.7, 0.2, 0.1]))
    assert not torch.allclose(before, after)
