"""Patches as tokens."""

from __future__ import annotations

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.modalities.image.encoders.patch import Patch
from polymodal.modalities.image.forms.pixels import Pixels
from polymodal.models.model import encoded


def field(size: int = 28, rows: int = 3) -> Field:
    generator = torch.Generator().manual_seed(0)
    data = torch.randint(0, 256, (rows, size, size, 3), dtype=torch.uint8, generator=generator)
    return Field(data, None, torch.tensor([True] * (rows - 1) + [False]))


@pytest.mark.parametrize(("size", "patch", "count"), [(28, 8, 16), (32, 8, 16), (28, 7, 16)])
def test_one_token_a_patch(size: int, patch: int, count: int) -> None:
    tokens = encoded(Patch(Pixels(size=size), 12, patch=patch), field(size))
    assert tokens.values.shape == (3, count, 12)
    assert tokens.mask.tolist() == [[True] * count] * 2 + [[False] * count]


def test_a_pixel_changes_its_own_patch_and_no_other() -> None:
    encoder, batch = Patch(Pixels(size=32), 12, patch=8), field(32)
    before = encoder(batch).values
    batch.data[0, 9, 17] += 100
    changed = (encoder(batch).values != before).any(-1)
    assert changed[0].nonzero().flatten().tolist() == [1 * 4 + 2] and not changed[1:].any()


def test_equal_patches_differ_by_their_position() -> None:
    batch = field()
    batch.data[:] = 50
    values = Patch(Pixels(size=28), 12, patch=7)(batch).values[0]
    assert len(torch.unique(values, dim=0)) == 16


def test_the_mean_colour_is_what_stands_outside() -> None:
    encoder, batch = Patch(Pixels(size=28), 12, patch=8), field()
    batch.data[:] = 90
    encoder.adapt([batch])
    content = encoder(batch).values - encoder.patches.positions
    assert torch.allclose(content, content[:, :1], atol=1e-6)


def test_a_patch_larger_than_the_picture_is_the_users_error() -> None:
    with pytest.raises(UserError):
        Patch(Pixels(size=28), 12, patch=29)
