"""Augmented clips."""

from __future__ import annotations

import torch

from polymodal.contract.batch import Field
from polymodal.modalities.image.augment import Augment as Image
from polymodal.modalities.video.augment import Augment as Video


def field() -> Field:
    generator = torch.Generator().manual_seed(0)
    data = torch.randint(0, 256, (6, 4, 16, 16, 3), dtype=torch.uint8, generator=generator)
    return Field(data, None, torch.tensor([True, True, False, True, True, True]))


def test_all_frames_of_a_clip_change_alike() -> None:
    batch = field()
    batch.data[:] = batch.data[:, :1].clone()
    changed = Video()(batch, torch.Generator().manual_seed(1)).data
    assert torch.equal(changed, changed[:, :1].expand_as(changed))
    assert not torch.equal(changed[0, 0], batch.data[0, 0])


def test_a_clip_changes_as_a_picture_of_its_frames_would() -> None:
    batch = field()
    options = {"light": 0.0, "erase": 0.0}
    clip = Video(**options)(batch, torch.Generator().manual_seed(1)).data
    for frame in range(4):
        one = Field(batch.data[:, frame], None, batch.present)
        picture = Image(**options)(one, torch.Generator().manual_seed(1)).data
        assert torch.equal(clip[:, frame], picture)


def test_absent_rows_are_untouched_and_equal_seeds_agree() -> None:
    batch = field()
    one, other = (Video()(batch, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one.data, other.data) and torch.equal(one.present, batch.present)
    assert torch.equal(one.data[2], batch.data[2])
    assert one.data.is_contiguous() and torch.equal(batch.data, field().data)
