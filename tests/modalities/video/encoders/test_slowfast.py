from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.modalities.video.encoders.slowfast import Slowfast
from polymodal.modalities.video.forms.frames import Frames


def build(frames: int = 8, size: int = 32, width: int = 8, **options: Any) -> Slowfast:
    torch.manual_seed(0)
    return Slowfast(Frames(frames=frames, size=size), width, **options)


def clips(frames: int = 8, size: int = 32) -> Field:
    generator = torch.Generator().manual_seed(0)
    data = torch.randint(256, (2, frames, size, size, 3), generator=generator, dtype=torch.uint8)
    return Field(data, None, torch.ones(2, dtype=torch.bool))


def test_the_papers_4_by_16_on_resnet_50() -> None:
    with torch.device("meta"):
        encoder = build(32, 224, channels=64, blocks=(3, 4, 6, 3), alpha=8, beta=8)
        pixels = torch.zeros(1, 3, 32, 224, 224)
        slow, fast = encoder.starts[0](pixels[:, :, ::8]), encoder.starts[1](pixels)
        shapes = []
        for over, on_slow, on_fast in zip(encoder.over, encoder.slow, encoder.fast, strict=True):
            slow, fast = on_slow(torch.cat([slow, over(fast)], 1)), on_fast(fast)
            shapes.append((slow.shape[1:4], fast.shape[1:4]))
    # The paper's table 1: res2 to res5.
    assert shapes == [
        ((256, 4, 56), (32, 32, 56)),
        ((512, 4, 28), (64, 32, 28)),
        ((1024, 4, 14), (128, 32, 14)),
        ((2048, 4, 7), (256, 32, 7)),
    ]
    layers = [*encoder.starts, *encoder.over, *encoder.slow, *encoder.fast]
    count = sum(p.numel() for layer in layers for p in layer.parameters())
    answers = (2048 + 256) * 400 + 400
    assert (count + answers) / 1e6 == pytest.approx(34.48, abs=0.01)


@pytest.mark.parametrize(("frames", "alpha"), [(8, 4), (7, 4), (3, 4), (5, 1)])
@torch.no_grad()
def test_a_token_a_slow_frame(frames: int, alpha: int) -> None:
    encoder = build(frames, channels=8, alpha=alpha).eval()
    assert encoder(clips(frames)).values.shape == (2, -(-frames // alpha), 8)


@torch.no_grad()
def test_only_the_fast_way_sees_what_lies_between_slow_frames() -> None:
    encoder, field = build(channels=8, alpha=4).eval(), clips()
    other = field.data.clone()
    other[:, 2] = 255 - other[:, 2]
    changed = Field(other, None, field.present)
    assert not torch.allclose(encoder(changed).values, encoder(field).values)
    # Cut off from it, the slow way and what it makes know nothing of that frame.
    for over in encoder.over:
        over.norm.weight.zero_()
        over.norm.bias.zero_()
    encoder.project.weight[:, -encoder.fast[-1][-1].layers[-1].norm.num_features :] = 0
    torch.testing.assert_close(encoder(changed).values, encoder(field).values)


@pytest.mark.parametrize(
    "options",
    [{"alpha": 0}, {"beta": 0}, {"beta": 17}, {"blocks": (1, 1)}, {"blocks": (1, 1, 0, 1)}],
)
def test_ways_that_do_not_fit_together(options: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        build(**options)


def test_motion_is_learned_in_seconds(learns_motion: Callable[..., float]) -> None:
    assert learns_motion(build(8, 16, 2, channels=8, beta=2, dropout=0.0), 25, 8, 16) >= 0.9
