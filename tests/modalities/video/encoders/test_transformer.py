from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.modalities.video.encoders.transformer import Transformer
from polymodal.modalities.video.forms.frames import Frames

SMALL: dict[str, Any] = {"hidden": 32, "depth": 2, "heads": 2, "patch": 8, "dropout": 0.0}


def build(frames: int = 4, size: int = 16, width: int = 8, **options: Any) -> Transformer:
    torch.manual_seed(0)
    return Transformer(Frames(frames=frames, size=size), width, **SMALL | options)


def clips(frames: int = 4, size: int = 16) -> Field:
    generator = torch.Generator().manual_seed(0)
    data = torch.randint(256, (2, frames, size, size, 3), generator=generator, dtype=torch.uint8)
    return Field(data, None, torch.ones(2, dtype=torch.bool))


@torch.no_grad()
def test_states_are_the_librarys() -> None:
    encoder, field = build().eval(), clips()
    pixels = ((field.data - 127.5) / 64).permute(0, 1, 4, 2, 3)
    wanted = encoder.network.model(pixels).last_hidden_state
    found = encoder(field)
    assert found.values.shape == (2, 1 + 4 * 4, 8) and found.mask.all()
    torch.testing.assert_close(found.values, encoder.project(wanted))


@torch.no_grad()
def test_a_side_that_patches_do_not_divide_is_filled_with_the_mean_colour() -> None:
    encoder = build(size=12).eval()
    assert encoder(clips(size=12)).values.shape == (2, 1 + 4 * 4, 8)
    full = build(size=16).eval()
    # The mean colour of the start lies between two bytes.
    full.normalise.mean.fill_(128)
    encoder.normalise.mean.fill_(128)
    larger = torch.full((2, 4, 16, 16, 3), 128, dtype=torch.uint8)
    larger[:, :, :12, :12] = clips(size=12).data
    wanted = full(Field(larger, None, torch.ones(2, dtype=torch.bool))).values
    torch.testing.assert_close(encoder(clips(size=12)).values, wanted)


def test_the_papers_size() -> None:
    with torch.device("meta"):
        form = Frames(frames=8, size=224)
        model = Transformer(form, 8, hidden=768, depth=12, heads=12, patch=16).network.model
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(121.3, abs=0.1)


@pytest.mark.parametrize("options", [{"patch": 0}, {"patch": 17}, {"heads": 3}])
def test_options_that_do_not_fit(options: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        build(**options)


def test_motion_is_learned_in_seconds(learns_motion: Callable[..., float]) -> None:
    assert learns_motion(build(6, 16, 2, patch=4), 80, 6, 16) >= 0.9
