"""Every alignment: masks, single rows, precision, gradients, saving, and inside a model."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from polymodal.base import lookup
from polymodal.contract.align import Align
from polymodal.contract.batch import Field, Tokens
from polymodal.models import aligned
from polymodal.models.aligned import Aligned
from polymodal.models.model import Model
from polymodal.nn.weights import fill
from polymodal.train.losses import losses

SIZE, WIDTH = 12, 8
LENGTHS = [3, 9, 1, 6, 2, 0]
SPECS: list[dict[str, Any]] = [
    *({"name": name} for name in lookup.names("align")),
    {"name": "mlp", "depth": 2, "hidden": 5},
    {"name": "pca", "whiten": True},
    {"name": "cca", "shrink": 0.0},
    {"name": "deep_cross", "rank": 2, "crosses": 3},
    {"name": "residual", "blocks": 2},
    {"name": "hierarchical", "window": 2},
]
every_align = pytest.mark.parametrize("spec", SPECS, ids=str)


def tokens(padding: int = 0, filling: float = 0.0, size: int = SIZE) -> Tokens:
    """Six rows, one of them empty; `filling` stands at masked positions, `padding` more of them."""
    mask = torch.arange(max(LENGTHS) + padding) < torch.tensor(LENGTHS).unsqueeze(1)
    draw = torch.Generator().manual_seed(1)
    values = torch.randn(len(LENGTHS), max(LENGTHS), size, generator=draw)
    extra = torch.zeros(len(LENGTHS), padding, size)
    values = torch.cat([values, extra], 1)
    return Tokens(torch.where(mask.unsqueeze(-1), values, filling), mask)


def built(spec: dict[str, Any], size: int = SIZE, seed: int = 0) -> Align:
    torch.manual_seed(seed)
    align = lookup.build("align", spec, size, WIDTH)
    rows = torch.randn(40, 2, size)
    batch = {"a": Tokens(rows, torch.ones(40, 2, dtype=torch.bool))}
    type(align).start({"a": align}, [batch])
    return align.eval()


def real(found: Tokens) -> torch.Tensor:
    return found.values[found.mask]


def close(ours: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-5)


@every_align
@pytest.mark.parametrize("size", [SIZE, WIDTH, 5])
@torch.no_grad()
def test_tokens_of_any_width_come_to_the_models(spec, size):
    given = tokens(size=size)
    found = built(spec, size)(given)
    assert found.values.shape == (*given.mask.shape, WIDTH)
    assert torch.equal(found.mask, given.mask) and found.values.isfinite().all()


@every_align
@torch.no_grad()
def test_masked_positions_change_nothing(spec):
    align = built(spec)
    wanted = real(align(tokens()))
    close(real(align(tokens(padding=3))), wanted)
    close(real(align(tokens(padding=1, filling=9.0))), wanted)


@every_align
@torch.no_grad()
def test_a_row_alone_is_what_it_is_in_a_batch(spec):
    align, given = built(spec), tokens()
    together = align(given)
    for row, length in enumerate(LENGTHS):
        own = Tokens(given.values[row : row + 1, :length], given.mask[row : row + 1, :length])
        close(align(own).values[0], together.values[row, :length])


@every_align
def test_gradients_reach_everything(spec):
    align, given = built(spec).train(), tokens()
    given.values.requires_grad_()
    # What begins at 0 keeps the gradient from what lies before it, for a step.
    optimizer = torch.optim.AdamW(align.parameters(), 1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        real(align(given)).square().sum().backward()
        optimizer.step()
    for name, parameter in align.named_parameters():
        assert parameter.grad is not None and (parameter.grad != 0).any(), name
    assert given.values.grad is not None
    assert (given.values.grad[~given.mask] == 0).all()


@every_align
@torch.no_grad()
def test_precisions(spec):
    align, given = built(spec), tokens()
    single = real(align(given))
    with torch.autocast("cpu", torch.bfloat16):
        half = real(align(given)).float()
    assert (half - single).norm() <= 0.05 * single.norm()
    double = align.double()(Tokens(given.values.double(), given.mask))
    assert double.values.dtype == torch.float64
    close(real(double).float(), single)


@every_align
@torch.no_grad()
def test_saved_and_loaded_and_the_same_by_seed(spec):
    align = built(spec)
    torch.manual_seed(5)
    other = lookup.build("align", spec, SIZE, WIDTH).eval()
    other.load_state_dict(load(save(align.state_dict())))
    assert torch.equal(other(tokens()).values, align(tokens()).values)
    assert torch.equal(built(spec)(tokens()).values, align(tokens()).values)


@every_align
@torch.no_grad()
def test_any_batch_of_any_length_is_one_program(spec):
    align, given, any_size = built(spec), tokens(), torch.export.Dim.DYNAMIC
    shapes = torch.export.ShapesCollection()
    shapes[given.values] = shapes[given.mask] = {0: any_size, 1: any_size}
    program = torch.export.export(align, (given,), dynamic_shapes=shapes).module()
    for rows, length in (([0, 1, 4], 9), ([2], 7), ([4, 5], 2)):
        own = Tokens(given.values[rows, :length], given.mask[rows, :length])
        close(program(own).values, align(own).values)


@pytest.mark.parametrize("name", lookup.names("align"))
def test_every_option_has_a_default(name):
    defaults = lookup.options(lookup.find("align", name))
    assert inspect.Parameter.empty not in defaults.values()


@pytest.mark.parametrize("name", lookup.names("align"))
def test_a_model_with_it_learns_and_is_loaded(name, case):
    c = case([], "concat", ["classify"])

    def model(seed: int, start: bool) -> Model:
        torch.manual_seed(seed)
        plain = c.build()
        encoders = {
            n: Aligned(encoder, lookup.build("align", name, 16, 16))
            for n, encoder in zip(plain.names, plain.encoders, strict=True)
        }
        found = Model(encoders, plain.fusion, c.tasks, 16, modality_dropout=0.0)
        if start:
            aligned.start(found, found.names, lambda: [c.inputs])
        return found

    def answers(one: Model, inputs: dict[str, Field]) -> torch.Tensor:
        with torch.no_grad():
            return one.eval()(inputs).logits["classify"]

    own = model(0, start=True).train()
    before = answers(own, c.inputs)
    optimizer = torch.optim.AdamW(own.train().parameters(), 1e-2)
    for _ in range(2):
        outputs = own(c.inputs)
        optimizer.zero_grad()
        torch.stack(list(losses(outputs, batch_of(c), c.tasks).values())).sum().backward()
        optimizer.step()
    aligns = [p for n, p in own.named_parameters() if ".align." in n]
    assert aligns and all(p.grad is not None for p in aligns)
    wanted = answers(own, c.inputs)
    assert not torch.equal(wanted, before)
    other = model(1, start=False)
    fill(other, load(save({k: v.contiguous() for k, v in own.state_dict().items()})))
    close(answers(other, c.inputs), wanted)
    # An absent modality's cells change nothing.
    garbage = {
        n: Field(torch.where(f.present[:, None, None], f.data, 7.0), f.mask, f.present)
        for n, f in c.inputs.items()
    }
    close(answers(own, garbage), wanted)


def batch_of(c: Any) -> Any:
    from polymodal.contract.batch import Batch

    return Batch(c.inputs, c.targets, torch.arange(6))
