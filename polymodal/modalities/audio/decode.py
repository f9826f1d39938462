"""From a media cell to mono samples at one rate; never decodes more than is asked for."""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from math import ceil, gcd
from typing import IO, Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.table.media import Media

LONGEST = 3600.0  # seconds; a longer recording is almost surely meant to be cut into rows first
SLACK = 0.2  # seconds that a container may promise in vain: codecs pad to whole frames
FORMATS = "a sound file: wav, flac, ogg, mp3, aiff, m4a, mp4, webm"


@dataclass(frozen=True)
class Header:
    """What a sound says of itself before it is decoded.

    Attributes:
        rate: samples a second.
        seconds: its length, or None where the container does not say.
    """

    rate: int
    seconds: float | None


def header(media: Media) -> Header:
    """Rate and length without decoding. UserError if it is no sound or longer than LONGEST."""
    with _open(media) as stream:
        found = _soundfile_header(stream) or _av_header(media, stream)
    if found.seconds is not None and found.seconds > LONGEST:
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
    if samples.ndim == 2:
        samples = samples.mean(1)
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
    length = header(media).seconds
    return length is not None and length > seconds


def _open(media: Media) -> IO[bytes]:
    # A plain local file is streamed: its header must be read before gigabytes of it are.
    path = media.path if media.offset == 0 and media.size is None else None
    if path and os.path.isfile(path) and os.access(path, os.R_OK) and os.path.getsize(path):
        return open(path, "rb")
    return io.BytesIO(media.bytes())  # or its error, where there is no such file


def _soundfile_header(stream: IO[bytes]) -> Header | None:
    import soundfile

    try:
        with soundfile.SoundFile(stream) as sound:
            return Header(sound.samplerate, sound.frames / sound.samplerate)
    except soundfile.LibsndfileError:
        # Not a format of libsndfile; PyAV has the last word on whether it is a sound at all.
        stream.seek(0)
        return None


def _av_header(media: Media, stream: IO[bytes]) -> Header:
    import av

    try:
        with av.open(stream, "r") as container:
            rate = _audio_stream(media, container).rate
            seconds = container.duration / av.time_base if container.duration else None
            return Header(rate, seconds)
    except av.FFmpegError as error:
        raise _unreadable(media, error) from error


def _soundfile(
    media: Media, stream: IO[bytes], seconds: float
) -> tuple[np.ndarray[Any, Any], int] | None:
    import soundfile

    missing = _missing_bytes(stream)
    if missing:
        raise _truncated(media, f"a header that promises {missing} more bytes than there are")
    try:
        sound = soundfile.SoundFile(stream)
    except soundfile.LibsndfileError:
        stream.seek(0)
        return None
    with sound:
        wanted = min(sound.frames, ceil(seconds * sound.samplerate))
        try:
            samples = sound.read(wanted, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise _truncated(media, str(error)) from error
        if len(samples) < wanted:
            raise _truncated(media, f"{len(samples)} of {wanted} samples")
        return samples, sound.samplerate


def _av(media: Media, stream: IO[bytes], seconds: float) -> tuple[np.ndarray[Any, Any], int]:
    import av

    stream.seek(0)
    chunks: list[np.ndarray[Any, Any]] = []
    try:
        with av.open(stream, "r") as container:
            audio = _audio_stream(media, container)
            rate, total = audio.rate, 0
            promised = float(audio.duration * audio.time_base) if audio.duration else 0.0
            resampler = av.AudioResampler(format="fltp")
            for frame in container.decode(audio):
                for part in resampler.resample(frame):
                    chunks.append(part.to_ndarray().T)
                    total += len(chunks[-1])
                if total >= seconds * rate:
                    break
    except av.FFmpegError as error:
        raise _unreadable(media, error) from error
    if total < (min(promised, seconds) - SLACK) * rate:
        raise _truncated(media, f"{total / rate:.1f} of {promised:.1f} seconds")
    samples = np.concatenate(chunks) if chunks else np.zeros((0, 1), np.float32)
    return samples[: ceil(seconds * rate)], rate


def _audio_stream(media: Media, container: Any) -> Any:
    if not container.streams.audio:
        raise UserError(
            f"{media.label} has no audio stream",
            expected=FORMATS,
            got=f"{container.format.long_name}, with no sound in it",
            do="replace the file or drop the row",
        )
    return container.streams.audio[0]


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
    from scipy.signal import resample_poly

    shared = gcd(native, rate)
    return resample_poly(samples, rate // shared, native // shared).astype(np.float32)


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
