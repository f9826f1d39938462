"""What a cell may name, and what it means: files, addresses, and files that stand in the cell."""

from __future__ import annotations

import base64
import io
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polymodal.base.errors import UserError
from polymodal.table import fetch
from polymodal.table.fetch import is_public, struck
from polymodal.table.media import Media
from polymodal.table.read import Table, read
from polymodal.table.resolve import Reach, resolve

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
ALLOWED = Reach(urls=True)


def fails(cell: Any, base: Path | None = None, reach: Reach = ALLOWED) -> str:
    with pytest.raises(UserError) as caught:
        content(cell, base, reach)
    assert "row 0, column 'x'" in str(caught.value)
    return str(caught.value)


def content(cell: Any, base: Path | None = None, reach: Reach = ALLOWED) -> bytes:
    found = resolve(cell, base and str(base), "row 0, column 'x'", reach)
    assert found is not None
    return found.bytes()


@pytest.mark.parametrize(
    "spelt",
    [" {}", "{} ", "\t{}\n", '"{}"', " '{}'", "./{}", "x/../{}", "file:{abs}", "file://{abs}", "file://localhost{abs}"],
)  # fmt: skip
def test_blanks_and_spellings_of_a_path_do_not_matter(spelt: str, tmp_path: Path) -> None:
    (tmp_path / "a b.png").write_bytes(PNG)
    (tmp_path / "x").mkdir()
    cell = spelt.format("a b.png", abs=tmp_path / "a b.png")
    assert content(cell, tmp_path) == PNG
    assert content(spelt.format("a b.png", abs=quote(str(tmp_path / "a b.png"))), tmp_path) == PNG


def test_paths_of_another_system_and_names_that_end_in_blanks(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(PNG)
    (tmp_path / "b.png ").write_bytes(PNG)
    assert content("pictures\\a.png", tmp_path) == PNG
    assert content("b.png ", tmp_path) == PNG


IN_THE_CELL = {
    "data URI": "data:image/png;base64," + base64.b64encode(PNG).decode(),
    "data URI in capitals": "DATA:IMAGE/PNG;BASE64," + base64.b64encode(PNG).decode(),
    "data URI without base64": "data:image/png," + quote(PNG),
    "base64": base64.b64encode(PNG).decode(),
    "base64 in lines": base64.encodebytes(PNG).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(PNG).decode(),
    "base64 without marks": base64.b64encode(PNG).decode().rstrip("="),
    "a list of one": ["data:image/png;base64," + base64.b64encode(PNG).decode()],
}


@pytest.mark.parametrize("case", IN_THE_CELL)
def test_files_that_stand_in_a_cell_are_read(case: str) -> None:
    assert content(IN_THE_CELL[case]) == PNG


@pytest.mark.parametrize("cell", ["data:image/png;base64", "data:image/png;base64,@@@"])
def test_broken_data_uris_are_named(cell: str) -> None:
    with pytest.raises(UserError, match="broken data URI"):
        resolve(cell, None, "x")


@pytest.mark.parametrize("cell", [["a.png", "b.png"], '["a.png", "b.png"]', [{"bytes": PNG}] * 2])
def test_several_files_in_a_cell_are_named(cell: Any) -> None:
    assert "holds 2 files" in fails(cell)


def test_a_list_of_one_path_is_that_path(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    for cell in (["a.png"], '["a.png"]', [{"bytes": None, "path": "a.png"}]):
        assert content(cell, tmp_path) == PNG


# -- files that are none --------------------------------------------------------------------


def test_pipes_devices_and_files_of_the_system_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert "no regular file" in fails("a.png", tmp_path)
    for path in ("/dev/zero", "/dev/random", "/dev/stdin", "/dev/tty"):
        if os.path.exists(path):
            assert "no regular file" in fails(path)
    assert "is empty" in fails("/proc/kmsg")
    for call in (Media("row 0", path="/dev/zero").key, Media("row 0", path="/dev/zero").open):
        with pytest.raises(UserError, match="no regular file"):
            call()


@pytest.mark.parametrize("size", [3 * 2**30, 2**40])
def test_files_with_holes_are_refused_by_their_size(size: int, tmp_path: Path) -> None:
    with open(tmp_path / "a.wav", "wb") as file:
        file.write(b"RIFF")
        file.truncate(size)
    for use in (Media.bytes, Media.key, Media.open, lambda m: m.head(4)):
        with pytest.raises(UserError, match="too large"):
            use(Media("row 0", path=str(tmp_path / "a.wav")))
    part = {"path": str(tmp_path / "a.wav"), "offset": 0, "size": 10**15}
    assert "too large" in fails(part)


def test_a_part_that_is_not_there_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"12345")
    here = str(tmp_path / "a.tar")
    assert "cut short" in fails({"path": here, "offset": 2, "size": 10**14})
    assert "empty" in fails({"path": here, "offset": 100, "size": 4})
    for wrong in ({"offset": -4, "size": 4}, {"offset": 0, "size": -1}, {"offset": "x", "size": 1}):
        assert "row 0" in fails({"path": here, **wrong})


def lying_npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(4))
    return file.getvalue().replace(b"(4,), }         ", b"(4000000000,), }", 1)


