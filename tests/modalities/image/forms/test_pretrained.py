"""Frozen outputs of pictures, against calling the model directly."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from polymodal.modalities.image.forms.pretrained import IMAGE, Pretrained
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
