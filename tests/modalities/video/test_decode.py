"""What is shown of a clip, compared with FFmpeg's own reading of all of it from its beginning."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest

from polymodal.base.errors import UserError
from polymodal.modalities.video import decode
from polymodal.modalities.video.decode import choose, spread
from polymodal.table.media import Media

FPS = 25


def clip(frames: int, format: str = "mp4", codec: str = "libx264", **options: str) -> bytes:
    """Frame i is grey of level i * 255 / (frames - 1)."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=format) as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = 32, 32, "yuv420p", 100
        stream.options = options
        for i in range(frames):
            pixels = np.full((32, 32, 3), i * 255 // (frames - 1), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def cut(content: bytes, first: int, last: int, format: str = "mp4") -> bytes:
    """Frames `first` to `last` without encoding anew: those before are kept, and not shown."""
    buffer = io.BytesIO()
    options = {"avoid_negative_ts": "disabled"}
    with (
        av.open(io.BytesIO(content)) as source,
        av.open(buffer, "w", format=format, options=options) as target,
    ):
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        step = int(1 / (FPS * stream.time_base))
        for packet in source.demux(stream):
            if packet.dts is None or packet.pts >= last * step:
                continue
            packet.pts -= first * step
            packet.dts -= first * step
            packet.stream = copy
            target.mux(packet)
    return buffer.getvalue()


def by_ffmpeg(content: bytes) -> list[float]:
    """The level of every frame that is shown."""
    with av.open(io.BytesIO(content)) as container:
        return [f.to_ndarray(format="rgb24").mean() for f in container.decode(video=0)]


def chosen(content: bytes, frames: int) -> list[float]:
    return [float(np.asarray(f).mean()) for f in choose(Media("row 3", data=content), frames)]


CASES = {
    "cut in front": lambda: cut(clip(60), 37, 60),
    "cut to three": lambda: cut(clip(60), 57, 60),
    "cut behind": lambda: cut(clip(60), 0, 21),
    "cut to the middle": lambda: cut(clip(60), 20, 41),
    "cut between key frames": lambda: cut(clip(60, g="10"), 25, 55),
    "mov": lambda: cut(clip(60, "mov", "mpeg4"), 30, 60, "mov"),
    "frames before an open key": lambda: clip(
        60, codec="libx265", **{"x265-params": "open-gop=1:keyint=10:log-level=none"}
    ),
    "invisible frames": lambda: clip(60, "webm", "libvpx", **{"auto-alt-ref": "1"}),
    "fragments": lambda: clip(60, "mp4", "mpeg4", movflags="frag_keyframe+empty_moov"),
    "no times": lambda: clip(60, "avi", "mpeg4", bf="2"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("frames", [3, 8])
def test_frames_are_those_of_a_second_reading(case: str, frames: int) -> None:
    content = CASES[case]()
    shown = by_ffmpeg(content)
    expected = [shown[i] for i in spread(len(shown), frames)]
    found = chosen(content, frames)
    assert len(found) == len(expected)
    assert np.abs(np.subtract(found, expected)).max() <= 4.5, (found, expected)


def test_a_cut_clip_that_lacks_its_end_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(cut(clip(60), 37, 60))
    with (
        av.open(str(path)) as source,
        av.open(str(tmp_path / "b.mp4"), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    whole = (tmp_path / "b.mp4").read_bytes()
    with pytest.raises(UserError, match="truncated"):
        chosen(whole[:-20], 4)


def test_decoding_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "SECONDS", -1)
    with pytest.raises(UserError, match="takes longer"):
        chosen(clip(5), 2)
