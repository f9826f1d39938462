"""Videos as a few frames, spread evenly over the clip."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from polymodal.base.errors import UserError
from polymodal.contract.form import Form
from polymodal.modalities.image import picture as _picture
from polymodal.table.media import Media

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Video containers only: others that FFmpeg knows are playlists, which open further files.
CONTAINERS = "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,asf,ogg,h264,hevc,ivf,wtv,dv,mxf"


class Frames(Form):
    """A video or animation to uint8 `(frames, size, size, 3)`.

    The clip is cut into `frames` parts with as many frames each and the middle one of each is
    taken; one that is shorter ends in copies of its last frame. Sound is ignored.

    Args:
        frames: how many.
        size: side in pixels.
        resize: "pad" keeps the aspect ratio, "stretch" ignores it.
    """

    kind = "video"
    dtype = "uint8"
    ragged = False

    def __init__(self, *, frames: int = 8, size: int = 64, resize: str = "pad") -> None:
        _picture.check_options(size, resize)
        if not 1 <= frames <= 256:
            raise UserError(f"frames={frames} is no number of frames", expected="1 to 256")
        self.frames = frames
        self.size = size
        self.resize = resize

    @staticmethod
    def suggest(cells: Iterable[Media], *, largest: int = 64) -> dict[str, Any]:
        """Options that suit a sample of the clips, from one frame of each; see `Pixels.suggest`."""
        shapes = []
        for cell in cells:
            with suppress(UserError):
                shapes += [frame.size for frame in choose(cell, 1)]
        return _picture.suggest(shapes, largest)

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        chosen = [
            _picture.square(frame, self.size, self.resize) for frame in choose(cell, self.frames)
        ]
        if not chosen:
            raise _picture.broken(cell.label, EOFError("no frame could be decoded"))
        return np.stack(chosen + [chosen[-1]] * (self.frames - len(chosen)))


def choose(cell: Media, frames: int) -> Iterator[Image.Image]:
    """At most `frames` RGB pictures, spread over a clip; UserError if it cannot be decoded."""
    if cell.values is not None:
        return _from_array(cell.values, cell.label, frames)
    start = cell.head(12)
    if start[:4] == b"GIF8" or start[8:] == b"WEBP":
        return _from_animation(cell.bytes(), cell.label, frames)
    return _from_video(cell, start, frames)


def spread(total: int, frames: int) -> list[int]:
    """The middle frame of each of `frames` equal parts of `total`; all if there are fewer."""
    if total <= frames:
        return list(range(total))
    return [(2 * i + 1) * total // (2 * frames) for i in range(frames)]


def _from_array(values: Any, label: str, frames: int) -> Iterator[Image.Image]:
    clip = _picture.to_array(values, label)
    if clip.ndim != 4 or len(clip) == 0:
        raise UserError(
            f"{label} is an array that is no video",
            expected="shape (frames, height, width, channels), at least one frame",
            got=f"shape {clip.shape}",
        )
    return (_picture.from_array(clip[i], label) for i in spread(len(clip), frames))


def _from_animation(content: bytes, label: str, frames: int) -> Iterator[Image.Image]:
    opened = _picture.open_picture(content, label)
    try:
        for number in spread(getattr(opened, "n_frames", 1), frames):
            opened.seek(number)
            yield _picture.to_rgb(opened, label)
    except UserError:
        raise
    # A broken file can raise almost anything in a decoder, and each means the same.
    except Exception as error:
        raise _picture.broken(label, error) from error


def _from_video(cell: Media, start: bytes, frames: int) -> Iterator[Image.Image]:
    """Read twice, to count the frames and to decode some: an hour's clip need not fit in memory."""
    import av

    def opened(file: BinaryIO) -> InputContainer:
        options = {"format_whitelist": CONTAINERS}
        return av.open(file, "r", options=options, metadata_errors="replace")

    try:
        with cell.open() as file:
            with opened(file) as container:
                keys, total = _key_frames(container, cell.label)
            file.seek(0)
            with opened(file) as container:
                stream = _stream(container, cell.label)
                for frame in _decode(container, stream, keys, spread(total, frames)):
                    picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
                    yield picture.rotate(frame.rotation, expand=True)
    except av.error.FFmpegError as error:
        raise UserError(
            f"{cell.label} is no video that can be read, or a truncated one",
            expected="a whole MP4, MOV, MKV, WebM, AVI, MPEG, GIF or WebP file",
            got=f"a file starting with {start!r} ({error.strerror})",
            do="copy or download the file again, or leave its cell empty",
        ) from error


def _key_frames(container: InputContainer, label: str) -> tuple[list[int], int]:
    """Numbers of the key frames, and how many frames there are; UserError if some are missing."""
    stream = _stream(container, label)
    keys, total = [], 0
    for packet in _packets(container, stream):
        if packet.is_keyframe:
            keys.append(total)
        total += 1
    if total < max(1, stream.frames):
        raise _picture.broken(label, EOFError(f"{total} of {stream.frames} frames"))
    return keys, total


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


def _decode(
    container: InputContainer, stream: VideoStream, keys: Sequence[int], numbers: Sequence[int]
) -> Iterator[VideoFrame]:
    """The frames with these ascending numbers, decoding from the key frame before each only.

    Frames are counted, not timed: many containers lack timestamps or have wrong ones. A codec
    with invisible frames has fewer of them than packets; then it runs out and yields fewer.
    """
    codec = stream.codec_context
    source: Iterator[tuple[int, Packet]] = enumerate(_packets(container, stream))

    def key_before(number: int) -> int:
        return max((key for key in keys if key <= number), default=0)

    groups = [(start, list(group)) for start, group in itertools.groupby(numbers, key_before)]
    for i, (start, wanted) in enumerate(groups):
        codec.flush_buffers()
        after = groups[i + 1][0] if groups[i + 1 :] else math.inf
        # A decoder is some packets ahead of its frames: the next group's may have been read.
        again: list[tuple[int, Packet]] = []
        for number, frame in enumerate(_decode_all(codec, source, start, after, again), start):
            if number in wanted:
                yield frame
            if number == wanted[-1]:
                break
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
