"""The speaker encoder, by random weights in the form of its package, and by its own if there."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from polymodal.modalities.audio.forms.pretrained import Pretrained
from polymodal.modalities.audio.packages.speaker import BANDS, HEARD, STEP, WIDTH, Speaker
from polymodal.modalities.audio.packages.speaker import _Network as Network
from polymodal.nn import checkpoint
from polymodal.table.media import Media


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Converted from a file as the package's, of random weights."""
    torch.manual_seed(0)
    state = Network().state_dict() | {"similarity_weight": torch.ones(1)}
    torch.save({"step": 1, "model_state": state}, tmp_path / "pretrained.pt")
    (tmp_path / "made").mkdir()
    Speaker().convert(tmp_path, tmp_path / "made")
    return str(tmp_path / "made")


def sound(seconds: float, hertz: float, loudness: float = 0.1) -> np.ndarray:
    time = np.arange(round(16_000 * seconds)) / 16_000
    return (loudness * np.sign(np.sin(2 * np.pi * hertz * time))).astype(np.float32)


def test_an_output_is_the_networks_of_its_frames(path: str) -> None:
    form = Pretrained(path=path)
    frames = form.listener.prepare(sound(3.0, 180))
    assert frames.shape == (301, BANDS)
    outputs = form._outputs([frames])[0]
    # Frames 0, 77 and 154 begin one; there the last has 147 of its 160, more than three quarters.
    assert len(outputs) == 3
    network = form.listener.network()
    assert isinstance(network, Network) and isinstance(network.lstm, nn.LSTM)
    with torch.no_grad():
        part = torch.from_numpy(frames[STEP : STEP + HEARD])
        last = network.lstm(part.unsqueeze(0))[1][0][-1]
        expected = torch.relu(network.linear(last))[0]
    np.testing.assert_allclose(outputs[1], (expected / expected.norm()).numpy(), atol=1e-5)
    assert outputs.shape[1] == WIDTH


def test_quiet_sounds_are_made_louder_and_silence_stays(path: str) -> None:
    prepare = Pretrained(path=path).listener.prepare
    quiet, quieter = (prepare(sound(1, 200, v)) for v in (1e-2, 1e-3))
    np.testing.assert_allclose(quiet, quieter, rtol=1e-4)
    assert prepare(sound(1, 200, 0.4)).sum() > 10 * quiet.sum()
    assert not prepare(np.zeros(8000, np.float32)).any()


def test_it_is_one_by_one_what_it_is_together(path: str) -> None:
    form = Pretrained(path=path)
    cells = [Media("a sound", values=sound(s, 150)) for s in (0.2, 2.0, 3.5)]
    for cell, array in zip(cells, form.encode_many(cells), strict=True):
        assert array.shape == (1, WIDTH)
        np.testing.assert_allclose(form.encode(cell), array, atol=1e-5)


@pytest.mark.skipif(
    importlib.util.find_spec(Speaker.module) is None, reason="Resemblyzer is not installed"
)
def test_the_packages_own_weights_are_taken(tmp_path: Path) -> None:
    spec = importlib.util.find_spec(Speaker.module)
    assert spec is not None and spec.origin is not None
    Speaker().convert(Path(spec.origin).parent, tmp_path)
    checkpoint.check_weights(str(tmp_path))
    form = Pretrained(path=str(tmp_path))
    low, lower, high = (form.encode(Media("s", values=sound(2, h)))[0] for h in (110, 112, 230))
    assert low @ lower > low @ high
