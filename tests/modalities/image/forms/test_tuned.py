"""Pictures cut as a model's processor cuts them."""

from __future__ import annotations

import io
import pickle
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polymodal.base.errors import UserError
from polymodal.modalities.image.forms.pretrained import Pretrained
from polymodal.nn import processors
from polymodal.table.media import Media

Tuned = partial(Pretrained, tune=True)


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def media(picture: Image.Image) -> Media:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return Media("a picture", data=stream.getvalue())


@pytest.mark.parametrize("size", [(16, 16), (50, 30), (8, 40)])
def test_bytes_are_those_of_the_processor(size: tuple[int, int], vit_path: str) -> None:
    picture = noise(*size)
    encoded = Tuned(path=vit_path).encode(media(picture))
    assert encoded.shape == (16, 16, 3) and encoded.dtype == np.uint8
    processed = processors.image_processor(vit_path)(picture, return_tensors="np")["pixel_values"]
    shift, scale = processors.normalisation(vit_path)
    ours = (encoded.astype(np.float32) - shift) * scale
    np.testing.assert_allclose(ours.transpose(2, 0, 1), processed[0], atol=1e-5)


def test_fingerprint_goes_by_content(vit_path: str, tmp_path: Path) -> None:
    shutil.copytree(vit_path, tmp_path / "copy")
    form, moved = (
        Tuned(path=vit_path),
        Tuned(path=str(tmp_path / "copy")),
    )
    assert form.fingerprint == moved.fingerprint
    config = tmp_path / "copy" / "preprocessor_config.json"
    config.write_text(config.read_text().replace("16", "24"))
    assert Tuned(path=str(tmp_path / "copy")).fingerprint != form.fingerprint


def test_it_travels_to_other_processes(vit_path: str) -> None:
    form, cell = Tuned(path=vit_path), media(noise(9, 9))
    encoded = form.encode(cell)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(form)).encode(cell), encoded)


def test_what_is_no_picture_is_refused(vit_path: str) -> None:
    with pytest.raises(UserError, match=r"notes\.png"):
        Tuned(path=vit_path).encode(Media("notes.png", data=b"some text"))
