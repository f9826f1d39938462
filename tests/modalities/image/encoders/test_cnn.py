"""The residual network: what it must see, and what it must not depend on."""

from __future__ import annotations

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.modalities.image.encoders.cnn import Cnn
from polymodal.modalities.image.forms.pixels import Pixels
from polymodal.models.model import encoded


def field(rows: int = 4, size: int = 28, seed: int = 0) -> Field:
    generator = torch.Generator().manual_seed(seed)
    data = torch.randint(0, 256, (rows, size, size, 3), dtype=torch.uint8, generator=generator)
    return Field(data, None, torch.ones(rows, dtype=torch.bool))


def build(size: int = 28, **options: float) -> Cnn:
    torch.manual_seed(0)
    return Cnn(Pixels(size=size), 16, **({"channels": 16} | options))


@pytest.mark.parametrize(
    ("size", "places"), [(8, 16), (28, 16), (32, 16), (47, 36), (64, 16), (96, 36), (224, 16)]
)
def test_tokens_are_the_places_of_the_last_map(size: int, places: int) -> None:
    tokens = build(size).eval()(field(2, size))
    assert tokens.values.shape == (2, places, 16)
    assert tokens.mask.shape == (2, places) and tokens.mask.all()


def test_adapt_measures_present_rows_and_survives_one_colour() -> None:
    encoder, batch = build(), field()
    batch.present[1] = False
    encoder.adapt([batch])
    pixels = batch.data[batch.present].reshape(-1, 3).double()
    assert torch.allclose(encoder.normalise.mean.double(), pixels.mean(0), atol=1e-3)
    assert torch.allclose(
        encoder.normalise.deviation.double(), pixels.std(0, correction=0), atol=1e-3
    )
    encoder.adapt([Field(torch.zeros_like(batch.data), None, batch.present)])
    assert torch.isfinite(encoder.eval()(batch).values).all()


def test_adapted_to_it_brightness_and_contrast_make_no_difference() -> None:
    bright, dim = field(), field()
    dim.data = dim.data // 4 + 30
    bright.data = dim.data * 2 - 30
    one, other = build().eval(), build().eval()
    one.adapt([bright])
    other.adapt([dim])
    assert torch.allclose(one(bright).values, other(dim).values, atol=1e-4)


def test_at_evaluation_rows_do_not_mix() -> None:
    encoder, batch = build().eval(), field(6)
    together = encoder(batch).values
    alone = torch.cat(
        [
            encoder(Field(d[None], None, p[None])).values
            for d, p in zip(batch.data, batch.present, strict=True)
        ]
    )
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_absent_rows_change_nothing(training: bool) -> None:
    batch = field(5)
    batch.present[2:4] = False
    other = Field(batch.data.clone(), None, batch.present)
    other.data[2:4] = 255 - other.data[2:4]
    first, second = (build(dropout=0.0).train(training) for _ in range(2))
    one, two = encoded(first, batch), encoded(second, other)
    assert torch.equal(one.values[batch.present], two.values[batch.present])
    assert torch.equal(one.mask.any(1), batch.present)
    for name, buffer in first.named_buffers():
        assert torch.equal(buffer, second.get_buffer(name)), name


def test_a_batch_without_a_picture_trains_harmlessly() -> None:
    encoder, batch = build(), field()
    batch.present[:] = False
    before = {name: value.clone() for name, value in encoder.named_buffers()}
    tokens = encoded(encoder, batch)
    assert not tokens.mask.any() and (tokens.values == 0).all()
    for name, value in encoder.named_buffers():
        assert torch.equal(value, before[name]) or name.endswith("num_batches_tracked")


def test_every_parameter_learns() -> None:
    encoder = build()
    (encoder(field()).values ** 2).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_bfloat16_and_channels_last_agree_with_float32() -> None:
    encoder, batch = build().eval(), field()
    expected = encoder(batch).values
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder(batch).values.float()
    assert (half - expected).abs().mean() < 0.05 * expected.abs().mean()
    last = encoder.to(memory_format=torch.channels_last)(batch).values
    assert torch.allclose(last, expected, atol=1e-5)


def test_options_change_the_network() -> None:
    def size(**options: float) -> int:
        return sum(p.numel() for p in build(**options).parameters())

    assert size(channels=32) > size() and size(depth=2) > size()
    batch = field()
    assert not torch.equal(build(dropout=0.9)(batch).values, build(dropout=0.0)(batch).values)


@pytest.mark.parametrize("options", [{"channels": 7}, {"depth": 0}])
def test_bad_options_are_the_users_error(options: dict) -> None:
    with pytest.raises(UserError, match="too small"):
        build(**options)


def test_it_learns_shapes_wherever_they_are_in_a_few_steps() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(256) % 2
    centre = torch.randint(6, 10, (256, 2, 1), generator=generator)
    y, x = ((torch.arange(16) - centre[:, i]).abs() for i in (0, 1))
    square = (y[:, :, None] < 4) & (x[:, None, :] < 4)
    cross = square & ((y[:, :, None] < 2) | (x[:, None, :] < 2))
    shown = torch.where(labels.view(-1, 1, 1) == 1, cross, square)
    data = (shown * 200).byte()[..., None].repeat(1, 1, 1, 3)
    whole = Field(data, None, torch.ones(256, dtype=torch.bool))
    encoder, head = build(16, channels=32), torch.nn.Linear(16, 2)
    encoder.adapt([whole])
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], 5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 48)
    for step in range(48):
        rows = torch.arange(32) + 32 * (step % 6)
        tokens = encoder(Field(data[rows], None, whole.present[rows]))
        loss = torch.nn.functional.cross_entropy(head(tokens.mean()), labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    guess = head(encoder.eval()(whole).mean()).argmax(1)
    assert (guess == labels)[192:].float().mean() >= 0.95
