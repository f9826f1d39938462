"""What is hidden depends on the generator and on the row alone."""

from __future__ import annotations

import torch

from polymodal.contract.batch import Field
from polymodal.tasks import _masking


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ragged(lengths: list[int], longest: int) -> Field:
    mask = torch.arange(longest) < torch.tensor(lengths).unsqueeze(1)
    data = torch.randn(len(lengths), longest, 3, generator=seeded(9))
    return Field(data, mask, torch.ones(len(lengths), dtype=torch.bool))


def test_keys_are_of_the_content() -> None:
    field = ragged([2, 5, 0], 5)
    found = _masking.keys(field, seeded())
    assert found.unique().numel() == 3
    alone = Field(field.data[1:2], field.mask[1:2], field.present[1:2])
    assert torch.equal(_masking.keys(alone, seeded()), found[1:2])
    padded = Field(
        torch.cat([field.data, torch.full((3, 2, 3), 7.0)], 1),
        torch.cat([field.mask, torch.zeros(3, 2, dtype=torch.bool)], 1),
        field.present,
    )
    assert torch.equal(_masking.keys(padded, seeded()), found)
    assert not torch.equal(_masking.keys(field, seeded(1)), found)
    pixels = torch.randint(0, 256, (2, 4, 4, 3), dtype=torch.uint8, generator=seeded())
    assert len(_masking.keys(Field(pixels, None, field.present[:2]), seeded()).unique()) == 2


def test_uniform_numbers_are_uniform_and_begin_alike() -> None:
    keys = torch.arange(100)
    long = _masking.uniform(keys, 1000, 1)
    assert torch.equal(_masking.uniform(keys, 10, 1), long[:, :10])
    assert not torch.equal(_masking.uniform(keys, 10, 2), long[:, :10])
    assert long.min() >= 0 and long.max() < 1
    counts = torch.histc(long, 10, 0, 1)
    assert ((counts / long.numel() - 0.1).abs() < 0.005).all()
    assert abs(float(torch.corrcoef(long[:2])[0, 1])) < 0.1


def test_exact_shares() -> None:
    among = torch.ones(3, 16, dtype=torch.bool)
    among[1, 8:] = False
    among[2, 1:] = False
    chances = _masking.uniform(torch.arange(3), 16, 1)
    found = _masking.exactly(among, 0.75, chances)
    assert found.sum(1).tolist() == [12, 6, 0]
    assert not (found & ~among).any()
    assert _masking.exactly(among, 1.0, chances).sum(1).tolist() == [15, 7, 0]
