"""wav2vec 2.0 and HuBERT, which share all but the library's class."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from polymodal.base import lookup
from polymodal.contract.batch import Field
from polymodal.modalities.audio.encoders._waves import WaveEncoder
from polymodal.modalities.audio.forms.waveform import Waveform
from polymodal.train.kernels import Kernels

NAMES = ("wav2vec2", "hubert")
SMALL: dict[str, Any] = {"hidden": 32, "depth": 2, "heads": 2, "channels": 16, "dropout": 0.0}


def build(name: str, width: int = 8, **options: Any) -> WaveEncoder:
    torch.manual_seed(0)
    found = lookup.build("modalities/audio/encoders", {"name": name, **options}, Waveform(), width)
    assert isinstance(found, WaveEncoder)
    return found


def sounds(*lengths: int) -> Field:
    """Noise of these lengths, each at a level and a loudness of its own."""
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(len(lengths), max(lengths), 1, generator=generator)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    data = torch.where(mask.unsqueeze(2), 0.3 * data + 0.1, 0)
    return Field(data, mask, torch.tensor(lengths) > 0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("norm", ["layer", "group"])
@torch.no_grad()
def test_states_are_the_librarys_for_sounds_of_their_own_scale(name: str, norm: str) -> None:
    encoder = build(name, norm=norm, **SMALL).eval()
    # The library's norm over time counts padding: there, sounds are as long as the batch.
    lengths = (2000, 1500) if norm == "layer" else (2000, 2000)
    field = sounds(*lengths)
    scaled = torch.zeros(2, 2000)
    for row, length in enumerate(lengths):
        own = field.data[row, :length, 0]
        scaled[row, :length] = (own - own.mean()) / (own.var(correction=0) + 1e-7).sqrt()
    wanted = encoder.network.model(scaled, attention_mask=field.mask).last_hidden_state
    found = encoder(field)
    assert found.mask.sum(1).tolist() == [(length - 400) // 320 + 1 for length in lengths]
    for row in range(2):
        real = int(found.mask[row].sum())
        values = encoder.project(wanted[row, :real])
        torch.testing.assert_close(found.values[row, :real], values, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", ["layer", "group"])
@torch.no_grad()
def test_a_sound_is_the_same_beside_longer_ones_however_short_it_is(norm: str) -> None:
    encoder = build("wav2vec2", norm=norm, **SMALL).eval()
    together = encoder(sounds(3000, 1100, 50, 0))
    assert together.mask.sum(1).tolist() == [9, 3, 1, 0]
    field = sounds(3000, 1100, 50, 0)
    for row, length in enumerate((3000, 1100, 50)):
        alone = encoder(
            Field(field.data[[row], :length], field.mask[[row], :length], field.present[[row]])
        )
        kept = together.values[row][together.mask[row]]
        torch.testing.assert_close(alone.values[alone.mask], kept, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_loudness_and_level_change_nothing() -> None:
    encoder, field = build("hubert", **SMALL).eval(), sounds(1600)
    louder = Field(5 * field.data + 2, field.mask, field.present)
    torch.testing.assert_close(encoder(louder).values, encoder(field).values, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("hidden", "depth", "heads", "norm", "millions"),
    [(768, 12, 12, "group", 94.4), (1024, 24, 16, "layer", 315.4)],
)
def test_the_papers_sizes(
    name: str, hidden: int, depth: int, heads: int, norm: str, millions: float
) -> None:
    with torch.device("meta"):
        options = {"hidden": hidden, "depth": depth, "heads": heads, "channels": 512, "norm": norm}
        model = build(name, **options).network.model
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


@torch.no_grad()
def test_attention_is_the_measured_kernel() -> None:
    encoder, field = build("wav2vec2", **SMALL).eval(), sounds(3000, 1100, 0)
    found = {}
    for kernel, theirs in (("plain", "eager"), ("sdpa", "sdpa")):
        Kernels(attention=kernel).apply(encoder)
        assert encoder.network.attention == kernel
        layers = encoder.network.model.encoder.layers
        assert {layer.attention.config._attn_implementation for layer in layers} == {theirs}
        found[kernel] = encoder(field).values
    torch.testing.assert_close(found["plain"], found["sdpa"], atol=1e-5, rtol=1e-5)


def test_two_pitches_are_told_apart_in_seconds() -> None:
    encoder = build("wav2vec2", width=2, **SMALL)
    optimizer = torch.optim.AdamW(encoder.parameters(), 2e-3)
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(1600) / 16_000

    def batch() -> tuple[Field, torch.Tensor]:
        label = torch.randint(2, (16,), generator=generator)
        pitch = torch.where(label == 0, 300.0, 900.0).unsqueeze(1)
        phase = 6.28 * torch.rand(16, 1, generator=generator)
        wave = torch.sin(6.2832 * pitch * time + phase)
        data = (wave + 0.3 * torch.randn(16, 1600, generator=generator)).unsqueeze(2)
        return Field(data, torch.ones(16, 1600, dtype=torch.bool), torch.ones(16) > 0), label

    for _ in range(40):
        field, label = batch()
        loss = torch.nn.functional.cross_entropy(encoder(field).mean(), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    field, label = batch()
    assert (encoder.eval()(field).mean().argmax(1) == label).float().mean() >= 0.9
