"""From a media cell to mono samples at one rate; never decodes more than is asked for.

A length that a file states is believed where it counts samples, as PCM and FLAC do. Of other
formats it is often an estimate (an MP3 without a header is as long as its first frame's bit rate
makes it), so they are read, packet by packet, to the end.
"""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import IO, Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.modalities.audio.resample import resampled
from polymodal.table.media import Media

LONGEST = 3600.0  # seconds; a longer recording is almost surely meant to be cut into rows first
SLACK = 0.2  # seconds that a container may promise in vain: codecs pad to whole frames
RATES = (100, 1_000_000)  # samples a second: from telegraphs to bats
FORMATS = "a sound file: wav, flac, ogg, mp3, aiff, m4a, amr, wma, au, caf, mp4, webm"
# Containers that hold their sound themselves; others that FFmpeg knows open further files.
CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,eac3,flac,flv,loas,m4v,matroska,webm,"
    "mov,mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,ogg,tta,voc,w64,wav,wv"
)
# What a file begins with that libsndfile reads by counts: the rest is left to FFmpeg.
_COUNTED = (
    b"RIFF",
    b"RIFX",
    b"RF64",
    b"riff",
    b"FORM",
    b"fLaC",
    b"OggS",
    b".snd",
    b"caff",
    b"NIST",
)
# Formats without a length, which FFmpeg estimates from their first frames.
_ESTIMATED = ("aac", "ac3", "amr", "amrnb", "amrwb", "eac3", "loas", "mp3", "mpeg", "mpegts")
_FRAMES = 2**20  # numbers read at a time


@dataclass(frozen=True)
class Header:
    """What a sound says of itself before it is decoded.

    Attributes:
        rate: samples a second.
        seconds: its length: what is there, not what an estimate promises.
    """

    rate: int
    seconds: float


def header(media: Media) -> Header:
    """Rate and length without decoding. UserError if it is no sound or longer than LONGEST."""
    with _open(media) as stream:
        found = _soundfile_header(stream) or _av_header(media, stream)
    if not RATES[0] <= found.rate <= RATES[1]:
        raise UserError(
            f"{media.label} is no sound at {found.rate:,} samples a second",
            expected=f"{RATES[0]} to {RATES[1]:,}",
            got=f"{found.rate:,}",
            do="write its true rate into the file, or drop the row",
        )
    if found.seconds > LONGEST:
        raise UserError(
            f"{media.label} is too long a sound",
            expected=f"at most {LONGEST / 3600:g} hour a row",
            got=f"{found.seconds / 3600:.1f} hours",
            do="cut it into shorter files, one a row, or drop the row",
        )
    return found


def waveform(media: Media, rate: int, seconds: float) -> np.ndarray[Any, Any]:
    """The first `seconds` of a sound as float32 samples `(n,)`, mono, at `rate` a second.

    Args:
        media: an encoded sound, or a 1-d array of samples that already are at `rate`.
        rate: samples a second of the result.
        seconds: no more than this much is decoded.

    Raises:
        UserError: not a sound, truncated, empty, no audio stream, longer than LONGEST, or samples
            that are not finite; the message names `media.label`.
    """
    if media.values is not None:
        samples, native = _array(media)[: ceil(seconds * rate)], rate
    else:
        header(media)
        with _open(media) as stream:
            samples, native = _soundfile(media, stream, seconds) or _av(media, stream, seconds)
    if not len(samples):
        raise UserError(
            f"{media.label} holds no samples",
            expected=FORMATS,
            got="a header without sound; the file may be truncated",
            do="replace the file or drop the row",
        )
    _check_finite(media, samples)
    return _resample(samples, native, rate)


def is_longer(media: Media, rate: int, seconds: float) -> bool:
    """Whether `waveform` with the same arguments leaves out the end of a sound."""
    if media.values is not None:
        return len(media.values) > ceil(seconds * rate)
    return header(media).seconds > seconds


def _open(media: Media) -> IO[bytes]:
    # A plain local file is streamed: its header must be read before gigabytes of it are.
    return media.open()


