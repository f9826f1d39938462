from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.modalities.video.encoders._volumes import Convolution, Strides
from polymodal.modalities.video.encoders.i3d import I3d, inception, inflated
from polymodal.modalities.video.forms.frames import Frames


@torch.no_grad()
def settled(net: nn.Module) -> nn.Module:
    """With the statistics of some pictures, so that what comes out depends on what goes in."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = 1.0
    net.train()(torch.randn(8, 3, 1, 32, 32, generator=torch.Generator().manual_seed(1)))
    return net.eval()


@torch.no_grad()
def test_a_clip_of_one_picture_is_what_the_picture_is_to_the_network_it_was_inflated_from() -> None:
    torch.manual_seed(0)
    # In double precision, which dozens of layers' rounding does not show in.
    flat = settled(inception(1, 32, 16, over_time=False)).double()
    net = inception(8, 32, 16).eval().double()
    net.load_state_dict(inflated(flat.state_dict(), net.state_dict()))
    picture = torch.randn(2, 3, 1, 32, 32, dtype=torch.float64)
    found, wanted = net(picture.expand(-1, -1, 8, -1, -1)), flat(picture)
    assert found.shape == (2, 256, 2, 4, 4)
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted.expand(-1, -1, 2, -1, -1))
    # One that moves is not.
    moved = torch.cat([picture, picture.roll(3, 4)], 2).repeat_interleave(4, 2)
    assert (net(moved)[:, :, 1] - wanted[:, :, 0]).abs().max() > 0.1 * wanted.std()


@torch.no_grad()
def test_the_network_of_pictures_is_one_of_plain_2d_convolutions() -> None:
    torch.manual_seed(0)
    layer = Convolution(3, 4, 1, 7, (1, 2)).eval()
    picture = torch.randn(2, 3, 1, 16, 16)
    wanted = F.conv2d(picture[:, :, 0], layer.convolve.weight[:, :, 0], stride=2, padding=3)
    wanted = torch.relu(wanted / (1 + layer.norm.eps) ** 0.5)
    torch.testing.assert_close(layer(picture)[:, :, 0], wanted, atol=1e-5, rtol=1e-5)


def test_the_papers_sizes() -> None:
    with torch.device("meta"):
        net = inception(64, 224, 64)
        found = net(torch.zeros(1, 3, 64, 224, 224))
    assert found.shape == (1, 1024, 8, 7, 7)
    # 12 M in the paper, with 400 classes; 12.3 M without them, of which batch norms scale too.
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(12.29, abs=0.01)


def test_maps_keep_a_place_or_two() -> None:
    strides = Strides(3, 32)
    assert [strides.halve(time=True) for _ in range(4)] == [(2, 2), (1, 2), (1, 2), (1, 1)]
    assert (strides.moments, strides.side) == (2, 4)


def test_it_starts_inflated() -> None:
    weight = I3d(Frames(frames=4, size=16), 8, channels=8).layers[0].convolve.weight
    assert torch.equal(weight, weight[:, :, :1].expand_as(weight))


def test_too_few_channels() -> None:
    with pytest.raises(UserError, match="channels"):
        I3d(Frames(), 8, channels=4)


def test_motion_is_learned_in_seconds(learns_motion: Callable[..., float]) -> None:
    torch.manual_seed(0)
    encoder = I3d(Frames(frames=6, size=16), 2, channels=8, dropout=0.0)
    assert learns_motion(encoder, 25, 6, 16, 1e-2) >= 0.9
