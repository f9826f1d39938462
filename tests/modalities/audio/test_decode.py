"""Sounds whose files say less than they hold, or more; and files that ask for others."""

from __future__ import annotations

import io
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from polymodal.base.errors import UserError
from polymodal.modalities.audio.decode import header, is_longer, waveform
from polymodal.modalities.audio.forms.mel import Mel
from polymodal.table.media import Media

RATE = 16_000
NOISE = (0.3 * np.random.default_rng(0).standard_normal(4 * RATE)).clip(-1, 1).astype(np.float32)
# Much to say at first and nothing later, and the other way round.
FALLING = np.where(np.arange(len(NOISE)) < RATE, NOISE, 0).astype(np.float32)
RISING = FALLING[::-1].copy()


def encoded(samples: np.ndarray, format: str, codec: str, title: str = "", **how: str) -> bytes:
    file = io.BytesIO()
    options = {"write_xing": "0", "id3v2_version": "0"} if format == "mp3" else {}
    with av.open(file, "w", format=format, options=options) as container:
        if title:
            container.metadata["title"] = title
        stream = container.add_stream(codec, rate=RATE, layout="mono", options=how)
        for start in range(0, len(samples), 1024):
            part = np.ascontiguousarray(samples[None, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(part, "fltp", "mono")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def variable(samples: np.ndarray) -> bytes:
    """An MP3 of variable bit rate without the header that counts its frames."""
    return encoded(samples, "mp3", "libmp3lame", global_quality="200", flags="qscale")


def of_libsndfile(format: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, NOISE, RATE, format=format)
    return file.getvalue()


def uncounted_flac() -> bytes:
    """As an encoder that writes to a pipe leaves it."""
    content = bytearray(of_libsndfile("FLAC"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    return bytes(content)


def unfinished_wav() -> bytes:
    content = of_libsndfile("WAV")
    at = content.index(b"data") + 4
    return content[:at] + bytes(4) + content[at + 4 :]


WHOLE: dict[str, tuple[Callable[[], bytes], float]] = {
    "MP3 without a header, quiet later": (lambda: variable(FALLING), 4),
    "MP3 without a header, loud later": (lambda: variable(RISING), 4),
    "two MP3s in one": (lambda: variable(FALLING) + variable(RISING), 8),
    "AAC without a container": (lambda: encoded(FALLING, "adts", "aac"), 4),
    "chained Ogg": (lambda: 2 * of_libsndfile("OGG"), 8),
    "FLAC from a pipe": (uncounted_flac, 4),
    "WAV that was not finished": (unfinished_wav, 4),
    "Matroska without a length": (lambda: encoded(RISING, "matroska", "libopus"), 4),
}


@pytest.mark.parametrize("case", WHOLE)
def test_all_is_read_whatever_the_file_says(case: str) -> None:
    make, seconds = WHOLE[case]
    content = make()
    media = Media("row 1", data=content)
    with av.open(io.BytesIO(content)) as container:
        by_ffmpeg = sum(f.samples / f.sample_rate for f in container.decode(audio=0))
    samples = waveform(media, RATE, 30)
    assert len(samples) / RATE == pytest.approx(seconds, abs=0.25)
    assert len(samples) / RATE == pytest.approx(by_ffmpeg, abs=0.1)
    assert header(media).seconds == pytest.approx(seconds, abs=0.25)
    assert is_longer(media, RATE, seconds - 0.5) and not is_longer(media, RATE, seconds + 0.3)
    assert Mel.suggest([media])["seconds"] >= seconds


def test_an_mp3_is_read_as_libsndfile_reads_it() -> None:
    content = of_libsndfile("MP3")
    expected, _ = soundfile.read(io.BytesIO(content))
    found = waveform(Media("row 1", data=content), RATE, 30)
    assert len(found) == pytest.approx(len(expected), abs=1200)
    assert np.corrcoef(found[: len(expected)], expected[: len(found)])[0, 1] > 0.99


@pytest.mark.parametrize("format", ["ipod", "mp4", "mov"])
def test_titles_in_another_character_set_do_not_matter(format: str) -> None:
    content = encoded(NOISE[:RATE], format, "aac", title="Pr\u00e9lude \u00e0 l'aube")
    spoilt = content.replace("Pr\u00e9lude \u00e0".encode(), b"Pr\xe9lude\xe0\xe9\xe9")
    assert spoilt != content
    assert len(waveform(Media("row 1", data=spoilt), RATE, 30)) == pytest.approx(RATE, rel=0.2)


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://%s\n#EXT-X-ENDLIST\n",
        b"#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"http://127.0.0.1:9/key\"\n#EXTINF:9,\nfile://%s\n",
        b"ffconcat version 1.0\nfile '%s'\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
        b"<?xml version='1.0'?><MPD><Period><BaseURL>http://127.0.0.1:9/%s</BaseURL></Period></MPD>",
    ],
    ids=["playlist", "key", "concat", "sdp", "dash"],
)  # fmt: skip
def test_files_that_open_others_are_no_sounds(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(of_libsndfile("WAV"))
    asks = content.replace(b"%s", str(tmp_path / "a.wav").encode())
    for name in ("list.m3u8", "list.mp3", "list.wav"):
        (tmp_path / name).write_bytes(asks)
        with pytest.raises(UserError, match="not a sound"):
            waveform(Media("row 1", path=str(tmp_path / name)), RATE, 30)


def at_rate(rate: int) -> Media:
    content = of_libsndfile("WAV")[: 44 + 2 * RATE]
    content = content[:4] + struct.pack("<I", len(content) - 8) + content[8:]
    content = content[:24] + struct.pack("<II", rate, 2 * rate) + content[32:]
    return Media("row 1", data=content[:40] + struct.pack("<I", len(content) - 44) + content[44:])


@pytest.mark.parametrize("rate", [20_000_003, 1_000_001, 7, 1])
def test_rates_that_no_sound_has_are_refused(rate: int) -> None:
    with pytest.raises(UserError, match="samples a second"):
        waveform(at_rate(rate), RATE, 30)


@pytest.mark.parametrize("rate", [999_983, 44_101, 191_999])
def test_a_rate_without_a_common_divisor_costs_little(rate: int) -> None:
    tracemalloc.start()
    samples = waveform(at_rate(rate), RATE, 30)
    assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    tracemalloc.stop()
    assert len(samples) == pytest.approx(RATE * RATE / rate, rel=0.01, abs=2)


def test_many_channels_of_a_codec_are_averaged() -> None:
    """More than PyAV keeps apart."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="16 channels")
        for _ in range(4):
            both = (np.arange(64 * 16) % 16 * 100).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(both, "s16", "16 channels")
            frame.sample_rate = RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    samples = waveform(Media("row 1", data=file.getvalue()), RATE, 30)
    np.testing.assert_allclose(samples, 750 / 32768, atol=1e-3)


def test_a_sound_that_changes_on_the_way_is_read(capfd: pytest.CaptureFixture[str]) -> None:
    stereo = io.BytesIO()
    soundfile.write(stereo, np.stack([NOISE[:RATE]] * 2, 1), 2 * RATE, format="MP3")
    content = encoded(NOISE[:RATE], "mp3", "libmp3lame") + stereo.getvalue()
    assert len(waveform(Media("row 1", data=content), RATE, 30)) == pytest.approx(
        1.5 * RATE, rel=0.2
    )
    assert capfd.readouterr() == ("", "")
