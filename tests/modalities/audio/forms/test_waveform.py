from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import soundfile

from polymodal.base.errors import UserError
from polymodal.modalities.audio.forms.waveform import Waveform
from polymodal.table.media import Media


def tone(seconds: float, rate: int = 8000) -> Media:
    time = np.arange(round(seconds * rate)) / rate
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.5 * np.sin(2 * np.pi * 440 * time), rate, "FLOAT", format="WAV")
    return Media("tone", data=buffer.getvalue())


def test_samples_at_the_forms_own_rate() -> None:
    found = Waveform().encode(tone(0.5))
    assert found.shape == (8000, 1) and found.dtype == np.float32
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16_000)
    # Resampling rings at both ends.
    np.testing.assert_allclose(found[400:-400, 0], wanted[400:-400], atol=5e-3)


def test_an_array_is_taken_as_it_is() -> None:
    samples = np.linspace(-1, 1, 100)
    found = Waveform().encode(Media("array", values=samples))
    np.testing.assert_allclose(found[:, 0], samples, atol=1e-6)


def test_what_is_longer_is_cut() -> None:
    form, long, short = Waveform(seconds=0.25), tone(0.5), tone(0.2)
    assert len(form.encode(long)) == pytest.approx(4000, abs=2)
    assert form.was_truncated(long) and not form.was_truncated(short)


def test_options_suit_the_data() -> None:
    assert Waveform.suggest([tone(0.5), tone(0.7)]) == {"rate": 8000, "seconds": 2}


@pytest.mark.parametrize("options", [{"rate": 999}, {"seconds": 0.0}])
def test_options_that_are_too_small(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="too small"):
        Waveform(**options)
