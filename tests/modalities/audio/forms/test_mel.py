from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import soundfile

from polymodal.base.errors import UserError
from polymodal.modalities.audio.forms.mel import Mel
from polymodal.table.media import Media


def noise(seconds: float, rate: int = 8000, seed: int = 0) -> Media:
    file = io.BytesIO()
    samples = np.random.default_rng(seed).normal(scale=0.1, size=round(seconds * rate))
    soundfile.write(file, samples, rate, format="WAV")
    return Media("a", data=file.getvalue())


def test_one_frame_every_hop() -> None:
    found = Mel(rate=8000, mels=40).encode(noise(0.5))
    assert found.shape == (51, 40) and found.dtype == np.float32
    assert Mel(rate=8000, mels=40, hop_ms=20).encode(noise(0.5)).shape == (26, 40)


def test_truncation_is_visible() -> None:
    form = Mel(rate=8000, seconds=0.5)
    long, short = noise(0.6), noise(0.5)
    assert form.was_truncated(long) and not form.was_truncated(short)
    assert len(form.encode(long)) == len(form.encode(short)) == 51
    whole = Mel(rate=8000, seconds=1)
    assert not whole.was_truncated(long)
    # What is left out changes nothing of what is kept, but for the frames at the cut.
    np.testing.assert_allclose(form.encode(long)[:49], whole.encode(long)[:49], atol=1e-4)


@pytest.mark.parametrize(
    "options", [{"rate": 4000}, {"mels": 32}, {"hop_ms": 5}, {"seconds": 0.1}], ids=str
)
def test_every_option_changes_the_answer_and_the_fingerprint(options: dict[str, Any]) -> None:
    usual, other = Mel(rate=8000), Mel(**{"rate": 8000, **options})
    a, b = usual.encode(noise(0.5)), other.encode(noise(0.5))
    assert a.shape != b.shape or not np.allclose(a, b)
    assert usual.fingerprint != other.fingerprint


@pytest.mark.parametrize("options", [{"rate": 0}, {"mels": 0}, {"hop_ms": 0}, {"seconds": 0}])
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(options))):
        Mel(**options)


def test_suggested_options() -> None:
    bad, array = Media("a", data=b"no sound"), Media("a", values=np.zeros(9))
    sounds = [noise(0.4), noise(0.7), noise(0.7, 44_100), bad, array]
    assert Mel.suggest(sounds) == {"rate": 8000, "seconds": 2}
    assert Mel.suggest([noise(20, 44_100)]) == {"rate": 16_000, "seconds": 30}
    assert Mel.suggest([bad, array]) == {}
