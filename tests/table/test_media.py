"""Media cells: what each spelling of a cell means, and what is said of one that cannot be read."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from polymodal.base.errors import UserError
from polymodal.table.media import Media, kind_of_content, kind_of_name
from polymodal.table.resolve import Reach, resolve

ALLOWED = Reach(urls=True)


def bytes_of(cell: Any, base: Path | None = None) -> bytes:
    media = resolve(cell, str(base) if base else None, "row 0, column 'x'", ALLOWED)
    assert media is not None
    return media.bytes()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("cell", [None, "", "  ", float("nan"), {"bytes": None, "path": None}])
def test_missing_cells_are_absent(cell: Any) -> None:
    assert resolve(cell, None, "x") is None


def test_every_spelling_of_the_same_file_gives_the_same_bytes_and_key(tmp_path: Path) -> None:
    content = b"\x89PNG" + bytes(range(100))
    (tmp_path / "a.png").write_bytes(content)
    (tmp_path / "shard.tar").write_bytes(b"before" + content + b"after")
    with fsspec.open("memory://polymodal/a.png", "wb") as file:
        file.write(content)
    part = {"offset": 6, "size": len(content)}
    cells = [
        "a.png",
        str(tmp_path / "a.png"),
        tmp_path / "a.png",
        f"file://{tmp_path}/a.png",
        "memory://polymodal/a.png",
        content,
        bytearray(content),
        {"bytes": content, "path": "gone.png"},
        {"bytes": None, "path": "a.png"},
        {"tar": str(tmp_path / "shard.tar"), **part},
        {"path": "shard.tar", **part},
    ]
    media = [resolve(cell, str(tmp_path), "x", ALLOWED) for cell in cells]
    assert [m.bytes() for m in media if m] == [content] * len(cells)
    assert len({m.key() for m in media if m}) == 1
    assert [m.head(4) for m in media if m] == [b"\x89PNG"] * len(cells)


def test_relative_paths_start_from_the_base_and_else_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.bin").write_bytes(b"1")
    monkeypatch.chdir(tmp_path)
    assert bytes_of("a.bin") == b"1"
    with pytest.raises(UserError, match="does not exist"):
        bytes_of("a.bin", tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ([1, 2.5], [1, 2.5]),
        ("[1, 2.5]", [1, 2.5]),
        (np.array([1, 2.5]), [1, 2.5]),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        (npy(np.array([[1, 2], [3, 4]], np.uint8)), [[1, 2], [3, 4]]),
        (np.array([np.array([1, 2]), np.array([3, 4])], dtype=object), [[1, 2], [3, 4]]),
    ],
)
def test_numbers_become_an_array(cell: Any, expected: list) -> None:
    media = resolve(cell, None, "x")
    assert media is not None and isinstance(media.values, np.ndarray)
    assert media.values.tolist() == expected


@pytest.mark.parametrize("cell", [[[1, 2], [3]], ["a", "b"], [1, None]])
def test_a_list_that_is_no_array_is_left_for_the_form_to_judge(cell: list) -> None:
    media = resolve(cell, None, "x")
    assert media is not None and media.values == cell
    assert media.key() != Media("x", values=np.zeros(2)).key()


def test_npy_bytes_keep_their_type() -> None:
    media = resolve(npy(np.zeros((2, 3), np.uint8)), None, "x")
    assert media is not None and media.values.dtype == np.uint8
    with pytest.raises(UserError, match=r"broken \.npy"):
        resolve(npy(np.zeros(9))[:-5], None, "x")


def test_keys_tell_shapes_and_types_apart() -> None:
    arrays = [np.zeros(4), np.zeros((2, 2)), np.zeros(4, np.float32), np.zeros(8, np.float32)]
    assert len({Media("x", values=array).key() for array in arrays}) == 4


def test_a_sampled_sound_becomes_a_wav_with_its_rate() -> None:
    import soundfile

    wave = np.linspace(-0.5, 0.5, 100).astype(np.float32)
    cell = {"array": wave, "sampling_rate": 8000}
    read, rate = soundfile.read(io.BytesIO(bytes_of(cell)), dtype="float32")
    assert rate == 8000
    np.testing.assert_array_equal(read, wave)
    stereo, _ = soundfile.read(io.BytesIO(bytes_of({**cell, "array": np.stack([wave, -wave])})))
    assert stereo.shape == (100, 2)
    whole = {"array": [0, 16384, -16384], "sampling_rate": 8000}
    samples, _ = soundfile.read(io.BytesIO(bytes_of(whole)))
    assert samples.tolist() == [0, 0.5, -0.5]
    assert bytes_of(cell) == bytes_of(cell)
    with pytest.raises(UserError, match="sampling_rate"):
        resolve({"array": wave, "sampling_rate": None}, None, "x")


def fails(cell: Any, base: Path | None = None) -> str:
    with pytest.raises(UserError) as caught:
        bytes_of(cell, base)
    return str(caught.value)


def test_errors_of_files(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"x")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "shard.tar").write_bytes(b"12345")
    gone = fails("Cat.pgn", tmp_path)
    assert "row 0, column 'x': Cat.pgn does not exist" in gone
    assert "did you mean 'cat.png'?" in gone and str(tmp_path) in gone
    assert f"only '{tmp_path}'" in fails("no/such/folder/cat.png", tmp_path)
    assert "is empty" in fails("empty.png", tmp_path)
    assert "is a folder" in fails("folder.png", tmp_path)
    assert "cannot be read" in fails("nul\0byte.png", tmp_path)
    assert "cut short" in fails({"tar": str(tmp_path / "shard.tar"), "offset": 2, "size": 9})
    assert "is empty" in fails(b"")
    assert "does not exist" in fails("cat.png/inside.png", tmp_path)


def test_errors_of_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.png").write_bytes(b"x")
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UserError, match="permission denied"):
        Media("x", path=str(tmp_path / "a.png")).bytes()


def test_errors_of_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cannot be fetched" in fails("memory://polymodal/not-there.png")
    assert "cannot be fetched" in fails("nosuch://bucket/a.png")

    def missing(*args: Any, **kwargs: Any) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "open", missing)
    assert "Install s3fs" in fails("s3://bucket/a.png")


def test_errors_of_cells() -> None:
    assert "is not media" in fails(3.5)
    assert "is not media" in fails({"left": 1})
    assert "cannot be parsed" in fails("[1, two]")
    assert "numbers where an encoded file" in fails([1.0, 2.0])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a/b.PNG", "image"),
        ("https://x.org/a.jpeg?size=3.wav", "image"),
        ("a.wav", "audio"),
        ("a.mp4", "video"),
        ("a.npy", "series"),
        ("a.tar.gz", None),
        ("png", None),
        ("A sentence. And one more", None),
    ],
)
def test_kind_by_name(name: str, kind: str | None) -> None:
    assert kind_of_name(name) == kind


def test_kind_by_content(tmp_path: Path) -> None:
    """Against files written by the libraries themselves."""
    import av
    import soundfile
    from PIL import Image

    picture = Image.fromarray(np.zeros((16, 16, 3), np.uint8))
    for suffix in ("png", "jpeg", "gif", "bmp", "webp", "tiff", "ppm"):
        picture.save(tmp_path / f"image.{suffix}")
    for suffix in ("wav", "flac", "ogg", "mp3", "aiff"):
        soundfile.write(tmp_path / f"audio.{suffix}", np.zeros(8000), 8000)
    for suffix in ("mp4", "mkv", "avi", "mov"):
        with av.open(str(tmp_path / f"video.{suffix}"), "w") as container:
            stream = container.add_stream("mpeg4", rate=5)
            stream.width = stream.height = 16
            frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))
            container.mux([*stream.encode(frame), *stream.encode()])
    np.save(tmp_path / "series.npy", np.zeros(3))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 17
    for file in files:
        assert kind_of_content(file.read_bytes()[:64]) == file.stem == kind_of_name(file.name), file
    assert kind_of_content(b"just some text, nothing else") is None


def test_importing_is_light() -> None:
    import subprocess

    code = "import sys, polymodal.table.media; print({'torch', 'scipy', 'av'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
