"""Rendered files read back by other libraries than the ones that wrote them."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
import soundfile

from polymodal.builtin import _render


def test_mp4_keeps_frames_and_grey_levels():
    smooth = [_render.disc(0.2 + 0.1 * i, 0.5, 0.2, 32, (30, 220)) for i in range(7)]
    frames = np.stack(smooth)
    with av.open(io.BytesIO(_render.mp4(frames))) as container:
        read = np.stack([f.to_ndarray(format="gray") for f in container.decode(video=0)])
    assert read.shape == frames.shape
    assert np.abs(read.astype(int) - frames).mean() < 4


def test_wav_is_16_bit_mono_at_8_khz():
    samples = np.linspace(-1, 1, 4001)
    read, rate = soundfile.read(io.BytesIO(_render.wav(samples)), dtype="int16")
    assert rate == 8000
    assert read.shape == (4001,)
    np.testing.assert_array_equal(read, np.rint(samples * 32767))


def test_npy_is_read_without_pickle():
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    read = np.load(io.BytesIO(_render.npy(values)), allow_pickle=False)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("shape", _render.SHAPES)
@pytest.mark.parametrize("colour", _render.COLOURS)
def test_a_thing_stands_where_it_was_put_in_its_colour(shape, colour):
    thing = _render.Thing(shape, colour, x=0.3, y=0.6, radius=0.15, angle=0.2)
    pixels = _render.picture([thing], 64, np.random.default_rng(1)).astype(int)
    drawn = np.abs(pixels - pixels[0, 0]).sum(2) > 60
    rows, columns = np.nonzero(drawn)
    assert columns.mean() / 64 == pytest.approx(0.3, abs=0.03)
    assert rows.mean() / 64 == pytest.approx(0.6, abs=0.03)
    assert np.abs(pixels[38, 19] - _render.COLOURS[colour]).max() <= 18


def test_beeps_sound_at_their_pitch_and_only_when_they_should():
    rng = np.random.default_rng(2)
    samples = _render.beeps(700, (0.1, 0.4), 0.8, rng, hiss=0.001)
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() * 8000 / len(samples) == pytest.approx(700, abs=5)
    loud = np.abs(samples.reshape(8, 800)).max(1) > 0.1
    assert loud.tolist() == [False, True, False, False, True, False, False, False]


def test_drift_points_in_its_direction():
    moved = _render.drift((0, -1, 0), 40, np.random.default_rng(3), noise=0.0)
    assert moved.shape == (40, 3)
    assert moved[:, 1].min() < -0.7
    assert not moved[:, [0, 2]].any()
