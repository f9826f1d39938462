"""Frozen outputs of pictures, against calling the model directly."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from polymodal.base.errors import UserError
from polymodal.modalities.image.forms.pretrained import IMAGE, Pretrained, averaging
from polymodal.nn import pretrained, processors
from polymodal.table.media import Media


def media(seed: int) -> tuple[Image.Image, Media]:
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)
    picture = Image.fromarray(pixels)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return picture, Media("a picture", data=stream.getvalue())


@pytest.mark.parametrize("checkpoint", ["vit_path", "resnet_path"])
def test_mean_of_the_models_outputs(checkpoint: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(checkpoint)
    picture, cell = media(0)
    inputs = processors.image_processor(path)(picture, return_tensors="pt")
    with torch.no_grad():
        hidden = pretrained.load(path, IMAGE)(**inputs).last_hidden_state[0]
    mean = hidden.mean(0) if hidden.dim() == 2 else hidden.mean((1, 2))
    encoded = Pretrained(path=path).encode(cell)
    assert encoded.shape == (1, 16) and encoded.dtype == np.float32
    np.testing.assert_allclose(encoded[0], mean.numpy(), atol=1e-5)


def test_many_at_once_are_as_one_by_one(vit_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    form, cells = Pretrained(path=vit_path), [media(i)[1] for i in range(5)]
    monkeypatch.setattr("polymodal.modalities.image.forms.pretrained.BATCH", 2)
    for cell, encoded in zip(cells, form.encode_many(cells), strict=True):
        np.testing.assert_allclose(encoded, form.encode(cell), atol=1e-5)
    assert form.encode_many([]) == []


def test_fingerprint_follows_the_weights_and_not_the_path(vit_path: str, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(vit_path, folder)
    here = Pretrained(path=vit_path).fingerprint
    assert Pretrained(path=str(folder)).fingerprint == here
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    assert Pretrained(path=str(folder)).fingerprint != here


@pytest.mark.parametrize("checkpoint", ["vit_path", "resnet_path"])
@pytest.mark.parametrize("grid", [1, 2, 3])
def test_a_grid_averages_neighbouring_places(
    checkpoint: str, grid: int, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(checkpoint)
    picture, cell = media(0)
    inputs = processors.image_processor(path)(picture, return_tensors="pt")
    with torch.no_grad():
        places = pretrained.load(path, IMAGE)(**inputs).last_hidden_state[0]
    if checkpoint == "vit_path":  # a mark stands before its patches
        side = int((len(places) - 1) ** 0.5)
        places = places[1:].T.reshape(-1, side, side)
    wanted = torch.nn.functional.adaptive_avg_pool2d(places, grid).flatten(1).T
    encoded = Pretrained(path=path, grid=grid).encode(cell)
    assert encoded.shape == (grid * grid, 16) and encoded.dtype == np.float16
    np.testing.assert_allclose(encoded, wanted.numpy(), atol=2e-3)


@pytest.mark.parametrize(
    ("positions", "sides", "patch", "lines", "columns"),
    [
        (50, (224, 224), None, 7, 7),
        (201, (160, 320), None, 10, 20),
        (4, (16, 16), None, 2, 2),
        (6, (8, 24), None, 1, 4),
        # Five marks, which are more than patches; and patches that are joined later.
        (9, (32, 32), 16, 2, 2),
        (49, (224, 224), 4, 7, 7),
    ],
)
def test_places_share_a_picture_out(
    positions: int, sides: tuple[int, int], patch: int | None, lines: int, columns: int
) -> None:
    (whole,) = averaging(positions, sides, 1, patch)
    assert (whole > 0).tolist() == [i >= positions - lines * columns for i in range(positions)]
    np.testing.assert_allclose(whole[-1], 1 / (lines * columns))
    quarters = averaging(positions, sides, 2, patch)
    np.testing.assert_allclose(quarters.sum(1), 1, atol=1e-6)
    # The first lies at the top and to the left, the last at the bottom and to the right.
    assert quarters[0, positions - lines * columns] > 0 and quarters[3, -1] > 0


@pytest.mark.parametrize("grid", [0, -1, 1000])
@pytest.mark.parametrize("tune", [False, True])
def test_a_grid_that_is_none_is_one_clear_error(vit_path: str, grid: int, tune: bool) -> None:
    with pytest.raises(UserError, match=f"no grid of {grid} by {grid}") as caught:
        Pretrained(path=vit_path, tune=tune, grid=grid)
    assert "from 1 to 32" in caught.value.expected
