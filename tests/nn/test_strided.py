"""Places of a stride, taken before a convolution that has none."""

from __future__ import annotations

import pytest
import torch

from polymodal.nn.strided import strided


@pytest.mark.parametrize("step", [(1, 2), (2, 2), (3, 1)])
def test_the_numbers_are_those_of_the_places_that_a_stride_takes(step: tuple[int, int]) -> None:
    maps = torch.randn(2, 3, 7, 8, requires_grad=True)
    found = strided(maps, step)
    assert torch.equal(found, maps[:, :, :: step[0], :: step[1]])
    found.sum().backward()
    assert maps.grad is not None and maps.grad.sum() == found.numel()
    assert set(maps.grad.unique().tolist()) <= {0.0, 1.0}
    plain = torch.nn.Conv2d(3, 5, 1, stride=step)
    wanted = plain(maps)
    plain.stride = (1, 1)
    torch.testing.assert_close(plain(found), wanted)
