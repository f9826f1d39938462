from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.modalities.audio import spectrum as _spectrum
from polymodal.modalities.audio.spectrum import RANGE, log_mel, mel_filters


@pytest.mark.parametrize(("rate", "mels"), [(16_000, 64), (8_000, 40), (22_050, 80)])
def test_parity_with_transformers(rate: int, mels: int) -> None:
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    samples = np.random.default_rng(0).normal(scale=0.1, size=rate // 2).astype(np.float32)
    length, hop, filters = round(0.025 * rate), rate // 100, mel_filters(rate, mels)
    theirs = spectrogram(
        samples,
        window_function(length, "hann"),
        frame_length=length,
        hop_length=hop,
        fft_length=2 * (len(filters) - 1),
        power=2.0,
        pad_mode="constant",
        mel_filters=mel_filter_bank(len(filters), mels, 0, rate / 2, rate, mel_scale="htk"),
        log_mel="log",
    )
    ours = log_mel(samples, rate, mels, hop)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs.T, atol=1e-4)


@given(st.sampled_from([1000, 8000, 11_025, 16_000, 44_100, 48_000]), st.integers(1, 200))
@settings(max_examples=30, deadline=None)
def test_every_filter_hears_something(rate: int, mels: int) -> None:
    assert (mel_filters(rate, mels).sum(0) > 0).all()


def test_a_tone_is_loudest_in_the_band_around_it() -> None:
    rate, mels = 16_000, 64
    centres = mel_filters(rate, mels).argmax(0) * rate / 2 / (len(mel_filters(rate, mels)) - 1)
    for tone in (300.0, 1000.0, 5000.0):
        samples = np.sin(2 * np.pi * tone * np.arange(rate) / rate)
        loudest = log_mel(samples, rate, mels, 160)[50].argmax()
        assert abs(centres[loudest] - tone) == np.abs(centres - tone).min()


def test_ten_times_the_amplitude_is_20_db_in_every_band() -> None:
    samples = np.random.default_rng(0).normal(scale=0.01, size=4000)
    change = log_mel(10 * samples, 8000, 40, 80) - log_mel(samples, 8000, 40, 80)
    np.testing.assert_allclose(change, np.log(100), atol=1e-3)


def test_long_sounds_are_transformed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(0).normal(size=4000)
    whole = log_mel(samples, 8000, 40, 80)
    monkeypatch.setattr(_spectrum, "BLOCK", 7)
    np.testing.assert_allclose(log_mel(samples, 8000, 40, 80), whole, rtol=1e-6)


def test_silence_is_no_lower_than_the_range() -> None:
    samples = np.zeros(8000)
    samples[:2000] = np.random.default_rng(0).normal(size=2000)
    found = log_mel(samples, 8000, 40, 80)
    assert found.max() - found.min() == pytest.approx(RANGE / 10 * np.log(10), abs=1e-4)


@pytest.mark.parametrize("count", [1, 2, 100, 200, 201])
def test_sounds_shorter_than_a_window_have_frames(count: int) -> None:
    found = log_mel(np.ones(count), 8000, 40, 80)
    assert found.shape == (1 + count // 80, 40)
    assert np.isfinite(found).all()
