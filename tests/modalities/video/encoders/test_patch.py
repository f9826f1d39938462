"""Patches of frames as tokens."""

from __future__ import annotations

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.modalities.video.encoders.patch import Patch
from polymodal.modalities.video.forms.frames import Frames
from polymodal.models.model import encoded


def field() -> Field:
    generator = torch.Generator().manual_seed(0)
    data = torch.randint(0, 256, (2, 3, 16, 16, 3), dtype=torch.uint8, generator=generator)
    return Field(data, None, torch.tensor([True, False]))


def test_one_token_a_patch_frame_by_frame() -> None:
    encoder, batch = Patch(Frames(frames=3, size=16), 12, patch=8), field()
    before = encoded(encoder, batch)
    assert before.values.shape == (2, 12, 12)
    assert before.mask.tolist() == [[True] * 12, [False] * 12]
    batch.data[0, 1, 9, 2] += 100
    changed = (encoded(encoder, batch).values != before.values).any(-1)
    assert changed[0].nonzero().flatten().tolist() == [1 * 4 + 2] and not changed[1].any()


def test_equal_patches_differ_by_place_and_time() -> None:
    batch = field()
    batch.data[:] = 50
    values = Patch(Frames(frames=3, size=16), 12, patch=8)(batch).values[0]
    assert len(torch.unique(values, dim=0)) == 12


def test_a_patch_larger_than_the_frame_is_the_users_error() -> None:
    with pytest.raises(UserError):
        Patch(Frames(size=16), 12, patch=17)