def _counted(stream: IO[bytes]) -> Any:
    """The stream as libsndfile opens it, if that knows how many samples it holds; else None."""
    import soundfile

    head = stream.read(4)
    stream.seek(0)
    if head not in _COUNTED:
        return None
    try:
        sound = soundfile.SoundFile(_Seekable(stream))
    except soundfile.LibsndfileError:
        stream.seek(0)
        return None
    # Of a stream that was not finished the count is 0 or the largest there is.
    known = 0 < sound.frames < 2**48 and not sound.subtype.startswith("MPEG")
    if known and (head != b"OggS" or _bitstreams(stream) == 1):
        stream.seek(0)
        return soundfile.SoundFile(_Seekable(stream))
    sound.close()
    stream.seek(0)
    return None


class _Seekable:
    """A stream for libsndfile, to which no place in a file is an error: of a spoilt one it asks for
    places before the beginning."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with suppress(ValueError, OSError):
            self._stream.seek(offset, whence)
        return self._stream.tell()

    def tell(self) -> int:
        return self._stream.tell()

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)


def _bitstreams(stream: IO[bytes]) -> int:
    """How many sounds an Ogg file holds: libsndfile reads the first of a chain only."""
    stream.seek(0)
    count = 0
    while len(page := stream.read(27)) == 27 and page[:4] == b"OggS":
        count += bool(page[5] & 2)  # begins a stream
        stream.seek(sum(stream.read(page[26])), io.SEEK_CUR)
    return count


def _soundfile_header(stream: IO[bytes]) -> Header | None:
    sound = _counted(stream)
    if sound is None:
        # Not a format that libsndfile counts; PyAV has the last word on whether it is a sound.
        return None
    with sound:
        return Header(sound.samplerate, sound.frames / sound.samplerate)


def _av_open(stream: IO[bytes]) -> Any:
    """A container whose sound is in the stream itself: neither files nor addresses are opened.

    Titles in the writer's own character set are no reason to refuse a sound.
    """
    import av

    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "none"}
    return av.open(stream, "r", options=options, metadata_errors="replace")


def _av_header(media: Media, stream: IO[bytes]) -> Header:
    import av

    stream.seek(0)
    try:
        with _av_open(stream) as container:
            audio = _audio_stream(media, container)
            durations = [p.duration or 0 for p in container.demux(audio) if p.size]
            return Header(audio.rate, float(sum(durations) * audio.time_base))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _unreadable(media, error) from error


def _soundfile(
    media: Media, stream: IO[bytes], seconds: float
) -> tuple[np.ndarray[Any, Any], int] | None:
    import soundfile

    missing = _missing_bytes(stream)
    if missing:
        raise _truncated(media, f"a header that promises {missing} more bytes than there are")
    sound = _counted(stream)
    if sound is None:
        return None
    with sound:
        wanted = min(sound.frames, ceil(seconds * sound.samplerate))
        size = max(1, _FRAMES // sound.channels)
        parts = [np.zeros(0, np.float32)]
        try:
            for start in range(0, wanted, size):
                part = sound.read(min(size, wanted - start), dtype="float32", always_2d=True)
                parts.append(part.mean(1))
        except soundfile.LibsndfileError as error:
            raise _truncated(media, str(error)) from error
        samples = np.concatenate(parts)
        if len(samples) < wanted:
            raise _truncated(media, f"{len(samples)} of {wanted} samples")
        return samples, sound.samplerate


def _av(media: Media, stream: IO[bytes], seconds: float) -> tuple[np.ndarray[Any, Any], int]:
    import av

    stream.seek(0)
    counted = _mp3_frames(stream.read(_FRAMES))
    stream.seek(0)
    parts = [np.zeros(0, np.float32)]
    try:
        with _av_open(stream) as container:
            audio = _audio_stream(media, container)
            rate, total = audio.rate, 0
            promised = float(audio.duration * audio.time_base) if audio.duration else 0.0
            if container.format.name in _ESTIMATED:
                # Estimated, but where the first frame counts the others.
                promised = counted * (1152 if rate >= 32_000 else 576) / rate
            before = None
            for frame in container.decode(audio):
                if before != (kind := (frame.format.name, frame.layout.name, frame.sample_rate)):
                    # Channels and rate may change on the way.
                    resampler, before = av.AudioResampler(format="flt", rate=rate), kind
                for part in resampler.resample(frame):
                    # Channels side by side: PyAV goes astray among more than 8 apart.
                    together = part.to_ndarray().reshape(-1, part.layout.nb_channels)
                    parts.append(together.mean(1))
                    total += len(parts[-1])
                if total >= seconds * rate:
                    break
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _unreadable(media, error) from error
    if total < (min(promised, seconds) - SLACK) * rate:
        raise _truncated(media, f"{total / rate:.1f} of {promised:.1f} seconds")
    return np.concatenate(parts)[: ceil(seconds * rate)], rate


def _mp3_frames(head: bytes) -> int:
    """How many frames an MP3 says that it has; 0 where it does not."""
    start = 0
    if head[:3] == b"ID3":
        start = 10 + sum(
            (byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False)
        )
    for mark, at in ((b"Xing", 8), (b"Info", 8), (b"VBRI", 14)):
        # The mark stands in the first frame, behind its side information.
        place = head.find(mark, start, start + 200)
        if place >= 0 and len(head) >= place + at + 4:
            there = at == 14 or head[place + 7] & 1
            return struct.unpack_from(">I", head, place + at)[0] if there else 0
    return 0


def _audio_stream(media: Media, container: Any) -> Any:
    # One of an unknown codec lacks its decoder.
    streams = [one for one in container.streams.audio if one.codec_context is not None]
    if not streams or not streams[0].rate or not streams[0].time_base:
        raise UserError(
            f"{media.label} has no audio stream",
            expected=FORMATS,
            got=f"{container.format.long_name}, with no sound in it that can be decoded",
            do="replace the file or drop the row",
        )
    return streams[0]


def _missing_bytes(stream: IO[bytes]) -> int:
    """How many bytes of sound a WAV or AIFF header promises beyond the end of the stream.

    libsndfile repairs such a header without a word, so a cut file would pass for a short one.
    """
    end = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    order = {b"RIFF": "<", b"FORM": ">"}.get(stream.read(12)[:4])
    missing = 0
    while order and len(chunk := stream.read(8)) == 8:
        name, size = struct.unpack(order + "4sI", chunk)
        if name in (b"data", b"SSND"):
            # Writers to a pipe cannot know the size and put a very large number.
            missing = max(0, stream.tell() + size - end) if size < 0x7FFFF000 else 0
            break
        stream.seek(size + size % 2, io.SEEK_CUR)
    stream.seek(0)
    return missing


def _array(media: Media) -> np.ndarray[Any, Any]:
    values = media.values
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "fiu":
        raise UserError(
            f"{media.label} is not a list of samples",
            expected="a one-dimensional array of numbers",
            got=f"shape {np.shape(values)}" if isinstance(values, np.ndarray) else "a nested list",
            do="mix it to one channel, or store the encoded file",
        )
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    return (values / -float(np.iinfo(values.dtype).min or -1)).astype(np.float32)


def _check_finite(media: Media, samples: np.ndarray[Any, Any]) -> None:
    bad = np.flatnonzero(~np.isfinite(samples))
    if len(bad):
        raise UserError(
            f"{media.label} has samples that are not finite",
            expected="numbers",
            got=f"{len(bad)} NaN or infinite of {len(samples)}, the first at sample {bad[0]}",
            do="repair the file or drop the row",
        )


def _resample(samples: np.ndarray[Any, Any], native: int, rate: int) -> np.ndarray[Any, Any]:
    if native == rate:
        return np.ascontiguousarray(samples, np.float32)
    # A filter is as long as the ratio's terms are large: one part in a million is not heard.
    ratio = Fraction(rate, native).limit_denominator(2000)
    return resampled(samples, ratio.numerator, ratio.denominator)


def _unreadable(media: Media, error: Exception) -> UserError:
    return UserError(
        f"{media.label} is not a sound that can be read",
        expected=FORMATS,
        got=str(error),
        do="replace the file or drop the row",
    )


def _truncated(media: Media, got: str) -> UserError:
    return UserError(
        f"{media.label} is a truncated sound",
        expected="a complete file",
        got=got,
        do="copy or download it again, or drop the row",
    )
