"""The store on disk stays valid whatever happens to the processes that write it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from polymodal.base.errors import PolymodalError, UserError
from polymodal.prepared import cache
from polymodal.prepared.cache import Files, Store
from polymodal.table.media import Media

pytestmark = pytest.mark.whole


def key(i: int) -> bytes:
    return i.to_bytes(16, "big")


def read(store: Store, at: bytes) -> np.ndarray[Any, Any]:
    entry = store.places([at])[at]
    size = int(np.prod(entry.shape))
    return store.array()[entry.offset : entry.offset + size].reshape(entry.shape)


@settings(max_examples=15, deadline=None)
@given(arrays=st.lists(hnp.arrays(np.int32, hnp.array_shapes(max_dims=3, min_side=0)), max_size=8))
def test_what_was_added_is_read_back(
    arrays: list[np.ndarray[Any, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("store")
    with Store(folder, "int32") as store:
        for i, array in enumerate(arrays):
            store.add(key(i), array)
            if i % 2:
                store.flush()
    with Store(folder, "int32") as store:
        for i, array in enumerate(arrays):
            np.testing.assert_array_equal(read(store, key(i)), array)
        assert not store.places([key(999)])


def test_a_key_is_stored_once(tmp_path: Path) -> None:
    with Store(tmp_path, "uint8") as store:
        for _ in range(3):
            store.add(key(1), np.arange(100, dtype=np.uint8))
            store.flush()
    assert (tmp_path / "data.bin").stat().st_size == 100


def test_what_was_added_before_an_interruption_is_kept(tmp_path: Path) -> None:
    def interrupted() -> None:
        with Store(tmp_path, "uint8") as store:
            store.add(key(1), np.ones(3, np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with Store(tmp_path, "uint8") as store:
        np.testing.assert_array_equal(read(store, key(1)), np.ones(3))


def test_a_write_that_was_never_indexed_is_overwritten(tmp_path: Path) -> None:
    with Store(tmp_path, "int32") as store:
        store.add(key(1), np.arange(5, dtype=np.int32))
    with open(tmp_path / "data.bin", "ab") as file:
        file.write(b"half a wri")  # a process died here, before its index transaction
    with Store(tmp_path, "int32") as store:
        assert len(store.array()) == 5
        store.add(key(2), np.arange(7, dtype=np.int32))
        store.flush()
        np.testing.assert_array_equal(read(store, key(1)), np.arange(5))
        np.testing.assert_array_equal(read(store, key(2)), np.arange(7))


def test_data_that_someone_cut_off_counts_as_not_stored(tmp_path: Path) -> None:
    with Store(tmp_path, "int32") as store:
        store.add(key(1), np.arange(5, dtype=np.int32))
    os.truncate(tmp_path / "data.bin", 7)
    with Store(tmp_path, "int32") as store:
        assert not store.places([key(1)])


def test_an_array_of_another_dtype_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolymodalError, match=r"float32.*float64"), Store(tmp_path, "float32") as s:
        s.add(key(1), np.zeros(3))


WRITER = """
import sys, numpy as np
from pathlib import Path
from polymodal.prepared.cache import Store
first = int(sys.argv[2])
with Store(Path(sys.argv[1]), "int64") as store:
    for i in range(first, first + 60):
        store.add(i.to_bytes(16, "big"), np.full(1 + i % 7, i))
        store.flush()
