"""Videos in every container, animations and arrays."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from polymodal.base.errors import UserError
from polymodal.modalities.video.decode import spread
from polymodal.modalities.video.forms.frames import Frames
from polymodal.table.media import Media


def fade(count: int) -> list[np.ndarray]:
    """Frame i is grey of level i * 255 / (count - 1)."""
    return [np.full((48, 64, 3), i * 255 // max(count - 1, 1), np.uint8) for i in range(count)]


def video(
    frames: list[np.ndarray], format: str = "mp4", codec: str = "libx264", gop: int = 12
) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=format) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.gop_size = "yuv420p", gop
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def sound() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    return buffer.getvalue()


def encode(content: bytes, frames: int = 4) -> np.ndarray:
    form = Frames(frames=frames, size=16, resize="stretch")
    encoded = form.encode(Media("row 3, column 'clip'", data=content))
    assert encoded.shape == (frames, 16, 16, 3) and encoded.dtype == np.uint8
    return encoded


def levels(content: bytes, frames: int = 4) -> np.ndarray:
    return encode(content, frames).mean((1, 2, 3))


@pytest.mark.parametrize(
    ("format", "codec"),
    [
        ("mp4", "libx264"),
        ("mov", "mpeg4"),
        ("webm", "libvpx"),
        ("webm", "libvpx-vp9"),
        ("matroska", "libx264"),
        ("avi", "mpeg4"),
        ("avi", "libx264"),
        ("mpegts", "libx264"),
        ("mpeg", "mpeg1video"),
        ("h264", "libx264"),
    ],
)
def test_frames_are_spread_evenly_in_every_container(
    format: str, codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = video(fade(100), format, codec)
    expected = np.array([12, 37, 62, 87]) * 255 / 99
    assert np.abs(levels(content) - expected).max() <= 4
    (tmp_path / "clip").write_bytes(content)
    monkeypatch.setattr(Media, "bytes", lambda _: pytest.fail("was read into memory"))
    form = Frames(frames=4, size=16, resize="stretch")
    on_disk = form.encode(Media("row 3", path=str(tmp_path / "clip"))).mean((1, 2, 3))
    assert np.abs(on_disk - expected).max() <= 4


@pytest.mark.parametrize("gop", [1, 2, 7, 1000])
@pytest.mark.parametrize("frames", [3, 15, 29])
def test_key_frames_make_no_difference(gop: int, frames: int) -> None:
    expected = np.array(spread(30, frames)) * 255 / 29
    assert np.abs(levels(video(fade(30), gop=gop), frames) - expected).max() <= 4


@given(st.integers(1, 500), st.integers(1, 40))
def test_spread_is_ascending_symmetric_and_inside(total: int, frames: int) -> None:
    chosen = spread(total, frames)
    assert len(chosen) == min(total, frames)
    assert chosen == sorted(set(chosen)) and chosen[0] >= 0 and chosen[-1] < total
    assert abs(chosen[0] - (total - 1 - chosen[-1])) <= 1


def test_a_short_clip_ends_in_copies_of_its_last_frame() -> None:
    assert np.abs(levels(video(fade(2))) - [0, 255, 255, 255]).max() <= 3


def test_a_phones_rotation_is_applied() -> None:
    left = np.zeros((48, 64, 3), np.uint8)
    left[:, :32] = 255
    content = bytearray(video([left] * 3))
    matrix = content.find(b"tkhd") + 4 + 4 + 20 + 16
    quarter = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    content[matrix : matrix + 36] = quarter
    turned = encode(bytes(content))[0]
    assert turned[:7].min() > 240 and turned[9:].max() < 15


@pytest.mark.parametrize("format", ["GIF", "WEBP"])
def test_animations_are_videos(format: str) -> None:
    pictures = [Image.fromarray(pixels) for pixels in fade(20)]
    buffer = io.BytesIO()
    pictures[0].save(buffer, format, save_all=True, append_images=pictures[1:], duration=50)
    expected = np.array([2, 7, 12, 17]) * 255 / 19
    assert np.abs(levels(buffer.getvalue()) - expected).max() <= 4
    with pytest.raises(UserError, match=r"truncated|not an image"):
        encode(buffer.getvalue()[:60])


def test_arrays_are_taken_as_they_are() -> None:
    clip = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    form = Frames(frames=4, size=16)
    assert (form.encode(Media("a", values=clip)) == clip[1::2]).all()
    assert (form.encode(Media("a", values=clip / 255)) == clip[1::2]).all()


def faststart(folder: Path) -> bytes:
    """An MP4 whose index stands in front, so that its beginning alone can be opened."""
    file = folder / "clip.mp4"
    rng = np.random.default_rng(0)
    with av.open(str(file), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for _ in range(20):
            pixels = rng.integers(0, 256, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file.read_bytes()


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_a_truncated_mp4_is_the_users_error(share: float, tmp_path: Path) -> None:
    whole = faststart(tmp_path)
    encode(whole)
    with pytest.raises(UserError, match="truncated"):
        encode(whole[: int(len(whole) * share)])


PLAYLIST = b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"this is text, whatever its name says\n" * 9, "no video that can be read"),
        (PLAYLIST, "no video that can be read"),
        (video(fade(9))[:900], "truncated"),
        (sound(), "no video stream"),
    ],
    ids=["empty", "text", "playlist", "index missing", "sound only"],
)
def test_bad_files_are_the_users_error(content: bytes, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        encode(content)
    assert "row 3, column 'clip'" in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (8, 8, 3), (4, 8, 8, 2)])
def test_arrays_that_are_no_video_are_the_users_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="array that is no"):
        Frames().encode(Media("a", values=np.zeros(shape, np.uint8)))
    with pytest.raises(UserError, match="ragged"):
        Frames().encode(Media("a", values=[[1], [2, 3]]))


def test_suggested_options_suit_the_clips() -> None:
    clip, array = Media("a", data=video(fade(3))), Media("b", values=np.zeros((2, 48, 64, 3)))
    broken = Media("c", data=b"text")
    assert Frames.suggest([clip, array, broken]) == {"size": 64, "resize": "stretch"}
    upright = Media("d", values=np.zeros((2, 48, 20, 3)))
    assert Frames.suggest([clip, upright], largest=32) == {"size": 32, "resize": "pad"}


@pytest.mark.parametrize("options", [{"frames": 0}, {"size": 1}, {"resize": "crop"}])
def test_bad_options_are_the_users_error(options: dict) -> None:
    with pytest.raises(UserError):
        Frames(**options)