def test_an_array_that_promises_more_than_there_is_takes_no_memory() -> None:
    assert "need 32,000,000,000 bytes, and 32 are there" in fails(lying_npy())
    assert "its version, 9.0, is unknown" in fails(b"\x93NUMPY\x09\x00" + bytes(90))
    for spoilt in (lying_npy()[:9], lying_npy()[:20]):
        assert "broken .npy" in fails(spoilt)


@pytest.mark.parametrize(
    "cell",
    [
        {"array": ["a"], "sampling_rate": 8000},
        {"array": [[1, 2], [3]], "sampling_rate": 8000},
        {"array": [0.5], "sampling_rate": 10**12},
        {"array": [0.5], "sampling_rate": "fast"},
        {"path": 7},
        {"tar": ["a"], "offset": {}, "size": 3},
    ],
)
def test_mappings_of_wrong_types_are_the_users_error(cell: Any) -> None:
    assert "row 0" in fails(cell)


# -- files outside --------------------------------------------------------------------------


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "secret.png").write_bytes(PNG)
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "mine.png").write_bytes(PNG)
    return tmp_path / "secret.png"


@pytest.mark.parametrize(
    "how", ["absolute", "dots", "file", "tar", "part", "other dots", "text", "list"]
)
def test_structs_of_a_file_stay_in_its_folder(how: str, secret: Path) -> None:
    names: dict[str, dict[str, Any]] = {
        "absolute": {"bytes": None, "path": str(secret)},
        "dots": {"bytes": None, "path": "../secret.png"},
        "file": {"bytes": None, "path": f"file://{secret}"},
        "tar": {"tar": str(secret), "offset": 0, "size": 9},
        "part": {"path": str(secret), "offset": 0, "size": 9},
        "other dots": {"bytes": None, "path": "x/../../secret.png"},
        "text": {"bytes": str(secret)},
        "list": {"bytes": [str(secret)]},
    }
    path = secret.parent / "table" / "a.parquet"
    pq.write_table(pa.table({"x": [names[how]]}), path)
    with pytest.raises(UserError, match="outside"):
        list(read(path).media("x"))
    inside = {"bytes": None, "path": "mine.png"}
    pq.write_table(pa.table({"x": [inside]}), path)
    assert [m.bytes() for m in read(path).media("x") if m] == [PNG]
    # What the user says in Python or in a column of texts is the user's own.
    rows = [{"x": names["absolute"]}, {"x": names["absolute"]}]
    assert [m.bytes() for m in read(rows).media("x") if m] == [PNG] * 2
    (path.parent / "a.csv").write_text(f"x\n{secret}\n../secret.png\nmine.png\n")
    table = read(path.parent / "a.csv")
    assert [m.bytes() for m in table.media("x") if m] == [PNG] * 3
    assert table.outside("x") == [0, 1]


def test_a_table_of_several_files_keeps_each_ones_pointers(secret: Path) -> None:
    folder = secret.parent / "table"
    for name in ("a", "b"):
        with pa.OSFile(str(folder / f"{name}.arrow"), "wb") as sink:
            data = pa.table({"x": pa.array([PNG + name.encode()], pa.binary())})
            with pa.ipc.new_file(sink, data.schema) as writer:
                writer.write_table(data)
    table = read(folder)
    assert [m.bytes()[-1:] for m in table.media("x") if m] == [b"a", b"b"]
    assert table.reach.inside and len(table.reach.files) == 2


# -- addresses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/a.png",
        "https://example.org/a.png",
        "ftp://example.org/a.png",
        "s3://bucket/a.png",
        "simplecache::http://127.0.0.1:9/a.png",
        "zip://a.png::http://127.0.0.1:9/a.zip",
    ],
)
def test_nothing_is_fetched_unless_it_is_allowed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "fetch", lambda *_: pytest.fail("was fetched"))
    for cell in (url, f" {url}", {"bytes": None, "path": url}, [url]):
        assert "allow_urls" in fails(cell, reach=Reach())


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "[::1]", "10.1.2.3", "192.168.0.1", "172.16.0.1", "0.0.0.0",
        "169.254.169.254", "100.64.0.1", "[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]",
        "2130706433", "0x7f000001", "127.1", "[2002:7f00:1::]", "[64:ff9b::7f00:1]", "224.0.0.1",
    ],
)  # fmt: skip
def test_private_hosts_are_refused_however_they_are_written(host: str) -> None:
    said = fails(f"http://{host}:9/a.png")
    assert "not a public one" in said or "gaierror" in said


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/a.png", "gopher://example.org/", "dict://example.org:11211/stat",
        "simplecache::http://127.0.0.1:9/a.png", "zip://a.png::memory://b.zip", "http:///a.png",
        "reference://x", "local:///etc/passwd", "github://a:b@c/d.png", "http://[::1/a.png",
    ],
)  # fmt: skip
def test_only_known_protocols_are_spoken(url: str) -> None:
    assert "cannot be fetched" in fails(url)


def test_public_addresses_are_public() -> None:
    assert is_public("93.184.216.34") and is_public("2606:2800:220:1:248:1893:25c8:1946")


