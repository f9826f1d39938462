"""Which columns hold files: by suffixes, by what lies there, by what they begin with."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from polymodal.base.errors import UserError
from polymodal.contract.kind import kinds
from polymodal.modalities.audio.decode import waveform
from polymodal.modalities.image import picture
from polymodal.modalities.video.decode import choose
from polymodal.table._kinds import guess
from polymodal.table.media import Media, kind_of_content, kind_of_name
from polymodal.table.read import read

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


def picture_as(format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, format, **options)
    return file.getvalue()


def sound_as(format: str, codec: str, rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        if codec == "wmav2":
            stream.bit_rate = 64_000
        for start in range(0, rate, 1024):
            part = np.sin(np.arange(start, start + 1024) / 9)[None].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(part, "fltp", "mono")
            frame.sample_rate, frame.pts = rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def sound_by_libsndfile(format: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(8000) / 9), 8000, format=format)
    return file.getvalue()


def clip_as(format: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=format) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(5):
            big = np.asarray(Image.fromarray(PIXELS).resize((64, 64)))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(big, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    **{
        suffix: ("image", lambda format=format: picture_as(format))  # type: ignore[misc]
        for suffix, format in {
            "avif": "AVIF", "jp2": "JPEG2000", "jfif": "JPEG", "jpe": "JPEG", "dib": "DIB",
            "ico": "ICO", "pcx": "PCX", "sgi": "SGI", "qoi": "QOI", "pnm": "PPM",
        }.items()
    },
    "amr": ("audio", lambda: b"#!AMR\n" + 50 * (b"\x3c" + bytes(31))),
    "wma": ("audio", lambda: sound_as("asf", "wmav2", 44_100)),
    "mka": ("audio", lambda: sound_as("matroska", "aac")),
    "weba": ("audio", lambda: sound_as("webm", "libopus", 48_000)),
    "m4b": ("audio", lambda: sound_as("ipod", "aac")),
    "mp2": ("audio", lambda: sound_as("mp2", "mp2")),
    "ac3": ("audio", lambda: sound_as("ac3", "ac3", 48_000)),
    "wv": ("audio", lambda: sound_as("wv", "wavpack")),
    **{
        suffix: ("audio", lambda format=format: sound_by_libsndfile(format))  # type: ignore[misc]
        for suffix, format in {
            "au": "AU", "caf": "CAF", "aifc": "AIFF", "w64": "W64", "voc": "VOC", "rf64": "RF64",
        }.items()
    },
    "3gp": ("video", lambda: clip_as("3gp", "mpeg4")),
    "webm": ("video", lambda: clip_as("webm", "libvpx")),
    "ts": ("video", lambda: clip_as("mpegts", "libx264")),
    "ogv": ("video", lambda: clip_as("ogg", "libtheora")),
    "flv": ("video", lambda: clip_as("flv", "flv1")),
    "wmv": ("video", lambda: clip_as("asf", "wmv2")),
    "vob": ("video", lambda: clip_as("vob", "mpeg2video")),
    "mxf": ("video", lambda: clip_as("mxf", "mpeg2video")),
    "m2ts": ("video", lambda: clip_as("mpegts", "mpeg2video")),
}  # fmt: skip


@pytest.mark.parametrize("suffix", FILES)
def test_what_the_decoders_read_is_recognised(suffix: str) -> None:
    kind, make = FILES[suffix]
    try:
        content = make()
    except (av.FFmpegError, ValueError, av.codec.codec.UnknownCodecError):
        pytest.skip(f"this build cannot write {suffix}")
    assert kind_of_name(f"A.{suffix.upper()} ") == kind
    by_content = kind_of_content(content[:64])
    containers = {"wma": "video", "mka": "video", "weba": "video"}
    assert by_content == containers.get(suffix, kind)
    cell = Media("row 0", data=content)
    if kind == "image":
        assert picture.read(cell, 32).size == (32, 32)
    elif kind == "audio":
        assert len(waveform(cell, 8000, 30)) > 6000
    else:
        assert len(list(choose(cell, 3))) == 3


def test_suffixes_belong_to_one_kind() -> None:
    every = [suffix for kind in kinds().values() for suffix in kind.suffixes]
    assert len(every) == len(set(every))


def told(folder: Path, cells: list[Any]) -> tuple[str, str]:
    """The kind of a column in a table that lies in a folder, and why."""
    found = guess(read({"x": cells}, base=str(folder)), "x")
    return found.kind, found.reason


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(20):
        (tmp_path / f"id-{i:04d}").write_bytes(picture_as("PNG"))
        (tmp_path / f"{i}.png").write_bytes(picture_as("PNG"))
        (tmp_path / f"{i}.wavx").write_bytes(sound_by_libsndfile("WAV"))
        (tmp_path / f"{i}.txt").write_text(f"number {i}")
    return tmp_path


def test_cells_that_name_files_are_media_and_never_ids(folder: Path) -> None:
    assert told(folder, [f"id-{i:04d}" for i in range(20)])[0] == "image"
    assert told(folder, [f" {i}.png\t" for i in range(20)])[0] == "image"
    assert told(folder, [f'"{i}.png"' for i in range(20)])[0] == "image"
    assert told(folder, [f"{i}.wavx" for i in range(20)])[0] == "audio"
    assert told(folder, [f"{i}.png" for i in range(15)] + ["/dev/zero"])[0] == "image"
    assert told(folder, [str(folder / f"id-{i:04d}") for i in range(20)])[0] == "image"
    # A few that are not there are found out when they are opened, whatever they are called.
    assert told(folder, [f"{i}.png" if i % 3 else f"none {i}" for i in range(20)])[0] == "image"
    kind, why = told(folder, [f"{i}.txt" for i in range(20)])
    assert kind == "skip" and "files that exist" in why
    kind, why = told(folder, [f"{i}.png" if i % 2 else f"{i}.wavx" for i in range(20)])
    assert kind == "skip" and "several" in why


@pytest.mark.parametrize(
    "cells",
    [
        ["0.png;1.png", "2.png;3.png", "4.png"],
        ["0.png, 1.png"] * 2 + ["2.png, 3.png, 4.png"],
        ["0.png|1.png", "1.png|2.png"],
        ["0.png 1.png", "3.png 2.png"],
        [["0.png", "1.png"], ["2.png", "3.png"]],
        ['["0.png", "1.png"]', '["1.png", "2.png"]'],
    ],
)
def test_several_files_in_a_cell_are_named(cells: list[Any], folder: Path) -> None:
    kind, why = told(folder, cells)
    assert kind == "skip" and "cell" in why and "column of its own" in why


def test_lists_of_one_path_and_files_in_cells_are_media(folder: Path) -> None:
    assert told(folder, [[f"{i}.png"] for i in range(9)])[0] == "image"
    encoded = [base64.b64encode(picture_as("PNG") + bytes([i])).decode() for i in range(9)]
    assert told(folder, encoded)[0] == "image"
    assert told(folder, [f"data:image/png;base64,{cell}" for cell in encoded])[0] == "image"
    sounds = [base64.b64encode(sound_by_libsndfile("WAV") + bytes([i])).decode() for i in range(9)]
    assert told(folder, sounds)[0] == "audio"


def test_what_only_looks_like_files_is_left_alone(folder: Path) -> None:
    assert told(folder, [f"shop{i}.com.au" for i in range(20)])[0] not in ("audio", "video")
    for i in range(20):
        (folder / str(i)).write_bytes(picture_as("PNG"))
    assert told(folder, [str(i % 12) for i in range(20)])[0] == "number"
    hashes = [f"{i:064x}" for i in range(20)]
    assert told(folder, hashes)[0] not in kinds()
    texts = ["look at the 1.png and tell me", "it is in 2.txt", "a;b", "nothing to see here"] * 5
    assert told(folder, [f"{t} {i}" for i, t in enumerate(texts)])[0] == "text"


def test_reasons_do_not_repeat_passwords(folder: Path) -> None:
    for url in ("https://me:hunter2@x.org/{}.png?sig=hunter2", "https://me:hunter2@x.org/{}/"):
        for cells in ([url.format(i) for i in range(9)], [url] * 9, [f"{url};{url}"] * 9):
            assert "hunter2" not in told(folder, cells)[1]


def shard(folder: Path, described: str) -> Path:
    with tarfile.open(folder / "a.tar", "w") as tar:
        for i in range(4):
            for name, content in (
                (f"{i}.json", described.encode()),
                (f"{i}.png", picture_as("PNG")),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return folder / "a.tar"


@pytest.mark.parametrize(
    "named",
    ['"/etc/passwd"', '"../secret.png"', '"0.png"', '{"path": "/etc/passwd"}', '["../secret.png"]',
     '{"tar": "/etc/passwd", "offset": 0, "size": 9}', '{"bytes": null, "path": "0.png"}'],
)  # fmt: skip
def test_what_comes_inside_an_archive_stays_inside(named: str, folder: Path) -> None:
    (folder / "secret.png").write_bytes(picture_as("PNG"))
    (folder / "in").mkdir()
    table = read(shard(folder / "in", f'{{"photo": {named}}}'))
    with pytest.raises(UserError, match="outside"):
        list(table.media("photo"))
    assert guess(table, "photo").kind == "skip"
    assert all(cell.bytes() == picture_as("PNG") for cell in table.media("png") if cell)
    assert guess(table, "png").kind == "image"


def spoilt(content: bytes, rng: np.random.Generator) -> bytes:
    """A file with some bytes changed, cut out or put in, mostly near its beginning."""
    found = bytearray(content)
    for _ in range(int(rng.choice([1, 2, 8]))):
        at = int(rng.integers(min(len(found), 200) if rng.random() < 0.6 else len(found)))
        how = rng.integers(4)
        if how == 0:
            found[at : at + 4] = rng.bytes(4)
        elif how == 1:
            found[at : at + 4] = b"\xff\xff\xff\xff"
        elif how == 2:
            del found[at : at + int(rng.integers(1, 40))]
        else:
            found[at:at] = rng.bytes(int(rng.integers(1, 20)))
    return bytes(found)


@pytest.mark.parametrize("suffix", ["jp2", "ico", "avif", "au", "wma", "voc", "mp2", "webm", "ts"])
def test_a_spoilt_file_is_read_or_the_users_error(
    suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    from polymodal.modalities.audio.forms.mel import Mel
    from polymodal.modalities.image.forms.pixels import Pixels
    from polymodal.modalities.video.forms.frames import Frames

    kind, make = FILES[suffix]
    form = {"image": Pixels(size=16), "audio": Mel(), "video": Frames(frames=2, size=16)}[kind]
    content, rng = make(), np.random.default_rng(0)
    for _ in range(12):
        cell = Media("row 0", data=spoilt(content, rng))
        with suppress(UserError):
            form.fit([cell])
            form.was_truncated(cell)
            form.encode(cell)
    assert capfd.readouterr() == ("", "")
