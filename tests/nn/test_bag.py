"""Sums and places are the same in a program that is exported."""

from __future__ import annotations

import pytest
import torch

from polymodal.nn.bag import bag, places


@pytest.mark.parametrize("count", [1, 2, 7, 64, 1000])
def test_places_of_an_exported_program(count, monkeypatch):
    generator = torch.Generator().manual_seed(count)
    table = torch.randint(0, 3 * count, (count,), generator=generator).sort().values
    values = torch.randint(-2, 3 * count + 2, (5, 9), generator=generator)
    wanted = torch.searchsorted(table, values)
    assert torch.equal(places(table, values), wanted)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    assert torch.equal(places(table, values), wanted)


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("padding", [None, 0])
def test_sums_of_an_exported_program(weighed, padding, monkeypatch):
    numbers = torch.tensor([[0, 1, 2], [3, 0, 0]])
    vectors = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    weights = torch.rand(2, 3) if weighed else None
    wanted = bag(numbers, vectors, weights, padding)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(bag(numbers, vectors, weights, padding), wanted)