"""


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    # Keys 30..59 are written by both.
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(first)])
        for first in (0, 30)
    ]
    assert [p.wait(timeout=300) for p in processes] == [0, 0]
    with Store(tmp_path, "int64") as store:
        for i in range(90):
            np.testing.assert_array_equal(read(store, key(i)), np.full(1 + i % 7, i))
        assert len(store.array()) == sum(1 + i % 7 for i in range(90))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that only Linux has")
def test_a_full_disk_is_the_users_to_know(tmp_path: Path) -> None:
    (tmp_path / "data.bin").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"full[\s\S]*POLYMODAL_CACHE"), Store(tmp_path, "u1") as s:
        s.add(key(1), np.zeros(3, np.uint8))


def test_a_folder_that_cannot_be_made_is_the_users_to_know(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for use in (lambda f: Store(f, "u1"), Files):
        with pytest.raises(UserError, match=r"cannot be written[\s\S]*POLYMODAL_CACHE"):
            use(tmp_path / "file" / "cache")


def test_a_read_only_index_is_the_users_to_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path, "u1"):
        pass
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3,
        "connect",
        lambda path, **options: connect(f"file:{path}?mode=ro", uri=True, **options),
    )
    with pytest.raises(UserError, match="cannot be written"), Store(tmp_path, "u1") as store:
        store.add(key(1), np.zeros(3, np.uint8))


def test_a_damaged_index_says_what_to_delete(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").write_bytes(b"this is not a database" * 100)
    with pytest.raises(UserError, match=r"damaged[\s\S]*delete"):
        Store(tmp_path, "u1")


def test_default_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", "/somewhere/else")
    assert cache.default_folder() == Path("/somewhere/else")
    monkeypatch.delenv("POLYMODAL_CACHE")
    assert cache.default_folder() == Path.home() / ".cache" / "polymodal"

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert cache.default_folder().name.startswith("polymodal-")


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Labels of the media whose content has been hashed."""
    found: list[str] = []
    key_of = Media.key
    monkeypatch.setattr(Media, "key", lambda self: (found.append(self.label), key_of(self))[1])
    return found


def media(path: Path) -> Media:
    return Media(path.name, path=str(path))


def test_a_settled_file_is_hashed_once(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SETTLED_SECONDS", -1.0)
    (tmp_path / "a.bin").write_bytes(b"content")
    keys = []
    for _ in range(2):
        with Files(tmp_path / "cache") as files:
            keys.append(files.key(media(tmp_path / "a.bin")))
    assert keys[0] == keys[1] and hashed == ["a.bin"]


def test_a_changed_byte_is_noticed_even_under_the_old_time_stamp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SETTLED_SECONDS", -1.0)
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    stamp = path.stat()
    with Files(tmp_path / "cache") as files:
        before = files.key(media(path))
    while path.stat().st_ctime_ns == stamp.st_ctime_ns:  # the clock of the file system is coarse
        path.write_bytes(b"Content")
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert path.stat().st_mtime_ns == stamp.st_mtime_ns
    with Files(tmp_path / "cache") as files:
        assert files.key(media(path)) != before


def test_a_file_that_may_still_change_is_hashed_again(tmp_path: Path, hashed: list[str]) -> None:
    (tmp_path / "a.bin").write_bytes(b"content")
    for _ in range(2):
        with Files(tmp_path / "cache") as files:
            files.key(media(tmp_path / "a.bin"))
    assert hashed == ["a.bin", "a.bin"]


def test_equal_contents_have_equal_keys_and_parts_of_a_file_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"xyxy")
    (tmp_path / "b.bin").write_bytes(b"xyxy")
    path = str(tmp_path / "a.bin")
    with Files(tmp_path / "cache") as files:
        assert files.key(media(tmp_path / "a.bin")) == files.key(media(tmp_path / "b.bin"))
        first = files.key(Media("x", path=path, offset=0, size=2))
        second = files.key(Media("x", path=path, offset=2, size=2))
        third = files.key(Media("x", path=path, offset=1, size=2))
    assert first == second != third


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"), Files(tmp_path / "cache") as files:
        files.key(media(tmp_path / "none.bin"))


def test_clearing_deletes_what_is_kept_and_nothing_else(tmp_path: Path) -> None:
    folder, name = tmp_path / "cache", "0123456789abcdef" * 2
    with Store(folder / "text" / "form", "float32") as store:
        store.add(key(1), np.ones(3, np.float32))
    with Files(folder):
        pass
    kept = [folder / "tables" / f"{name}.arrow", folder / "scores" / f"{name}.npz"]
    foreign = [
        folder / "image" / "holiday" / "data.bin",
        folder / "notes.txt",
        folder / "text" / "form" / "thesis.txt",
        folder / "text" / "index.sqlite",
        folder / "video" / "mine" / "index.sqlite",
        folder / "tables" / "mine.arrow",
        folder / "scores" / "mine.npz",
        folder / "unsaved" / "mine.txt",
        folder / "unsaved" / "1" / "mine.txt",
    ]
    for path in kept + foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    (folder / "kernels.json").write_text("{}")
    own = sqlite3.connect(folder / "video" / "other.sqlite")
    own.execute("CREATE TABLE cells (mine INT)")
    own.execute("CREATE TABLE mine (mine INT)")
    own.close()
    (folder / "video" / "other").mkdir()
    os.rename(folder / "video" / "other.sqlite", folder / "video" / "other" / "index.sqlite")
    foreign.append(folder / "video" / "other" / "index.sqlite")
    found = {str(path.relative_to(folder)) for path in cache.kept(folder)}
    stored = {"text/form/index.sqlite", "text/form/data.bin", "files.sqlite", "kernels.json"}
    assert found == stored | {f"tables/{name}.arrow", f"scores/{name}.npz"}
    cache.clear(folder)
    assert cache.kept(folder) == [] and all(path.exists() for path in foreign)
    cache.clear(tmp_path / "none")


