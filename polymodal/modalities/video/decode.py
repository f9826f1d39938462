"""From a clip to a few pictures spread evenly over what of it is shown."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from polymodal.base.errors import UserError
from polymodal.modalities.image import picture as _picture
from polymodal.modalities.image.levels import PLAIN, Levels
from polymodal.table.media import Media

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Video containers only: others that FFmpeg knows are playlists, which open further files.
CONTAINERS = "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,asf,ogg,h264,hevc,ivf,wtv,dv,mxf"
SECONDS = 60  # that decoding one clip may take
# Packets that a frame's may stand before or behind those of its neighbours.
_REORDERED = 64


@dataclass(frozen=True)
class _Clip:
    """The compressed frames of a clip, by the numbers of their packets.

    Attributes:
        keys: which can be decoded alone, ascending.
        shown: which are shown, in this order: a clip that was cut without encoding it anew also
            holds those that the first shown ones are decoded from.
        times: when each is shown; None where the container does not know.
    """

    keys: list[int]
    shown: list[int]
    times: list[int] | None

    def key_before(self, number: int) -> int:
        """Where decoding must begin for a frame. Those that follow a key frame in the file but
        are shown before it need the one before."""
        times = self.times
        return max(
            (k for k in self.keys if k <= number and (not times or times[k] <= times[number])),
            default=0,
        )


def choose(cell: Media, frames: int, levels: Levels = PLAIN) -> Iterator[Image.Image]:
    """At most `frames` RGB pictures, spread over a clip; UserError if it cannot be decoded.

    Args:
        levels: which numbers of an array are black and white.
    """
    if cell.values is not None:
        return _from_array(cell.values, cell.label, frames, levels)
    start = cell.head(12)
    if start[:4] in (b"GIF8", b"\x89PNG") or start[8:] == b"WEBP":
        return _from_animation(cell.bytes(), cell.label, frames)
    return _from_video(cell, start, frames)


def pixels(cell: Media) -> float:
    """Of all frames of a clip together, by what its container says; UserError if it says nothing.

    Frames that it does not count are counted by its length and rate.
    """
    import av

    if cell.values is not None:
        return float(np.size(cell.values)) / 3
    start = cell.head(12)
    if start[:4] in (b"GIF8", b"\x89PNG") or start[8:] == b"WEBP":
        opened = _picture.open_picture(cell.bytes(), cell.label)
        return float(opened.width * opened.height * getattr(opened, "n_frames", 1))
    try:
        with cell.open() as file, _opened(file) as container:
            stream = _stream(container, cell.label)
            seconds = (container.duration or 0) / av.time_base
            frames = max(stream.frames, seconds * float(stream.average_rate or 0), 1)
            return float(stream.width * stream.height * frames)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise _picture.broken(cell.label, error) from error


def spread(total: int, frames: int) -> list[int]:
    """The middle frame of each of `frames` equal parts of `total`; all if there are fewer."""
    if total <= frames:
        return list(range(total))
    return [(2 * i + 1) * total // (2 * frames) for i in range(frames)]


def _from_array(values: Any, label: str, frames: int, levels: Levels) -> Iterator[Image.Image]:
    clip = _picture.to_array(values, label)
    if clip.ndim != 4 or len(clip) == 0:
        raise UserError(
            f"{label} is an array that is no video",
            expected="shape (frames, height, width, channels), at least one frame",
            got=f"shape {clip.shape}",
        )
    return (_picture.from_array(clip[i], label, levels) for i in spread(len(clip), frames))


def _from_animation(content: bytes, label: str, frames: int) -> Iterator[Image.Image]:
    opened = _picture.open_picture(content, label)
    end = time.monotonic() + SECONDS
    try:
        for number in spread(getattr(opened, "n_frames", 1), frames):
            # Each is drawn upon the ones before.
            for step in range(opened.tell() + 1, number + 1):
                opened.seek(step)
                _in_time(label, end)
            yield _picture.to_rgb(opened, label)
    except UserError:
        raise
    # A broken file can raise almost anything in a decoder, and each means the same.
    except Exception as error:
        raise _picture.broken(label, error) from error


def _from_video(cell: Media, start: bytes, frames: int) -> Iterator[Image.Image]:
    """Read twice, to list the frames and to decode some: an hour's clip need not fit in memory."""
    import av

    try:
        with cell.open() as file:
            with _opened(file) as container:
                stream = _stream(container, cell.label)
                clip, promised = _listed(container, stream), _promised(container, stream)
            if len(clip.shown) < promised:
                _whole(file, cell.label)
            file.seek(0)
            with _opened(file) as container:
                stream = _stream(container, cell.label)
                wanted = [clip.shown[i] for i in spread(len(clip.shown), frames)]
                for frame in _decode(container, stream, clip, wanted, cell.label):
                    _picture.check_pixels(frame.width, frame.height, cell.label)
                    picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
                    yield picture.rotate(frame.rotation, expand=True)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UserError(
            f"{cell.label} is no video that can be read, or a truncated one",
            expected="a whole MP4, MOV, MKV, WebM, AVI, MPEG, GIF or WebP file",
            got=f"a file starting with {start!r} ({getattr(error, 'strerror', None) or error})",
            do="copy or download the file again, or leave its cell empty",
        ) from error


