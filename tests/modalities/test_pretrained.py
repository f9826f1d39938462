"""Every architecture through the one door: frozen and trained on, alone and in a batch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.nn.checkpoint import MARKS, VOCABULARY
from polymodal.prepared.encode import encode_here
from polymodal.table.media import Media

ARCHITECTURES = [
    *(("text", name) for name in ("bert", "gpt2", "clip", "siglip")),
    *(("image", name) for name in ("vit", "resnet", "dinov2", "clip", "siglip")),
    *(("audio", name) for name in ("wav2vec2", "hubert", "whisper", "ast")),
    *(("video", name) for name in ("videomae", "timesformer", "vit")),
    ("series", "patchtst"),
]
every_architecture = pytest.mark.parametrize(("kind", "name"), ARCHITECTURES)


def cells(kind: str) -> list[Any]:
    """Three of different lengths, where there are lengths."""
    rng = np.random.default_rng(0)
    if kind == "text":
        return ["the quick brown fox", "Anna sees the red house in London", "dog"]

    def media(values: np.ndarray) -> Media:
        return Media(kind, values=values)

    if kind == "image":
        return [media(rng.integers(0, 256, (20, 16, 3), np.uint8)) for _ in range(3)]
    if kind == "audio":
        # Another loudness each: what a model does to all of a sound alike must not mix rows.
        return [
            media((v * rng.normal(size=n)).astype(np.float32))
            for v, n in ((0.1, 900), (0.5, 1500), (0.01, 700))
        ]
    if kind == "video":
        return [media(rng.integers(0, 256, (n, 16, 16, 3), np.uint8)) for n in (5, 4, 3)]
    return [media(rng.normal(size=(n, 2)).cumsum(0)) for n in (16, 9, 30)]


@pytest.fixture
def build(checkpoint: Callable[[str], str], bert_path: str) -> Callable[..., tuple[Form, Encoder]]:
    def make(kind: str, name: str, tune: bool) -> tuple[Form, Encoder]:
        path = checkpoint(name)
        if kind == "text" and name not in ("bert", "gpt2"):
            for pattern in (*VOCABULARY, *MARKS):
                for file in Path(bert_path).glob(pattern):
                    shutil.copy(file, path)
        form = lookup.build(
            f"modalities/{kind}/forms", {"name": "pretrained", "path": path, "tune": tune}
        )
        form.fit(cells(kind))
        torch.manual_seed(0)
        encoder = lookup.build(f"modalities/{kind}/encoders", "pretrained", form, 8)
        return form, encoder.eval()

    return make


def collated(arrays: list[np.ndarray], ragged: bool, more: int = 0) -> Field:
    """Rows as one field, `more` positions longer than they need; noise where nothing is real."""
    present = torch.ones(len(arrays), dtype=torch.bool)
    if not ragged:
        return Field(torch.from_numpy(np.stack(arrays)), None, present)
    lengths = torch.tensor([len(array) for array in arrays])
    longest = int(lengths.max()) + more
    data = np.ones((len(arrays), longest, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in zip(data, arrays, strict=True):
        row[: len(array)] = array
    return Field(torch.from_numpy(data), torch.arange(longest) < lengths.unsqueeze(1), present)


def real(tokens: Tokens, row: int) -> torch.Tensor:
    return tokens.values[row][tokens.mask[row]]


@every_architecture
def test_frozen_outputs_are_the_same_one_by_one(kind: str, name: str, build: Any) -> None:
    form, encoder = build(kind, name, False)
    together = form.encode_many(cells(kind))
    for cell, array in zip(cells(kind), together, strict=True):
        assert array.dtype == np.float32 and array.shape[-1] == 16 and np.isfinite(array).all()
        np.testing.assert_allclose(form.encode(cell), array, atol=2e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3
    field = collated(together, form.ragged)
    encoder.adapt([field])
    tokens = encoder(field)
    assert tokens.values.shape == (3, len(together[0]), 8) and tokens.mask.all()


@every_architecture
@torch.no_grad()
def test_padding_and_neighbours_change_nothing(kind: str, name: str, build: Any) -> None:
    form, encoder = build(kind, name, True)
    arrays = form.encode_many(cells(kind))
    together = encoder(collated(arrays, form.ragged))
    # Of pieces no more are ever padded than a model has positions.
    padded = encoder(collated(arrays, form.ragged, more=5 if kind == "text" else 37))
    for row, array in enumerate(arrays):
        alone = real(encoder(collated([array], form.ragged)), 0)
        assert alone.shape[1] == 8 and len(alone)
        torch.testing.assert_close(real(together, row), alone, atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(real(padded, row), alone, atol=2e-5, rtol=1e-4)


@every_architecture
def test_a_step_trains_the_backbone(kind: str, name: str, build: Any) -> None:
    form, encoder = build(kind, name, True)
    field = collated(form.encode_many(cells(kind)), form.ragged)
    if kind != "text":
        field.present[2] = False
    encoder.train()
    before = {n: p.detach().clone() for n, p in encoder.named_parameters()}
    optimizer = torch.optim.SGD(encoder.parameters(), 0.1)
    values = encoder(field.masked()).mean()
    (values - torch.arange(8.0)).square().mean().backward()
    optimizer.step()
    moved = {n for n, p in encoder.named_parameters() if not torch.equal(p, before[n])}
    assert all(p.isfinite().all() for p in encoder.parameters())
    backbones = [m for m in encoder.modules() if getattr(m, "is_backbone", False)]
    assert len(backbones) == 1
    inside = {id(p) for p in backbones[0].parameters()}
    of_backbone = {n for n, p in encoder.named_parameters() if id(p) in inside}
    assert len(moved & of_backbone) > len(of_backbone) / 2


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("text", "vit"),
        ("image", "bert"),
        ("image", "videomae"),
        ("image", "wav2vec2"),
        ("audio", "bert"),
        ("audio", "vit"),
        ("video", "gpt2"),
        ("video", "whisper"),
        ("series", "bert"),
        ("series", "videomae"),
    ],
)
@pytest.mark.parametrize("tune", [False, True])
def test_a_model_of_another_kind_is_refused(
    kind: str, name: str, tune: bool, checkpoint: Callable[[str], str]
) -> None:
    spec = {"name": "pretrained", "path": checkpoint(name), "tune": tune}

    def used() -> None:
        form = lookup.build(f"modalities/{kind}/forms", spec)
        form.fit(cells(kind))
        form.encode(cells(kind)[0])
        lookup.build(f"modalities/{kind}/encoders", "pretrained", form, 8)

    with pytest.raises(UserError) as caught:
        used()
    assert checkpoint(name) in caught.value.what and caught.value.do


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("text", "bert"),
        ("image", "vit"),
        ("audio", "hubert"),
        ("video", "vit"),
        ("series", "patchtst"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_no_fault_of_the_cells(
    kind: str, name: str, checkpoint: Callable[[str], str], tmp_path: Path
) -> None:
    path = shutil.copytree(checkpoint(name), tmp_path / "model")
    save_file({"other": torch.zeros(1)}, path / "model.safetensors")
    form = lookup.build(f"modalities/{kind}/forms", {"name": "pretrained", "path": str(path)})
    form.fit(cells(kind))
    with pytest.raises(UserError, match=r"do not fit its config\.json"):
        encode_here(cells(kind), form)