def test_an_index_of_another_program_is_left_alone(tmp_path: Path) -> None:
    own = sqlite3.connect(tmp_path / "index.sqlite")
    own.execute("CREATE TABLE mine (x INT)")
    own.close()
    with pytest.raises(UserError, match="not what polymodal keeps"):
        Store(tmp_path, "uint8")
    before = (tmp_path / "index.sqlite").read_bytes()
    own = sqlite3.connect(tmp_path / "index.sqlite")
    assert own.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]
    own.close()
    assert (tmp_path / "index.sqlite").read_bytes() == before


def test_an_index_of_an_earlier_layout_is_emptied(tmp_path: Path) -> None:
    own = sqlite3.connect(tmp_path / "index.sqlite")
    own.execute("CREATE TABLE cells (key BLOB PRIMARY KEY, offset INT, shape TEXT)")
    own.execute("INSERT INTO cells VALUES (?, 0, '3')", (key(1),))
    own.commit()
    own.close()
    with Store(tmp_path, "uint8") as store:
        assert not store.places([key(1)])


SPOIL = {
    "data": lambda folder, index: flip(folder / "data.bin", 41),
    "offset": lambda folder, index: index.execute("UPDATE arrays SET offset = offset - 1"),
    "negative offset": lambda folder, index: index.execute("UPDATE arrays SET offset = -3"),
    "offset far out": lambda folder, index: index.execute("UPDATE arrays SET offset = 1 << 60"),
    "offset a text": lambda folder, index: index.execute("UPDATE arrays SET offset = 'x'"),
    "shape turned": lambda folder, index: index.execute("UPDATE arrays SET shape = '5,2'"),
    "shape a text": lambda folder, index: index.execute("UPDATE arrays SET shape = 'a'"),
    "shape too large": lambda folder, index: index.execute("UPDATE arrays SET shape = '99999,9'"),
    "mark": lambda folder, index: index.execute("UPDATE arrays SET cut = 1 - cut"),
    "sum": lambda folder, index: index.execute("UPDATE arrays SET sum = sum + 1"),
    "no shape": lambda folder, index: index.execute("UPDATE arrays SET shape = NULL"),
    "data gone": lambda folder, index: (folder / "data.bin").unlink(),
}


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("what", SPOIL)
def test_what_is_spoilt_counts_as_not_stored_and_spoils_nothing_else(
    what: str, tmp_path: Path
) -> None:
    arrays = [np.arange(10, dtype=np.int32).reshape(2, 5) + 10 * i for i in range(3)]
    with Store(tmp_path, "int32") as store:
        for i, array in enumerate(arrays):
            store.add(key(i), array, truncated=i == 1)
    index = sqlite3.connect(tmp_path / "index.sqlite")
    SPOIL[what](tmp_path, index)
    index.commit()
    index.close()
    with Store(tmp_path, "int32") as store:
        gone = [i for i in range(3) if store.sound(key(i)) is None]
        assert gone == ([1] if what == "data" else [0, 1, 2])
        for i in gone:
            store.add(key(i), arrays[i], truncated=i == 1)
        store.flush()
        assert store.truncated() == {key(1)}
        for i, array in enumerate(arrays):
            assert store.sound(key(i)) is not None
            np.testing.assert_array_equal(read(store, key(i)), array)


def test_a_spoilt_hash_of_a_file_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SETTLED_SECONDS", -1.0)
    file = tmp_path / "a.bin"
    file.write_bytes(b"content")
    with Files(tmp_path / "cache") as files:
        known = files.key(media(file))
    index = sqlite3.connect(tmp_path / "cache" / "files.sqlite")
    index.execute("UPDATE hashes SET key = ?", (b"another" * 2,))
    index.commit()
    index.close()
    with Files(tmp_path / "cache") as files:
        assert files.key(media(file)) == known