class _Server(BaseHTTPRequestHandler):
    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path[4:])
            self.end_headers()
            return
        self.send_response(404 if "gone" in self.path else 200)
        self.end_headers()
        self.wfile.write(PNG)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server at 127.0.0.1, which stands for a public host; 127.0.0.2 is private."""
    served = HTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01}).start()
    monkeypatch.setattr(fetch, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(_Server, "asked", [])
    yield f"127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()


def test_allowed_addresses_are_fetched(server: str) -> None:
    assert content(f"http://{server}/a.png") == PNG
    assert content(f"http://me:s%40y@{server}/b.png?key=7") == PNG
    assert _Server.asked == [("/a.png", None), ("/b.png?key=7", "Basic bWU6c0B5")]
    found = resolve(f"http://{server}/a.png", None, "x", ALLOWED)
    assert found is not None and found.head(4) == PNG[:4]


def test_every_hop_is_checked(server: str) -> None:
    assert content(f"http://{server}/to?http://{server}/a.png") == PNG
    assert "public" in fails(f"http://{server}/to?http://127.0.0.2:9/a.png")
    assert "public" in fails(f"http://{server}/to?http://{server}/to?http://127.0.0.2:9/a.png")
    assert "'file'" in fails(f"http://{server}/to?file:///etc/passwd")
    assert "redirects" in fails(f"http://{server}/to?/to?/to?/to?/to?/to?/to?/a.png")
    assert not any("passwd" in path and "to?" not in path for path, _ in _Server.asked)


def test_an_answer_has_a_size(server: str) -> None:
    found = resolve(f"http://{server}/a.png", None, "x", ALLOWED)
    assert found is not None
    with pytest.raises(UserError, match="more than"):
        found.bytes(100)
    assert "404" in fails(f"http://{server}/gone.png")


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter2@{}/gone.png?sig=hunter2#hunter2",
        "http://hunter2@{}/to?gopher://hunter2@x/",
    ],
)
def test_passwords_are_not_repeated(url: str, server: str) -> None:
    assert "hunter2" not in fails(url.format(server))
    assert "hunter2" not in fails(url.format(server), reach=Reach())


def test_messages_keep_all_but_what_is_secret() -> None:
    assert struck("no s3://k:v@b/x?q=1 here") == "no s3://b/x?... here"
    assert struck("plain a@b.c") == "plain a@b.c"


@pytest.mark.parametrize("base", ["http://{}/d", "memory://d"])
def test_a_table_behind_an_address_names_nothing_here(base: str, server: str, secret: Path) -> None:
    base = base.format(server)
    for cell in (
        str(secret),
        "../secret.png",
        {"path": str(secret)},
        "a b.png",
    ):
        with pytest.raises(UserError, match="allow_urls"):
            resolve(cell, base, "row 0", Reach())
        found = resolve(cell, base, "row 0", ALLOWED)
        assert found is not None and found.path is not None and "://" in found.path
    table = Table(pa.table({"x": [str(secret), "a b.png"]}), base, "there", ALLOWED)
    mine = Table(pa.table({"x": ["mine.png"]}), str(secret.parent / "table"), "here")
    for one, other in ((table, mine), (mine, table)):
        with pytest.raises(UserError, match="behind an address"):
            one.concat(other)
    assert table.outside("x") == []
    if base.startswith("http"):
        assert [m.bytes() for m in table.media("x") if m] == [PNG] * 2
        assert _Server.asked[-1][0] == "/d/a%20b.png"


@pytest.mark.parametrize(
    ("base", "name", "place"),
    [
        ("https://h/a/b", "x.png", "https://h/a/b/x.png"),
        ("https://h/a/b/", "../x.png", "https://h/a/x.png"),
        ("https://h/a/b", "/etc/hostname", "https://h/etc/hostname"),
        ("https://h/a/b", "sub\\a b.png", "https://h/a/b/sub/a%20b.png"),
        ("https://h", "../../x.png", "https://h/x.png"),
        ("https://h/a", "http://o/x.png", "http://o/x.png"),
        ("s3://bucket/a", "../x.png", "s3://bucket/x.png"),
        ("s3://bucket/a", "../../../other/x.png", "s3://bucket/other/x.png"),
        ("gs://bucket", "sub/x.png", "gs://bucket/sub/x.png"),
    ],
)
def test_names_in_a_table_behind_an_address_are_addresses(base: str, name: str, place: str) -> None:
    """Joined in one place, and asked for after that whether they may be fetched."""
    found = resolve(name, base, "row 0", Reach(urls=True))
    assert found is not None and found.path == place
    with pytest.raises(UserError, match="is an address"):
        resolve(name, base, "row 0", Reach())


@pytest.mark.parametrize("name", ["file:///etc/hostname", "FILE:/etc/hostname", "file:x.png"])
@pytest.mark.parametrize("urls", [True, False])
def test_a_table_behind_an_address_names_no_file_of_this_machine(name: str, urls: bool) -> None:
    with pytest.raises(UserError, match="a file of this machine"):
        resolve(name, "https://h/a", "row 0", Reach(urls=urls))
