from __future__ import annotations

from typing import Any

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.modalities.series.encoders.lstm import Lstm
from polymodal.modalities.series.forms.steps import Steps


def build(channels: int = 2, width: int = 8, **options: Any) -> Lstm:
    torch.manual_seed(0)
    form = Steps()
    form.state = {"channels": channels, "transposed": False}
    return Lstm(form, width, **options)


def series(*lengths: int, channels: int = 2) -> Field:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(len(lengths), max(lengths), channels, generator=generator)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    return Field(torch.where(mask.unsqueeze(2), data, 0), mask, torch.tensor(lengths) > 0)


@pytest.mark.parametrize("both", [False, True])
@torch.no_grad()
def test_states_are_those_of_pytorchs_own_network(both: bool) -> None:
    encoder = build(hidden=5, depth=2, bidirectional=both, dropout=0.0).eval()
    wanted = torch.nn.LSTM(2, 5, num_layers=2, bidirectional=both, batch_first=True)
    ways = {"": encoder.network.ahead} | ({"_reverse": encoder.network.back} if both else {})
    for suffix, layers in ways.items():
        for number, layer in enumerate(layers):
            for name, value in layer.named_parameters():
                place = name.replace("_l0", f"_l{number}{suffix}")
                wanted.get_parameter(place).copy_(value)
    field = series(12, 7, 1)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        field.data, field.mask.sum(1), batch_first=True
    )
    states, _ = torch.nn.utils.rnn.pad_packed_sequence(wanted(packed)[0], batch_first=True)
    values = torch.where(field.mask.unsqueeze(2), encoder.project(states), 0)
    torch.testing.assert_close(encoder(field).values, values, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_windows_are_read_at_once() -> None:
    encoder = build(window=4).eval()
    found = encoder(series(12, 9, 3, 0))
    assert found.mask.sum(1).tolist() == [3, 3, 1, 0]
    assert encoder.network.ahead[0].input_size == 8


@pytest.mark.parametrize("options", [{"hidden": 0}, {"depth": 0}, {"window": 0}])
def test_options_that_are_too_small(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="too small"):
        build(**options)


def test_what_came_first_is_remembered_in_seconds() -> None:
    encoder = build(channels=1, width=2, hidden=16)
    optimizer = torch.optim.AdamW(encoder.parameters(), 1e-2)
    generator = torch.Generator().manual_seed(0)

    def batch() -> tuple[Field, torch.Tensor]:
        label = torch.randint(2, (32,), generator=generator)
        data = 0.3 * torch.randn(32, 16, 1, generator=generator)
        # A rise then a fall, or a fall then a rise: every step's share is the same.
        sign = (2 * label - 1).view(-1, 1)
        data[:, 3, :] += 2 * sign
        data[:, 10, :] -= 2 * sign
        return Field(data, torch.ones(32, 16, dtype=torch.bool), torch.ones(32) > 0), label

    for _ in range(60):
        field, label = batch()
        loss = torch.nn.functional.cross_entropy(encoder(field).mean(), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    field, label = batch()
    assert (encoder.eval()(field).mean().argmax(1) == label).float().mean() >= 0.9
