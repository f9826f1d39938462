"""The speech embedding, against the streaming interface of its own package."""

from __future__ import annotations

import copy
import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polymodal.base.errors import UserError
from polymodal.modalities.audio import embedding
from polymodal.modalities.audio.encoders.pretrained import Pretrained as Encoder
from polymodal.modalities.audio.forms.beside import Beside
from polymodal.modalities.audio.forms.pretrained import Pretrained
from polymodal.modalities.audio.packages.speech_embedding import SpeechEmbedding
from polymodal.nn import checkpoint
from polymodal.table.media import Media

if importlib.util.find_spec(SpeechEmbedding.module) is None:
    pytest.skip(f"{SpeechEmbedding.pip} is not installed", allow_module_level=True)


@pytest.fixture
def path(tmp_path: Path) -> str:
    spec = importlib.util.find_spec(SpeechEmbedding.module)
    assert spec is not None and spec.origin is not None
    SpeechEmbedding().convert(Path(spec.origin).parent, tmp_path)
    return str(tmp_path)


def sound(seconds: float) -> np.ndarray:
    time = np.arange(round(16_000 * seconds)) / 16_000
    sweep = np.sin(2 * np.pi * (200 + 900 * time) * time) * (1 + np.sin(8 * np.pi * time))
    return (0.2 * sweep).astype(np.float32)


def test_its_outputs_are_the_packages_own(path: str) -> None:
    from pyopen_wakeword import OpenWakeWordFeatures

    # Loud at all pitches: how quiet a pitch may count goes by the loudest of what is heard at once.
    samples = (0.1 * np.random.default_rng(0).normal(size=32_000)).astype(np.float32)
    network = Pretrained(path=path).listener
    given = network.prepare(samples)
    heard: Any = Pretrained(path=path)._outputs([given])[0]
    # The package hears in pieces; whole, the same frames lie under an output.
    own = OpenWakeWordFeatures.from_builtin()
    pieces = list(own.process_streaming(given[:, 0].astype(np.int16).tobytes()))
    theirs = np.concatenate([piece.reshape(-1, 96) for piece in pieces])
    likeness = [
        max(float(np.corrcoef(one, other)[0, 1]) for other in theirs[-40:]) for one in heard
    ]
    assert heard.shape == (len(heard), 96) and len(heard) > 10
    assert min(likeness) > 0.98


def test_it_is_frozen_and_travels(path: str, tmp_path: Path) -> None:
    cells = [Media("a sound", values=sound(s)) for s in (0.1, 1.0, 1.7)]
    form = Pretrained(path=path, parts=3)
    together = form.encode_many(cells)
    for cell, array in zip(cells, together, strict=True):
        assert array.shape == (3, 96) and array.dtype == np.float32
        np.testing.assert_allclose(form.encode(cell), array, atol=1e-4)
    checkpoint.copy(path, tmp_path / "run", weights=True)
    moved = Pretrained(path=str(tmp_path / "run"), parts=3)
    assert moved.fingerprint == form.fingerprint
    np.testing.assert_allclose(moved.encode(cells[1]), together[1], atol=1e-4)
    assert Encoder(form, 8).frozen is not None
    with pytest.raises(UserError, match="cannot be trained on"):
        Pretrained(path=path, tune=True)


def test_a_copy_of_a_form_shares_its_network(path: str) -> None:
    # Folds fit copies of their own, and a network outside torch cannot be copied.
    form = Beside(path=path)
    cell = Media("a sound", values=sound(1))
    form.fit([cell])
    first = form.encode(cell)
    copied = copy.deepcopy(form)
    assert copied is not form and copied.plain is not form.plain
    np.testing.assert_array_equal(copied.encode(cell), first)


def test_what_is_missing_or_damaged(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Media("a sound", values=sound(1))
    file = Path(path) / embedding.EMBEDDING
    shutil.copy(file, file.with_suffix(".kept"))
    file.write_bytes(b"not a network")
    with pytest.raises(UserError, match="is damaged"):
        Pretrained(path=path).encode(cell)
    shutil.move(file.with_suffix(".kept"), file)
    monkeypatch.setattr(embedding, "LIBRARIES", "nowhere")
    with pytest.raises(UserError, match="needs the runtime") as caught:
        Pretrained(path=path).encode(cell)
    assert "polymodal[speech]" in caught.value.do
