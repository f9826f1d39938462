from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from polymodal.base.errors import UserError
from polymodal.modalities.audio import decode as _decode
from polymodal.modalities.audio.decode import header, is_longer, waveform
from polymodal.table.media import Media
from polymodal.table.resolve import resolve

RATE = 16_000


def tone(seconds: float = 0.5, rate: int = RATE, hertz: float = 440.0) -> np.ndarray[Any, Any]:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def encoded(samples: np.ndarray[Any, Any], rate: int = RATE, format: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format)
    return file.getvalue()


def contained(format: str, codec: str, samples: np.ndarray[Any, Any], rate: int) -> bytes:
    """`samples` mono in a container that libsndfile does not read."""
    file = io.BytesIO()
    write(av.open(file, "w", format=format), codec, samples, rate)
    return file.getvalue()


def write(container: Any, codec: str, samples: np.ndarray[Any, Any], rate: int) -> None:
    with container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), "fltp", "mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def silent_film() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 16
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return file.getvalue()


def pitch(samples: np.ndarray[Any, Any], rate: int) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples))


@pytest.mark.parametrize("format", ["WAV", "FLAC", "AIFF", "OGG", "MP3"])
def test_formats_of_libsndfile(format: str) -> None:
    samples = waveform(Media("a", data=encoded(tone(), format=format)), RATE, 30)
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(RATE // 2, abs=1)
    assert pitch(samples, RATE) == pytest.approx(440, abs=3)
    if format in ("WAV", "FLAC", "AIFF"):
        np.testing.assert_allclose(samples, tone(), atol=1e-4)


@pytest.mark.parametrize(
    ("format", "codec", "rate"), [("mp4", "aac", 16_000), ("matroska", "pcm_s16le", 8000)]
)
def test_containers_of_pyav(format: str, codec: str, rate: int) -> None:
    media = Media("a", data=contained(format, codec, tone(1, rate), rate))
    assert header(media).rate == rate
    samples = waveform(media, rate, 30)
    assert len(samples) == pytest.approx(rate, rel=0.15)  # AAC pads to whole frames
    assert pitch(samples, rate) == pytest.approx(440, abs=3)
    assert len(waveform(media, rate, 0.25)) == rate // 4


def test_channels_are_averaged() -> None:
    both = np.stack([tone(), -0.5 * tone()], 1)
    samples = waveform(Media("a", data=encoded(both)), RATE, 30)
    np.testing.assert_allclose(samples, 0.25 * tone(), atol=1e-4)


@pytest.mark.parametrize(("native", "rate"), [(8000, 16_000), (44_100, 16_000), (16_000, 8000)])
def test_resampling_keeps_pitch_and_duration(native: int, rate: int) -> None:
    samples = waveform(Media("a", data=encoded(tone(1, native), native)), rate, 30)
    assert len(samples) == pytest.approx(rate, abs=1)
    inside = slice(rate // 10, -rate // 10)  # filters ring at the ends
    np.testing.assert_allclose(samples[inside], tone(1, rate)[: len(samples)][inside], atol=0.01)


def test_only_the_first_seconds_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(tone(2)))
    media = Media("a", path=str(path))
    np.testing.assert_allclose(waveform(media, RATE, 0.25), tone(0.25), atol=1e-4)
    assert is_longer(media, RATE, 1.9)
    assert not is_longer(media, RATE, 2.0)


def test_arrays_in_the_table() -> None:
    as_float = Media("a", values=tone())
    as_int = Media("a", values=np.round(32_768 * tone()).astype(np.int16))
    np.testing.assert_allclose(waveform(as_float, RATE, 30), tone(), atol=1e-6)
    np.testing.assert_allclose(waveform(as_int, RATE, 30), tone(), atol=1e-4)
    assert len(waveform(as_float, RATE, 0.1)) == RATE // 10
    assert is_longer(as_float, RATE, 0.1) and not is_longer(as_float, RATE, 0.5)


def test_hugging_face_arrays_keep_their_own_rate() -> None:
    media = resolve({"array": tone(1, 8000), "sampling_rate": 8000}, None, "a")
    assert media is not None and header(media).rate == 8000
    assert pitch(waveform(media, RATE, 30), RATE) == pytest.approx(440, abs=2)


def test_a_part_of_a_file(tmp_path: Path) -> None:
    data = encoded(tone())
    path = tmp_path / "shard.tar"
    path.write_bytes(b"x" * 512 + data + b"y" * 512)
    media = Media("a", path=str(path), offset=512, size=len(data))
    np.testing.assert_allclose(waveform(media, RATE, 30), tone(), atol=1e-4)


def with_size(data: bytes, size: int) -> bytes:
    """A WAV whose data chunk claims `size` bytes."""
    at = data.index(b"data") + 4
    return data[:at] + struct.pack("<I", size) + data[at + 4 :]


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def nan_wav() -> bytes:
    file = io.BytesIO()
    samples = tone()
    samples[7] = np.nan
    soundfile.write(file, samples, RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "text named .wav": (lambda: b"this is no sound at all\n" * 40, "not a sound"),
    "no bytes": (lambda: b"", "empty"),
    "header only": (lambda: encoded(tone())[:44], "truncated"),
    "half a WAV": (lambda: half(encoded(tone())), "truncated"),
    "half an AIFF": (lambda: half(encoded(tone(), format="AIFF")), "truncated"),
    "half a FLAC": (lambda: half(encoded(tone(), format="FLAC")), "truncated"),
    "half an MP3": (lambda: half(encoded(tone(), format="MP3")), "truncated"),
    "half an M4A": (lambda: half(contained("mp4", "aac", tone(), RATE)), "not a sound"),
    "no samples": (lambda: encoded(np.zeros(0)), "no samples"),
    "no audio stream": (silent_film, "no audio stream"),
    "NaN": (nan_wav, "not finite"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_sounds_are_named_and_explained(case: str) -> None:
    make, message = BAD[case]
    with pytest.raises(UserError, match=message) as error:
        waveform(Media("row 12, column 'a'", data=make()), RATE, 30)
    assert "row 12, column 'a'" in str(error.value)


def test_half_of_a_streamed_film(tmp_path: Path) -> None:
    # Its index comes first, so that what there is of the sound can be decoded.
    path = tmp_path / "a.mov"
    write(av.open(path, "w", options={"movflags": "faststart"}), "pcm_s16le", tone(3), RATE)
    media = Media("a", path=str(path))
    assert len(waveform(media, RATE, 30)) == 3 * RATE
    path.write_bytes(half(path.read_bytes()))
    with pytest.raises(UserError, match=r"truncated sound(.|\n)*of 3\.. seconds"):
        waveform(media, RATE, 30)
    assert len(waveform(media, RATE, 0.5)) == RATE // 2  # what is asked for is there


def test_nan_says_where() -> None:
    with pytest.raises(UserError, match="the first at sample 7"):
        waveform(Media("a", data=nan_wav()), RATE, 30)


@pytest.mark.parametrize("values", [np.zeros((2, 5, 3)), np.zeros((2, 50)), [[1, 2], [3]], ["a"]])
def test_arrays_that_are_no_sound(values: Any) -> None:
    with pytest.raises(UserError, match="not a list of samples"):
        waveform(Media("a", values=values), RATE, 30)


def test_a_stream_of_unknown_length_is_not_truncated() -> None:
    data = with_size(encoded(tone()), 0xFFFFFFFF)
    np.testing.assert_allclose(waveform(Media("a", data=data), RATE, 30), tone(), atol=1e-4)


def test_ten_hours_are_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.wav"
    start = encoded(np.zeros(8), 100)
    size = 10 * 3600 * 100 * 2
    with open(path, "wb") as file:  # sparse: no bytes on the disk
        file.write(with_size(start, size)[:44])
        file.truncate(44 + size)

    def decode(*_: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(_decode, "_soundfile", decode)
    with pytest.raises(UserError, match=r"10\.0 hours") as error:
        waveform(Media("a", path=str(path)), RATE, 30)
    assert "cut it into shorter files" in str(error.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        waveform(Media("a", path=str(tmp_path / "no.wav")), RATE, 30)
