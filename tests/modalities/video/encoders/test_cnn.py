"""Frames, their changes and time."""

from __future__ import annotations

import pytest
import torch

from polymodal.contract.batch import Field
from polymodal.modalities.video.encoders.cnn import Cnn
from polymodal.modalities.video.forms.frames import Frames
from polymodal.models.model import encoded


def field(rows: int = 3, frames: int = 4, size: int = 16) -> Field:
    generator = torch.Generator().manual_seed(0)
    shape = (rows, frames, size, size, 3)
    data = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return Field(data, None, torch.ones(rows, dtype=torch.bool))


def build(frames: int = 4, size: int = 16, **options: float) -> Cnn:
    torch.manual_seed(0)
    return Cnn(Frames(frames=frames, size=size), 12, **({"channels": 16} | options))


def test_one_token_a_frame() -> None:
    tokens = build()(field())
    assert tokens.values.shape == (3, 4, 12) and tokens.mask.all()


def test_at_evaluation_rows_do_not_mix() -> None:
    encoder, batch = build().eval(), field()
    encoder.adapt([batch])
    alone = [encoder(Field(d[None], None, torch.ones(1, dtype=torch.bool))) for d in batch.data]
    expected = torch.cat([tokens.values for tokens in alone])
    assert torch.allclose(encoder(batch).values, expected, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_absent_rows_change_nothing(training: bool) -> None:
    batch = field()
    batch.present[1] = False
    other = Field(batch.data.clone(), None, batch.present)
    other.data[1] = 0
    first, second = (build(dropout=0.0).train(training) for _ in range(2))
    one, two = encoded(first, batch), encoded(second, other)
    assert torch.equal(one.values[batch.present], two.values[batch.present])
    assert one.mask.any(1).tolist() == [True, False, True]
    for name, buffer in first.named_buffers():
        assert torch.equal(buffer, second.get_buffer(name)), name


def test_a_batch_without_a_clip_trains_harmlessly() -> None:
    batch = field()
    batch.present[:] = False
    tokens = encoded(build(), batch)
    assert not tokens.mask.any() and (tokens.values == 0).all()


def test_every_parameter_learns() -> None:
    encoder = build()
    (encoder(field()).values ** 2).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def clips(rows: int, generator: torch.Generator) -> tuple[Field, torch.Tensor]:
    """A square that moves left (0) or right (1) from anywhere: no single frame tells which."""
    labels = torch.randint(0, 2, (rows,), generator=generator)
    start = torch.randint(0, 16, (rows, 2, 1), generator=generator)
    speed = torch.randint(1, 4, (rows, 1), generator=generator) * (2 * labels[:, None] - 1)
    left = (start[:, 0] + speed * torch.arange(4)) % 16
    x = (torch.arange(16) - left[:, :, None]) % 16 < 5
    y = (torch.arange(16) - start[:, 1]) % 16 < 5
    data = (x[:, :, None, :] & y[:, None, :, None]).byte() * 255
    present = torch.ones(rows, dtype=torch.bool)
    return Field(data[..., None].repeat(1, 1, 1, 1, 3), None, present), labels


def test_it_learns_which_way_things_move() -> None:
    generator = torch.Generator().manual_seed(0)
    encoder, head = build(channels=32), torch.nn.Linear(12, 2)
    encoder.adapt([clips(64, generator)[0]])
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], 5e-3)
    for _ in range(40):
        batch, labels = clips(32, generator)
        loss = torch.nn.functional.cross_entropy(head(encoder(batch).mean()), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    batch, labels = clips(64, generator)
    guess = head(encoder.eval()(batch).mean()).argmax(1)
    assert (guess == labels).float().mean() >= 0.9
