"""ResNet and ViT from scratch: the published sizes, parity, absent rows, a problem to solve."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import ResNetConfig, ResNetModel, ViTConfig, ViTModel

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.modalities.image.encoders.resnet import Resnet
from polymodal.modalities.image.encoders.vit import Vit
from polymodal.modalities.image.forms.pixels import Pixels
from polymodal.train.kernels import Kernels

SMALL: dict[Any, dict[str, Any]] = {
    Resnet: {"channels": 4, "dropout": 0.0},
    Vit: {"hidden": 16, "depth": 2, "heads": 2, "dropout": 0.0},
}


def pictures(count: int, side: int = 32, seed: int = 0) -> Field:
    pixels = torch.randint(
        0, 256, (count, side, side, 3), generator=torch.Generator().manual_seed(seed)
    )
    return Field(pixels.to(torch.uint8), None, torch.ones(count, dtype=torch.bool))


def small(kind: Any, side: int = 32, **options: Any) -> Any:
    torch.manual_seed(0)
    encoder = kind(Pixels(size=side), 16, **SMALL[kind] | options).eval()
    encoder.adapt([pictures(8, side)])
    return encoder


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("depth", "size"),
    # torchvision's, without the classifier of 1 000 classes.
    [
        (18, 11_689_512 - 513_000),
        (34, 21_797_672 - 513_000),
        (50, 25_557_032 - 2_049_000),
    ],
)
def test_published_sizes_of_resnets(depth: int, size: int) -> None:
    with torch.device("meta"):
        encoder = Resnet(Pixels(size=224), 8, depth=depth, channels=64)
        assert count(encoder.backbone) == size
        maps = encoder.backbone(pixel_values=torch.zeros(1, 3, 224, 224))
    assert maps.shape == (1, 512 if depth < 50 else 2048, 7, 7)


@pytest.mark.parametrize("depth", [10, 14])
def test_shortcuts_skip_places_before_they_convolve(depth: int) -> None:
    """oneDNN's gradient of a 1 x 1 convolution with a stride and few channels ends the process."""
    model = small(Resnet, 128, depth=depth).backbone.model
    plain = ResNetModel(model.config).eval()
    plain.load_state_dict(model.state_dict())
    ones = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
    assert ones and all(one.stride == (1, 1) for one in ones)
    given = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    ours, wanted = (one(given).last_hidden_state for one in (model, plain))
    torch.testing.assert_close(ours, wanted)


def test_published_size_of_vit_b_16() -> None:
    with torch.device("meta"):
        encoder = Vit(Pixels(size=224), 8, patch=16, hidden=768, depth=12, heads=12)
        assert count(encoder.backbone) == 86_567_656 - 769_000
        tokens = encoder(pictures(1, 224).to("meta"))
    assert tokens.values.shape == (1, 1 + 14 * 14, 8)


@pytest.mark.parametrize("depth", [10, 14])
def test_resnet_is_transformers_resnet(depth: int) -> None:
    encoder = small(Resnet, 128, depth=depth)
    sizes = [4, 8, 16, 32] if depth == 10 else [16, 32, 64, 128]
    theirs = ResNetModel(
        ResNetConfig(
            embedding_size=4,
            hidden_sizes=sizes,
            depths=[1, 1, 1, 1],
            layer_type="basic" if depth == 10 else "bottleneck",
        )
    ).eval()
    theirs.load_state_dict(encoder.backbone.model.state_dict())
    field = pictures(2, 128, seed=1)
    maps = theirs(encoder.normalise(field.data).permute(0, 3, 1, 2)).last_hidden_state
    wanted = encoder.project(maps.flatten(2).transpose(1, 2))
    assert wanted.shape == (2, 16, 16)
    torch.testing.assert_close(encoder(field).values, wanted, atol=1e-5, rtol=1e-5)


def test_vit_is_transformers_vit() -> None:
    # Patches of 12 do not divide a side of 32: the rest is the mean colour.
    encoder = small(Vit, patch=12)
    theirs = ViTModel(
        ViTConfig(
            image_size=36,
            patch_size=12,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
        ),
        add_pooling_layer=False,
    ).eval()
    theirs.load_state_dict(encoder.backbone.model.state_dict())
    field = pictures(2, seed=1)
    pixels = torch.zeros(2, 3, 36, 36)
    pixels[:, :, :32, :32] = encoder.normalise(field.data).permute(0, 3, 1, 2)
    wanted = encoder.project(theirs(pixels).last_hidden_state)
    assert wanted.shape == (2, 10, 16)
    torch.testing.assert_close(encoder(field).values, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", [8, 9, 16, 28, 32, 33, 64, 96, 130])
@pytest.mark.parametrize("kind", [Resnet, Vit])
def test_every_side_even_one_picture_at_a_time(kind: Any, side: int) -> None:
    encoder = small(kind, side).train()
    tokens = encoder(pictures(1, side))
    tokens.values.sum().backward()
    assert tokens.values.isfinite().all()
    if kind is Resnet:
        assert tokens.values.shape[1] >= 4


@pytest.mark.parametrize("kind", [Resnet, Vit])
def test_absent_pictures_change_nothing_in_training(kind: Any) -> None:
    whole = pictures(4)
    some = Field(whole.data.clone(), None, torch.tensor([True, True, False, True]))
    some.data[2] = 255
    found = small(kind).train()(some).values[some.present]
    kept = Field(whole.data[some.present], None, some.present[some.present])
    torch.testing.assert_close(found, small(kind).train()(kept).values, atol=1e-5, rtol=1e-5)


def test_vit_s_attention_is_computed_as_measured() -> None:
    encoder, field = small(Vit), pictures(2)
    fused = encoder(field).values
    plain = Kernels(attention="plain").apply(encoder)
    assert plain.backbone.model.config._attn_implementation == "eager"
    torch.testing.assert_close(plain(field).values, fused, atol=1e-5, rtol=0)
    assert small(Resnet).backbone.attention is None


@pytest.mark.parametrize("kind", [Resnet, Vit])
def test_it_learns_which_way_a_line_runs(kind: Any) -> None:
    """Lines anywhere: no pixel alone tells."""
    pixels = torch.zeros(32, 16, 16, 3, dtype=torch.uint8)
    for i in range(16):
        pixels[i, i], pixels[16 + i, :, i] = 255, 255
    field = Field(pixels, None, torch.ones(32, dtype=torch.bool))
    labels = torch.arange(32) // 16
    torch.manual_seed(0)
    options = {Resnet: {"channels": 8}, Vit: {"patch": 4, "hidden": 32, "depth": 1}}[kind]
    encoder = kind(Pixels(size=16), 16, dropout=0.0, **options)
    encoder.adapt([field])
    head = nn.Linear(16, 2)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=5e-3)
    for _ in range(40):
        loss = nn.functional.cross_entropy(head(encoder(field).mean()), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert torch.equal(head(encoder.eval()(field).mean()).argmax(1), labels)


def test_impossible_options_are_refused() -> None:
    form = Pixels(size=16)
    with pytest.raises(UserError, match="no ResNet of 20 layers"):
        Resnet(form, 8, depth=20)
    with pytest.raises(UserError, match="channels=2"):
        Resnet(form, 8, channels=2)
    with pytest.raises(UserError, match="patch=17"):
        Vit(form, 8, patch=17)
    with pytest.raises(UserError, match="do not divide"):
        Vit(form, 8, heads=5)