def _opened(file: BinaryIO, **options: str) -> InputContainer:
    """A clip whose frames are in the file itself: neither files nor addresses are opened."""
    import av

    file.seek(0)
    limits = {"protocol_whitelist": "none", "max_pixels": str(_picture.MAX_PIXELS)}
    options = {"format_whitelist": CONTAINERS, **limits, **options}
    return av.open(file, "r", options=options, metadata_errors="replace")


def _listed(container: InputContainer, stream: VideoStream) -> _Clip:
    keys: list[int] = []
    shown: list[int] = []
    times: list[Any] = []
    for number, packet in enumerate(_packets(container, stream)):
        times.append(packet.pts)
        if packet.is_keyframe:
            keys.append(number)
        if not packet.is_discard:
            shown.append(number)
    known = [times[number] for number in shown]
    if None in times or len(set(known)) < len(known):
        return _Clip(keys, shown, None)
    order = sorted(shown, key=times.__getitem__)
    # Times that begin again in the middle of a clip tell nothing.
    moved = max((abs(a - b) for a, b in zip(shown, order, strict=True)), default=0)
    return _Clip(keys, order, times) if moved <= _REORDERED else _Clip(keys, shown, None)


def _promised(container: InputContainer, stream: VideoStream) -> int:
    """How many frames there must be at least, by the container's own list of them."""
    if "mp4" in container.format.name:
        return max(1, stream.frames)
    # Others state a number without listing them, and some are a few off.
    return max(1, math.floor(0.98 * stream.frames) - 1)


def _whole(file: BinaryIO, label: str) -> None:
    """UserError if frames are missing; they may be there and be cut off by the clip's own wish."""
    with _opened(file, ignore_editlist="1") as container:
        stream = _stream(container, label)
        total, promised = len(_listed(container, stream).shown), _promised(container, stream)
    if total < promised:
        raise _picture.broken(label, EOFError(f"{total} of {promised} frames"))


def _stream(container: InputContainer, label: str) -> VideoStream:
    """The moving pictures; UserError if there are none, or they are too large."""
    from av.stream import Disposition

    # A song's cover is a stream too, and one of an unknown codec lacks its decoder.
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    streams = [s for s in streams if s.codec_context is not None]
    if not streams:
        raise UserError(
            f"{label} has no video stream that can be decoded",
            expected="a file with moving pictures in it",
            got=f"{container.format.long_name}, streams of {_types(container)}",
            do="declare the column as audio, or convert the file to MP4",
        )
    _picture.check_pixels(streams[0].width, streams[0].height, label)
    return streams[0]


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The compressed frames, one at a time."""
    return (packet for packet in container.demux(stream) if packet.size)


def _types(container: InputContainer) -> str:
    return ", ".join(stream.type for stream in container.streams) or "nothing"


def _in_time(label: str, end: float) -> None:
    if time.monotonic() > end:
        raise UserError(
            f"{label} takes longer than {SECONDS} seconds to decode",
            expected="a clip of some seconds or minutes",
            do="cut it, or scale it down: models see a few small frames only",
        )


def _decode(
    container: InputContainer,
    stream: VideoStream,
    clip: _Clip,
    wanted: Sequence[int],
    label: str,
) -> Iterator[VideoFrame]:
    """The frames of these packets, decoding from the key frame before each only.

    Frames are found by their times or, where a container lacks them, by counting. A codec with
    invisible frames has fewer of them than packets: the next shown one stands for such a one.
    """
    codec, end = stream.codec_context, time.monotonic() + SECONDS
    source: Iterator[tuple[int, Packet]] = enumerate(_packets(container, stream))
    groups = [(key, list(group)) for key, group in itertools.groupby(wanted, clip.key_before)]
    for i, (start, group) in enumerate(groups):
        codec.flush_buffers()
        after = groups[i + 1][0] if groups[i + 1 :] else math.inf
        if clip.times is None:
            here = [number for number in clip.shown if number >= start]
            due = [here.index(number) for number in group]
        else:
            due = [clip.times[number] for number in group]
        # A decoder is some packets ahead of its frames: the next group's may have been read.
        again: list[tuple[int, Packet]] = []
        frame = None
        for count, frame in enumerate(_decode_all(codec, source, start, after, again)):
            _in_time(label, end)
            at = count if clip.times is None else frame.pts
            while due and at is not None and at >= due[0]:
                yield frame
                due.pop(0)
            if not due:
                break
        if frame is not None:
            yield from [frame] * len(due)
        source = itertools.chain(again, source)


def _decode_all(
    codec: VideoCodecContext,
    source: Iterator[tuple[int, Packet]],
    start: int,
    after: float,
    again: list[tuple[int, Packet]],
) -> Iterator[VideoFrame]:
    """Frames from packet `start` on; packets from `after` on that it read go to `again`."""
    for number, packet in source:
        if number >= after:
            again.append((number, packet))
        if number >= start:
            yield from codec.decode(packet)
    # A decoder holds frames back to put them in order: None makes it give up the rest.
    yield from codec.decode(None)
