"""Finite scalar quantisation: a code is a combination of levels, and gradients go through."""

from __future__ import annotations

import itertools

import pytest
import torch

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.nn.quantizers.fsq import Fsq

LEVELS = ([8, 5, 5, 5], [2, 3], [7], [2, 2, 4])


@pytest.mark.parametrize("levels", LEVELS)
def test_codes_are_a_bijection_with_combinations_of_levels(levels: list[int]) -> None:
    fsq = Fsq(levels=levels)
    codes = torch.arange(fsq.count)
    vectors = fsq.vectors(codes)
    each = [[(i - n // 2) / (n // 2) for i in range(n)] for n in levels]
    assert {tuple(one) for one in vectors.tolist()} == {
        tuple(torch.tensor(own).tolist()) for own in itertools.product(*each)
    }
    # What lies at a level stays there: before it was bounded it was this.
    wanted = vectors * (fsq.count_of // 2)
    before = ((wanted + fsq.offset) / fsq.reach).atanh() - (fsq.offset / fsq.reach).atanh()
    found = fsq(before)
    assert torch.equal(found.codes, codes)
    assert torch.allclose(found.vectors, vectors, atol=1e-6)


@pytest.mark.parametrize("levels", LEVELS)
def test_any_numbers_have_a_code_and_its_vector(levels: list[int]) -> None:
    fsq = Fsq(levels=levels)
    values = 4 * torch.randn(3, 500, fsq.size, generator=torch.Generator().manual_seed(0))
    found = fsq(values)
    assert found.codes.shape == (3, 500) and found.loss is None
    assert found.codes.min() >= 0 and found.codes.max() < fsq.count
    assert torch.allclose(found.vectors, fsq.vectors(found.codes), atol=1e-6)
    assert len(found.codes.unique()) == fsq.count or fsq.count > 100


def test_the_gradient_is_that_of_the_bounded_numbers() -> None:
    fsq = Fsq(levels=[8, 5])
    values = torch.randn(6, 2, requires_grad=True)
    fsq(values).vectors.sum().backward()
    smooth = values.detach().clone().requires_grad_()
    (fsq._bounded(smooth) / (fsq.count_of // 2)).sum().backward()
    assert torch.allclose(values.grad, smooth.grad)
    assert (values.grad > 0).all()


def test_levels_say_how_many_codes_there_are() -> None:
    assert lookup.build("nn/quantizers", {"name": "fsq", "levels": [3, 4]}).count == 12
    assert lookup.build("nn/quantizers", "fsq").count == 1000


@pytest.mark.parametrize("levels", [[], [1, 8], [300, 300]])
def test_levels_that_make_no_codes_are_refused(levels: list[int]) -> None:
    with pytest.raises(UserError, match="make no codes"):
        Fsq(levels=levels)
