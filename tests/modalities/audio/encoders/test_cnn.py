from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from polymodal.contract.batch import Field
from polymodal.modalities.audio.encoders.cnn import Cnn, Stage
from polymodal.modalities.audio.forms.mel import Mel


def ragged(lengths: list[int], seed: int = 0) -> Field:
    generator = torch.Generator().manual_seed(seed)
    data = torch.randn(len(lengths), max([*lengths, 1]), 12, generator=generator)
    mask = torch.arange(data.shape[1]) < torch.tensor(lengths)[:, None]
    data = torch.where(mask.unsqueeze(2), 5 + 3 * data, 0)
    return Field(data, mask, torch.ones(len(lengths), dtype=torch.bool))


@given(st.lists(st.integers(1, 40), min_size=2, max_size=4), st.integers(1, 4))
@settings(max_examples=15, deadline=None)
@torch.no_grad()
def test_a_row_is_the_same_alone_and_padded(lengths: list[int], depth: int) -> None:
    torch.manual_seed(0)
    encoder = Cnn(Mel(mels=12), 6, channels=4, depth=depth)
    encoder.adapt([ragged(lengths)])
    encoder(ragged([30, 20], 1))  # running statistics that are not 0 and 1
    encoder.eval()
    field = ragged(lengths)
    together = encoder(field)
    for i, n in enumerate(lengths):
        alone = encoder(
            Field(field.data[i : i + 1, :n], field.mask[i : i + 1, :n], field.present[:1])
        )
        assert alone.mask.all() and together.mask[i].sum() == alone.mask.shape[1] == -(
            -n // 2**depth
        )
        real = together.values[i, : alone.mask.shape[1]]
        torch.testing.assert_close(real, alone.values[0], atol=1e-5, rtol=1e-5)


def test_in_training_padding_changes_nothing_either() -> None:
    torch.manual_seed(0)
    encoder = Cnn(Mel(mels=12), 6, channels=4, dropout=0.0)
    short, long = ragged([9, 5]), ragged([9, 5])
    long.data = nn.functional.pad(long.data, (0, 0, 0, 7), value=3.0)
    long.mask = nn.functional.pad(long.mask, (0, 7))
    torch.testing.assert_close(encoder(short).mean(), encoder(long).mean(), atol=1e-5, rtol=1e-5)


def test_it_learns_what_came_first() -> None:
    """Rising against falling: the mean over time of single steps cannot tell them apart."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    ramp = torch.linspace(-1, 1, 24)[:, None].expand(24, 12)
    label = torch.arange(32) % 2
    data = torch.where(label[:, None, None] == 1, ramp, -ramp)
    data = data + 0.5 * torch.randn(data.shape, generator=generator)
    field = Field(data, torch.ones(32, 24, dtype=torch.bool), torch.ones(32, dtype=torch.bool))
    encoder, head = Cnn(Mel(mels=12), 8, channels=8, dropout=0), nn.Linear(8, 2)
    encoder.adapt([field])
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], 0.01)
    for _ in range(30):
        loss = nn.functional.cross_entropy(head(encoder(field).mean()), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fresh = Field(data.flip(0, 1), field.mask, field.present)  # other rows, run backwards
    found = head(encoder.eval()(fresh).mean()).argmax(1)
    assert (found == 1 - label.flip(0)).float().mean() > 0.95


@pytest.mark.parametrize("length", [1, 7, 4096])
def test_short_and_long(length: int) -> None:
    tokens = Cnn(Mel(mels=12), 6, channels=4).eval()(ragged([length]))
    assert tokens.values.shape == (1, -(-length // 8), 6) and tokens.values.isfinite().all()


@pytest.mark.parametrize("options", [{"channels": 8}, {"depth": 2}], ids=str)
def test_options_change_the_model(options: dict[str, Any]) -> None:
    def size(**options: Any) -> int:
        return sum(p.numel() for p in Cnn(Mel(mels=12), 6, **options).parameters())

    assert size(**options) != size()


@pytest.mark.parametrize("time", [1, 2])
def test_the_shortcut_halves_without_a_stride(time: int) -> None:
    """Of 8 channels a stride crashes in the backward pass; what is said is the same."""
    stage, x, said = Stage(8, 16, time), torch.randn(2, 8, 7, 9), []
    stage.shortcut.register_forward_hook(lambda *called: said.append(called[2]))
    stage(x, torch.ones(2, 7, dtype=torch.bool))
    wanted = nn.functional.conv2d(x, stage.shortcut.weight, stride=(time, 2))
    torch.testing.assert_close(said[0], wanted)
    assert stage.shortcut.stride == (1, 1)


def test_dropout_acts_in_training_only() -> None:
    field = ragged([9])
    encoder = Cnn(Mel(mels=12), 6, dropout=0.5)
    assert not torch.equal(encoder(field).values, encoder(field).values)
    encoder.eval()
    assert torch.equal(encoder(field).values, encoder(field).values)
