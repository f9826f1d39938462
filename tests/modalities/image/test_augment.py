"""Augmented pictures: changed a little, alike for equal seeds, and nothing else touched."""

from __future__ import annotations

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.modalities.image.augment import Augment as Image

STILL = {"shift": 0.0, "scale": 0.0, "rotate": 0.0, "light": 0.0, "erase": 0.0}


def field(rows: int = 16, size: int = 32) -> Field:
    """Smooth pictures: resampling must not be able to hide behind noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(rows, 3, 4, 4, generator=generator) * 255
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bilinear", align_corners=True)
    data = smooth.permute(0, 2, 3, 1).round().byte().contiguous()
    return Field(data, None, torch.ones(rows, dtype=torch.bool))


def change(batch: Field, seed: int = 1, **options: float) -> torch.Tensor:
    return Image(**options)(batch, torch.Generator().manual_seed(seed)).data


def test_everything_off_changes_nothing() -> None:
    assert torch.equal(change(field(), **STILL), field().data)


def test_equal_seeds_agree_and_others_do_not() -> None:
    assert torch.equal(change(field()), change(field()))
    assert not torch.equal(change(field()), change(field(), seed=2))


def test_the_field_given_is_not_written_to() -> None:
    batch = field()
    change(batch)
    assert torch.equal(batch.data, field().data)


def test_shape_type_and_presence_stay_and_absent_rows_are_untouched() -> None:
    batch = field()
    batch.present[3:5] = False
    changed = Image()(batch, torch.Generator().manual_seed(1))
    assert changed.data.shape == batch.data.shape and changed.data.dtype == torch.uint8
    assert torch.equal(changed.present, batch.present)
    assert torch.equal(changed.data[3:5], batch.data[3:5])
    same = (changed.data == batch.data).all(-1).all(-1).all(-1)
    assert same.nonzero().flatten().tolist() == [3, 4]


@pytest.mark.parametrize("name", ["shift", "scale", "rotate", "light", "erase"])
def test_every_option_does_something_of_its_own(name: str) -> None:
    amount = 30.0 if name == "rotate" else 0.5
    changed = change(field(), **(STILL | {name: amount}))
    assert not torch.equal(changed, field().data)
    if name == "light":
        assert (
            changed.float().mean((1, 2, 3)) - field().data.float().mean((1, 2, 3))
        ).abs().max() > 20


def test_each_row_has_its_own_change() -> None:
    batch = field()
    batch.data[:] = batch.data[:1]
    assert len(torch.unique(change(batch), dim=0)) == len(batch.data)


def dot(y: int, x: int, rows: int = 64, size: int = 33) -> Field:
    data = torch.zeros(rows, size, size, 3, dtype=torch.uint8)
    data[:, y - 1 : y + 2, x - 1 : x + 2] = 255
    return Field(data, None, torch.ones(rows, dtype=torch.bool))


def place(data: torch.Tensor) -> torch.Tensor:
    """Centre of the light, `(rows, 2)`: down, across."""
    weight = data[..., 0].double()
    steps = torch.arange(data.shape[1]).double()
    total = weight.sum((1, 2))
    down = (weight * steps[:, None]).sum((1, 2)) / total
    return torch.stack([down, (weight * steps).sum((1, 2)) / total], 1)


def test_shift_moves_by_at_most_its_share_both_ways() -> None:
    moved = place(change(dot(16, 16), **(STILL | {"shift": 0.2}))) - 16
    assert moved.abs().max() <= 0.2 * 33 + 0.1
    assert (moved.min(0).values < -4).all() and (moved.max(0).values > 4).all()


def test_rotation_turns_about_the_middle_without_distortion() -> None:
    moved = place(change(dot(16, 26), **(STILL | {"rotate": 45.0}))) - 16
    assert torch.allclose(moved.norm(dim=1), torch.tensor(10.0).double(), atol=0.3)
    angle = torch.atan2(moved[:, 0], moved[:, 1]).rad2deg()
    assert angle.abs().max() <= 46 and angle.min() < -30 and angle.max() > 30


def test_scale_moves_away_from_the_middle_and_towards_it() -> None:
    away = (place(change(dot(16, 26), **(STILL | {"scale": 0.3}))) - 16)[:, 1]
    assert away.min() >= 10 / 1.3**1.25 - 0.3 and away.max() <= 10 * 1.3**1.25 + 0.3
    assert away.min() < 8.8 and away.max() > 11.2


def test_flip_mirrors_about_half_of_the_pictures_and_only_if_asked() -> None:
    across = place(change(dot(16, 26), **STILL, flip=True))[:, 1]
    mirrored = (across - 6).abs() < 0.1
    assert (mirrored | ((across - 26).abs() < 0.1)).all()
    assert 16 <= mirrored.sum() <= 48
    assert (place(change(dot(16, 26)))[:, 1] > 16).all()


def test_erase_covers_a_share_of_the_area_in_a_share_of_the_rows() -> None:
    batch = field(rows=64)
    changed = change(batch, **(STILL | {"erase": 0.5}))
    area = (changed != batch.data).any(-1).float().mean((1, 2))
    assert 16 <= (area > 0).sum() <= 48 and area.max() <= 0.2


@pytest.mark.parametrize("options", [{"shift": -0.1}, {"erase": 2.0}, {"rotate": 200.0}])
def test_bad_options_are_the_users_error(options: dict) -> None:
    with pytest.raises(UserError):
        Image(**options)


def test_what_a_frozen_model_made_of_pictures_stays_as_it_is() -> None:
    field = Field(torch.randn(3, 1, 16), torch.ones(3, 1).bool(), torch.ones(3).bool())
    assert Image()(field, torch.Generator()) is field
