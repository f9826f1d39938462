from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import PatchTSTConfig, PatchTSTModel

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.modalities.series.encoders.patch_transformer import PatchTransformer
from polymodal.modalities.series.forms.steps import Steps
from polymodal.train.kernels import Kernels

SMALL: dict[str, Any] = {"hidden": 16, "depth": 2, "heads": 2, "dropout": 0.0}


def build(channels: int = 2, limit: int = 40, width: int = 8, **options: Any) -> PatchTransformer:
    torch.manual_seed(0)
    form = Steps(limit=limit)
    form.state = {"channels": channels, "transposed": False}
    return PatchTransformer(form, width, **SMALL | options)


def series(*lengths: int, channels: int = 2) -> Field:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(len(lengths), max(lengths), channels, generator=generator)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    return Field(torch.where(mask.unsqueeze(2), data, 0), mask, torch.tensor(lengths) > 0)


@pytest.mark.parametrize("instance", [False, True])
@torch.no_grad()
def test_states_are_the_librarys(instance: bool) -> None:
    encoder = build(instance=instance, patch=8, stride=4).eval()
    config = PatchTSTConfig(
        num_input_channels=2,
        context_length=40,
        patch_length=8,
        patch_stride=4,
        num_hidden_layers=2,
        d_model=16,
        num_attention_heads=2,
        ffn_dim=64,
        norm_type="layernorm",
        scaling="std" if instance else None,
        do_mask_input=False,
    )
    library = PatchTSTModel(config).eval()
    library.encoder.load_state_dict(encoder.network.model.state_dict())
    field = series(40, 40)
    states = library(field.data).last_hidden_state
    assert states.shape == (2, 2, 9, 16)
    found = encoder(field)
    values = encoder.project(states.transpose(1, 2).flatten(2))
    assert found.mask.sum(1).tolist() == [9, 9]
    torch.testing.assert_close(found.values[:, :9], values, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_patches_cover_a_series_and_no_more() -> None:
    encoder = build(patch=8, stride=4).eval()
    found = encoder(series(40, 13, 12, 3, 0))
    assert found.mask.sum(1).tolist() == [9, 3, 2, 1, 0]


@torch.no_grad()
def test_of_its_own_scale_a_series_has_neither_level_nor_size() -> None:
    field = series(30, 20)
    other = torch.where(field.mask.unsqueeze(2), 2 * field.data + 1, 0)
    other = Field(other, field.mask, field.present)
    for instance in (True, False):
        encoder = build(instance=instance).eval()
        off = (encoder(other).values - encoder(field).values).abs().max()
        assert (off < 1e-3) == instance


@torch.no_grad()
def test_channels_are_read_alone_by_one_network() -> None:
    encoder, field = build().eval(), series(24)
    swapped = encoder(Field(field.data.flip(2), field.mask, field.present))
    weight = encoder.project.weight.clone()
    encoder.project.weight.copy_(weight.unflatten(1, (2, 16)).flip(1).flatten(1))
    torch.testing.assert_close(encoder(field).values, swapped.values, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_attention_is_the_measured_kernel() -> None:
    encoder, field = build().eval(), series(40, 13, 0)
    found = [Kernels(attention=name).apply(encoder)(field).values for name in ("plain", "sdpa")]
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stride", [0, 9])
def test_a_stride_that_leaves_out_steps(stride: int) -> None:
    with pytest.raises(UserError, match="stride"):
        build(patch=8, stride=stride)


def test_two_rhythms_are_told_apart_in_seconds() -> None:
    encoder = build(channels=1, width=2)
    optimizer = torch.optim.AdamW(encoder.parameters(), 2e-3)
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(40)

    def batch() -> tuple[Field, torch.Tensor]:
        label = torch.randint(2, (32,), generator=generator)
        rhythm = torch.where(label == 0, 0.8, 1.6).unsqueeze(1)
        wave = torch.sin(rhythm * time + 6.28 * torch.rand(32, 1, generator=generator))
        data = (wave + 0.3 * torch.randn(32, 40, generator=generator)).unsqueeze(2)
        return Field(data, torch.ones(32, 40, dtype=torch.bool), torch.ones(32) > 0), label

    for _ in range(60):
        field, label = batch()
        loss = torch.nn.functional.cross_entropy(encoder(field).mean(), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    field, label = batch()
    assert (encoder.eval()(field).mean().argmax(1) == label).float().mean() >= 0.9
