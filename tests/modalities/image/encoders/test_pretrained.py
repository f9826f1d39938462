"""Pretrained image models, trained and frozen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from polymodal.contract.batch import Field
from polymodal.modalities.image.encoders.pretrained import Pretrained
from polymodal.modalities.image.forms.pretrained import IMAGE
from polymodal.modalities.image.forms.pretrained import Pretrained as Form
from polymodal.models.model import encoded
from polymodal.nn import checkpoint, pretrained, processors
from polymodal.table.media import Media

PICTURES = [
    Media(f"picture {i}", values=np.random.default_rng(i).integers(0, 256, (16, 16, 3), np.uint8))
    for i in range(3)
]


def field(form: Form, present: list[bool]) -> Field:
    data = np.stack([form.encode(cell) for cell in PICTURES])
    data[~np.array(present)] = 0
    return Field(torch.from_numpy(data), None, torch.tensor(present))


def built(path: str) -> tuple[Form, Pretrained]:
    torch.manual_seed(0)
    form = Form(path=path, tune=True)
    return form, Pretrained(form, 8).eval()


@pytest.mark.parametrize("checkpoint", ["vit_path", "resnet_path"])
def test_tokens_are_the_models_outputs(checkpoint: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(checkpoint)
    form, encoder = built(path)
    pictures = [cell.values for cell in PICTURES]
    inputs = processors.image_processor(path)(pictures, return_tensors="pt")
    with torch.no_grad():
        tokens = encoder(field(form, [True, True, True]))
        hidden = pretrained.hidden(pretrained.load(path, IMAGE), **inputs)
        expected = encoder.tuned.project(hidden)
    torch.testing.assert_close(tokens.values, expected, atol=1e-5, rtol=0)
    assert tokens.mask.all()


def test_rows_do_not_mix_and_absent_ones_are_masked(vit_path: str) -> None:
    form, encoder = built(vit_path)
    with torch.no_grad():
        together = encoded(encoder, field(form, [True, False, True]))
        whole = field(form, [True, True, True])
        alone = encoder(Field(whole.data[2:], None, whole.present[2:]))
    assert together.mask.any(1).tolist() == [True, False, True]
    assert together.values.isfinite().all()
    torch.testing.assert_close(together.values[2], alone.values[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("checkpoint", ["vit_path", "resnet_path"])
def test_everything_learns(checkpoint: str, request: pytest.FixtureRequest) -> None:
    form, encoder = built(request.getfixturevalue(checkpoint))
    encoder.train()(field(form, [True, True, True])).values.square().sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None] == []


def test_a_run_keeps_the_weights_elsewhere(vit_path: str, tmp_path: Path) -> None:
    form, encoder = built(vit_path)
    checkpoint.copy(vit_path, tmp_path / "model", weights=False)
    _, later = built(str(tmp_path / "model"))
    cells = field(form, [True, True, False])
    assert (later(cells).values - encoder(cells).values).abs().max() > 1e-3
    later.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(later(cells).values, encoder(cells).values, atol=0, rtol=0)


def test_frozen_is_a_linear_map_of_the_standardised_output(vit_path: str) -> None:
    form = Form(path=vit_path)
    encoder = Pretrained(form, 8).eval()
    cells = field(form, [True, True, False])
    encoder.adapt([cells])
    tokens = encoded(encoder, cells)
    assert tokens.values.shape == (3, 1, 8) and tokens.mask[:, 0].tolist() == [True, True, False]
    real = cells.data[:2, 0]
    scaled = (real - real.mean(0)) / real.std(0, correction=0)
    torch.testing.assert_close(
        tokens.values[:2, 0], encoder.frozen.project[1](scaled), atol=1e-4, rtol=0
    )


def test_a_grid_tells_where_things_are_frozen_or_trained_on(vit_path: str) -> None:
    tokens = {}
    for tune in (False, True):
        torch.manual_seed(0)
        form = Form(path=vit_path, tune=tune, grid=2)
        encoder = Pretrained(form, None, dropout=0.0, plain=tune).eval()
        with torch.no_grad():
            tokens[tune] = encoder(field(form, [True, True, True])).values
            if not tune:
                tokens[tune] = tokens[tune] - encoder.frozen.places
                assert encoder.frozen.places.std() > 0
    assert tokens[True].shape == (3, 4, 16)
    torch.testing.assert_close(tokens[False], tokens[True], atol=5e-3, rtol=0)
    assert (tokens[True][:, 0] - tokens[True][:, 3]).abs().max() > 1e-2
