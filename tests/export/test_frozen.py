"""Pretrained models that go along: their graphs and what prepares cells give the forms' arrays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.form import Form
from polymodal.contract.kind import kinds
from polymodal.export import bundle, frozen, parity
from polymodal.export.export import MANIFEST, _form, _write_sources
from polymodal.table.media import Media

FORMS = [
    f"polymodal.modalities.{kind}.forms.pretrained"
    for kind in kinds()
    if "pretrained" in lookup.names(f"modalities/{kind}/forms")
]


def picture(width: int, height: int) -> Media:
    pixels = np.random.default_rng(width).integers(0, 255, (height, width, 3), np.uint8)
    return Media("a picture", values=pixels)


def clip(frames: int) -> Media:
    rng = np.random.default_rng(frames)
    return Media("a clip", values=rng.integers(0, 255, (frames, 20, 30, 3), np.uint8))


def sound(samples: int) -> Media:
    values = np.random.default_rng(samples).normal(size=samples).astype(np.float32)
    return Media("a sound", values=values)


def series(steps: int) -> Media:
    return Media("a series", values=np.random.default_rng(steps).normal(size=(steps, 2)))


CELLS: dict[str, list[Any]] = {
    "text": ["good", "It came late, and was broken.", "fine dog " * 40, "the red car"],
    "image": [picture(30, 20), picture(9, 40), picture(16, 16), picture(70, 50)],
    "video": [clip(4), clip(9), clip(3)],
    "audio": [sound(900), sound(70), sound(2500)],
    "series": [series(64), series(10), series(30)],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported package of every kind's form of pretrained models."""
    folder = tmp_path_factory.mktemp("copied")
    along = bundle.sources(["polymodal.export.package.by_onnx", bundle.MODEL, *FORMS])
    along.files[bundle.path_of(bundle.SCRIPT)] = ""
    _write_sources(folder, along)
    (folder / bundle.COPY / MANIFEST).write_text(json.dumps({}))
    return folder / bundle.COPY


def form_of(kind: str, path: str, **options: Any) -> Form:
    found: Form = lookup.build(
        f"modalities/{kind}/forms", {"name": "pretrained", "path": path, **options}
    )
    found.fit(CELLS[kind])
    return found


@pytest.mark.whole
@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        ("text", "bert", {}),
        ("text", "bert", {"tune": True}),
        ("image", "dinov2", {}),
        ("video", "resnet", {"frames": 3}),
        ("audio", "wav2vec2", {"parts": 2}),
        ("series", "patchtst", {}),
    ],
)
def test_arrays_are_those_of_the_run(
    kind: str,
    name: str,
    options: dict[str, Any],
    model: Path,
    checkpoint: Callable[[str], str],
    tmp_path: Path,
) -> None:
    form, cells = form_of(kind, checkpoint(name), **options), CELLS[kind]
    frozen.write(form, tmp_path / "models" / "0", "onnx", cells[:2])
    described = _form(form, {id(form): "models/0"})
    with parity.imported(model) as module:
        there = module.form(described, tmp_path, 1)
        assert type(there).__module__.startswith(bundle.COPY)
        found = there.encode_many(cells)
        one = there.encode(cells[-1])
    for own, other in zip(form.encode_many(cells), found, strict=True):
        assert own.dtype == other.dtype
        np.testing.assert_allclose(other, own, atol=1e-5)
    np.testing.assert_allclose(one, found[-1], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "name", "what"),
    [
        ("audio", "whisper", "prepared by transformers alone"),
        ("video", "videomae", "with its own _preprocess"),
    ],
)
def test_what_transformers_alone_prepares_is_refused(
    kind: str, name: str, what: str, checkpoint: Callable[[str], str], tmp_path: Path
) -> None:
    form = form_of(kind, checkpoint(name))
    with pytest.raises(UserError, match=f"(?s)transformers alone.*{what}|{what}"):
        frozen.write(form, tmp_path / "0", "onnx", CELLS[kind])


def test_pictures_are_cut_as_transformers_cuts_them(checkpoint: Callable[[str], str]) -> None:
    from polymodal.export.package.processors import Pictures
    from polymodal.nn import processors

    for name in ("dinov2", "clip", "vit"):
        theirs = processors.image_processor(checkpoint(name))
        ours = Pictures(processors.spelled(theirs, checkpoint(name)))
        assert processors.side(ours) == processors.side(theirs)
        for size in ((30, 21), (9, 40), (16, 16), (5, 5)):
            given = Image.fromarray(picture(*size).values)
            for options in ({}, {"do_rescale": False, "do_normalize": False}):
                wanted = theirs(given, return_tensors="np", **options)["pixel_values"]
                found = ours(given, **options)["pixel_values"]
                np.testing.assert_allclose(found, wanted, atol=1e-5)
