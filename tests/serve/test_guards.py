"""What is refused: by a status of 4xx and the one shape of errors, with nothing read or fetched."""

from __future__ import annotations

import base64
import gc
import io
import json
import pickle
import resource
import socket
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from polymodal.serve.cells import Limits

pytestmark = [pytest.mark.whole, pytest.mark.anyio]

SMALL = Limits(body=300_000, file=60_000, rows=8, text=5_000, numbers=5_000)
SECRET = "canary-of-the-machine"
OPENED: list[str] = []
# MB that a worker may keep of a hundred files, which libraries have loaded code for.
KEPT = 150


def _watch(event: str, given: tuple[Any, ...]) -> None:
    if event == "open" and SECRET in str(given[0]):
        OPENED.append(str(given[0]))


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def nothing_is_opened_or_connected_to(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    asked: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, to: asked.append(to))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **_: asked.append(given) or [])
    OPENED.clear()
    yield
    assert not asked and not OPENED


def chunk(name: bytes, content: bytes) -> bytes:
    sum_ = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + sum_


def png_of(width: int, height: int, content: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(content or bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


def picture(kind: str, side: int = 24) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def tiff_of(width: int, height: int) -> bytes:
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (262, 3, 1), (273, 4, 8), (279, 4, 9)]
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + body + bytes(4)


def long_sound() -> bytes:
    """An hour of silence in some kilobytes."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(3_000 * 1000, np.int16), 1000, "PCM_16", format="FLAC")
    return file.getvalue()


def wav_of(rate: int, size: int, there: int = 100) -> bytes:
    form = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate % 2**32, 2, 16)
    chunks = (
        b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + bytes(there)
    )
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks


def npy_of(shape: str, kind: str = "<f8", content: bytes = b"") -> bytes:
    head = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + content


class Evil:
    def __reduce__(self) -> Any:
        return open, (f"/tmp/{SECRET}", "w")


def objects() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Evil()], dtype=object), allow_pickle=True)
    return file.getvalue()


def jpeg_of_scans() -> bytes:
    """Thousands of scans, each of which goes over the whole picture."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    start = content.index(b"\xff\xda")
    return content[:start] + content[start:-2] * 100 + b"\xff\xd9"


def jpeg_of(side: int) -> bytes:
    """Whose header says that it is so large."""
    content = picture("JPEG")
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">HH", side, side) + content[place + 4 :]


def webp_of(side: int) -> bytes:
    size = (side - 1).to_bytes(3, "little")
    head = b"VP8X" + struct.pack("<I", 10) + bytes(4) + size + size
    content = b"WEBP" + head + picture("WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(content)) + content


def icon_of(content: bytes) -> bytes:
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(content), 22) + content


PICTURES = {
    "a png of 10 000 Mpx": png_of(100_000, 100_000),
    "a png of 26 Mpx": png_of(5100, 5100),
    "a png of 2^31 pixels a side": png_of(2**31 - 1, 2**31 - 1),
    "a png that unpacks to 50 MB": png_of(8000, 8000, bytes(50_000_000)),
    "a png cut short": picture("PNG")[:-200],
    "a png of a header only": picture("PNG")[:33],
    "a gif of 4 000 Mpx": b"GIF89a\xff\xff\xff\xff" + bytes(20),
    "a gif that is a script": b"GIF89a/*\0\0*/=1;alert(1)//",
    "a bmp of 1 000 Mpx": b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 32000, 32000, 1, 24, 0),
    "a tiff of 4 000 Mpx": tiff_of(65000, 65000),
    "a jpeg of 4 000 Mpx": jpeg_of(65535),
    "a webp of 268 Mpx": webp_of(16384),
    "an icon that is a png of 10 000 Mpx": icon_of(png_of(100_000, 100_000)),
    "a portable map of 10 000 Mpx": b"P6 100000 100000 255\n" + bytes(30),
    "a png whose text unpacks to 50 MB": png_of(8, 8)[:33]
    + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))
    + png_of(8, 8)[33:-12],
    "a webp cut short": picture("WEBP")[:40],
    "a jpeg of hundreds of scans": jpeg_of_scans(),
    "a jpeg cut short": picture("JPEG")[:200],
    "a picture of postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "a vector graphic": b'<svg><image href="file:///etc/passwd"/></svg>',
    "an external entity": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "a document": b"%PDF-1.7 /OpenAction",
    "a pickle": pickle.dumps(Evil()),
    "a zip archive": b"PK\x03\x04" + bytes(100),
    "a compressed file": zlib.compress(bytes(1_000_000)),
    "words": b"/etc/passwd",
}
SOUNDS = {
    "a wav without a rate": wav_of(0, 100),
    "a wav at 4 GHz": wav_of(2**32 - 1, 100),
    "a wav of a header only": wav_of(16_000, 0, 0),
    "most of an hour": long_sound(),
    "a playlist": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n",
    "a list of files": f"ffconcat version 1.0\nfile /tmp/{SECRET}\n".encode(),
    "a playlist in xml": b"<?xml version='1.0'?><MPD><BaseURL>file:///etc/</BaseURL></MPD>",
    "noise called mp3": b"ID3\x04\0\0\0\0\0\0" + bytes(range(256)) * 4,
    "a flac cut short": b"fLaC\x80\0\0\x22" + bytes(10),
    "an ogg of a head only": b"OggS\0\x02" + bytes(40),
    "midi": b"MThd\0\0\0\x06\0\x01\0\x01\0\x60",
    "a sound that is a picture": picture("PNG"),
}
SERIES = {
    "a pickle in an array": objects(),
    "an array of a header of 8 TB": npy_of("(1000000000000,)"),
    "an array of a shape below 0": npy_of("(-5,)"),
    "an array whose header is code": npy_of("(__import__('os').system('id'),)"),
    "an array cut short": npy_of("(100,)", content=bytes(16)),
    "a deep list in a file": b"[" * 50_000 + b"]" * 50_000,
    "words for numbers": b"a,b\nc,d\n",
    "other channels": b"1,2,3\n4,5,6\n",
    "lines of several lengths": b"1,2\n3\n",
}
NAMES = {
    "a file's address": "file:///etc/passwd",
    "a file's address with a host": "file://localhost/etc/passwd",
    "an absolute path": f"/tmp/{SECRET}",
    "a path upwards": f"../../../../tmp/{SECRET}",
    "a path of another system": "\\\\10.0.0.1\\share\\a.png",
    "metadata of a cloud": "http://169.254.169.254/latest/meta-data/",
    "this machine": "http://127.0.0.1:8000/",
    "this machine in another notation": "http://[::ffff:7f00:1]/",
    "this machine as a number": "http://2130706433/",
    "an address that redirects": "https://httpbin.org/redirect-to?url=http://127.0.0.1/",
    "another protocol": "gopher://127.0.0.1:6379/_FLUSHALL",
    "a store": "s3://bucket/key",
    "a chain of stores": f"simplecache::file:///tmp/{SECRET}",
    "a data URL that is no base64": "data:image/png,%89PNG",
    "a data URL without content": "data:image/png;base64",
    "a broken data URL": "data:image/png;base64,@@@@",
    "a path with NUL": f"/tmp/{SECRET}\0.png",
    "base64 with a path behind it": f"aGVsbG8=/../tmp/{SECRET}",
    "a list of numbers": "[1, 2, 3]",
    "nothing": "",
}
BODIES = {
    "nothing": b"",
    "a deep list": b'{"rows":' + b"[" * 100_000,
    "a deep mapping": b'{"row":' + b'{"a":' * 50_000,
    "a deep cell": b'{"row":{"signal":' + b"[" * 5000 + b"]" * 5000 + b"}}",
    "half a document": b'{"row": {"note": "a"',
    "two documents": b'{"row": {}}{"row": {}}',
    "bytes that are no text": b'{"row": {"note": "\xff\xfe"}}',
    "half a character": b'{"row": {"note": "\\ud800"}}',
    "NUL in a text": b'{"row": {"note": "a\\u0000b"}}',
    "NUL in a category": b'{"row": {"colour": "red\\u0000"}}',
    "NUL in a name": b'{"row": {"no\\u0000te": "a"}}',
    "no number": b'{"row": {"price": NaN}}',
    "no end": b'{"row": {"price": Infinity}}',
    "a number beyond all": b'{"row": {"price": 1e999}}',
    "a number of 5 000 digits": b'{"row": {"price": ' + b"9" * 5000 + b"}}",
    "a list": b"[]",
    "null": b"null",
    "a row that is none": b'{"row": null}',
    "one row and several": b'{"row": {}, "rows": [{}]}',
    "no rows": b'{"rows": []}',
    "too many rows": json.dumps({"rows": [{}] * 9}).encode(),
    "a column that is none": b'{"row": {"pictrue": "a"}}',
    "a name of python's": b'{"row": {"__class__": {"__init__": 1}}}',
    "a mapping for a text": b'{"row": {"note": {"path": "/etc/passwd"}}}',
    "a mapping for a file": b'{"row": {"photo": {"path": "/etc/passwd"}}}',
    "a list of paths": b'{"row": {"signal": ["/etc/passwd"]}}',
    "a list of paths for a file": b'{"row": {"photo": ["/etc/passwd"]}}',
    "numbers for a picture": b'{"row": {"photo": [[1, 2], [3, 4]]}}',
    "words for a number": b'{"row": {"price": "many"}}',
    "truth for a number": b'{"row": {"price": true}}',
    "a text that is too long": json.dumps({"row": {"note": "a" * 5001}}).encode(),
    "a series that is too long": json.dumps({"row": {"signal": [0.5] * 5001}}).encode(),
    "a series of nothing": b'{"row": {"signal": []}}',
    "a series of several lengths": b'{"row": {"signal": [[1, 2], [3]]}}',
    "a modality that is none": b'{"row": {}, "absent": ["smell"]}',
    "no probability": b'{"row": {}, "interval": 7}',
    "a field that is none": b'{"row": {}, "callback": "http://127.0.0.1/"}',
    "a request that is too large": b'{"row": {"note": "' + b"a" * 400_000 + b'"}}',
}


def body_of(column: str, content: bytes) -> bytes:
    return json.dumps({"row": {column: base64.b64encode(content).decode()}}).encode()


CASES: dict[str, bytes] = {
    **BODIES,
    **{f"photo: {name}": body_of("photo", one) for name, one in PICTURES.items()},
    **{f"clip: {name}": body_of("clip", one) for name, one in SOUNDS.items()},
    **{f"signal: {name}": body_of("signal", one) for name, one in SERIES.items()},
    **{f"{n} named": json.dumps({"row": {"photo": one}}).encode() for n, one in NAMES.items()},
    "clip named": json.dumps({"row": {"clip": f"/tmp/{SECRET}"}}).encode(),
    "signal named": json.dumps({"row": {"signal": f"/tmp/{SECRET}"}}).encode(),
    "a file that is too large": body_of("photo", bytes(60_001)),
}
# What libraries say of such files, or what lies on the machine, is no client's.
LEAKS = ("Traceback", "PIL", "libav", "zlib", "root:", "polymodal/", "site-packages", "Errno")


def is_refused(answer: Any) -> None:
    assert 400 <= answer.status_code < 500, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    assert not any(leak in answer.text for leak in LEAKS), answer.text
    assert answer.headers["x-request-id"]


def memory() -> float:
    """MB that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


async def test_hostile_requests(serve: Any, make: Any, tmp_path: Path) -> None:
    """More than a hundred of them; after all of them the server answers as before."""
    (Path("/tmp") / SECRET).write_text("root:x:0:0")
    assert len(CASES) > 100
    OPENED.clear()
    json_ = {"content-type": "application/json"}
    try:
        async with serve(limits=SMALL) as client:
            before = (await client.post("/predict", json={"row": make.row(0)})).json()
            start = memory()
            for name, body in CASES.items():
                answer = await client.post("/predict", content=body, headers=json_)
                try:
                    is_refused(answer)
                except AssertionError as error:
                    raise AssertionError(f"{name}: {error}") from error
            for sort in ("embed", "explain"):
                for name in ("photo: a png cut short", "clip: a playlist", "nothing"):
                    is_refused(await client.post(f"/{sort}", content=CASES[name], headers=json_))
            for name in ("photo: a png of 26 Mpx", "clip: most of an hour"):
                answer = await client.post("/predict", content=CASES[name], headers=json_)
                assert answer.status_code == 413 and "more than" in answer.text, name
            after = (await client.post("/predict", json={"row": make.row(0)})).json()
            assert after == before
            assert memory() - start < KEPT
    finally:
        (Path("/tmp") / SECRET).unlink()


def form(*parts: tuple[str, bytes]) -> bytes:
    lines = [
        b"--x\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n" for head, content in parts
    ]
    return b"".join(lines) + b"--x--\r\n"


FIELD = 'Content-Disposition: form-data; name="{}"'
FILE = FIELD + '; filename="{}"'
FORMS: dict[str, tuple[str, bytes]] = {
    "no boundary": ("multipart/form-data", form((FIELD.format("note"), b"a"))),
    "another boundary": ("multipart/form-data; boundary=y", form((FIELD.format("note"), b"a"))),
    "no name": ("multipart/form-data; boundary=x", form(("Content-Disposition: form-data", b"a"))),
    "cut short": ("multipart/form-data; boundary=x", b"--x\r\nContent-Dispo"),
    "a field that is none": (
        "multipart/form-data; boundary=x",
        form((FIELD.format("pictrue"), b"a")),
    ),
    "a file for a text": (
        "multipart/form-data; boundary=x",
        form((FILE.format("note", "/etc/passwd"), b"a")),
    ),
    "two files in a cell": (
        "multipart/form-data; boundary=x",
        form((FILE.format("photo", "a"), b"a"), (FILE.format("photo", "b"), b"a")),
    ),
    "two texts in a cell": (
        "multipart/form-data; boundary=x",
        form((FIELD.format("colour"), b"red"), (FIELD.format("colour"), b"blue")),
    ),
    "a path for a file": (
        "multipart/form-data; boundary=x",
        form((FIELD.format("photo"), b"/etc/passwd")),
    ),
    "a file that is none": (
        "multipart/form-data; boundary=x",
        form((FILE.format("photo", "../../a.png"), b"a")),
    ),
    "thousands of fields": (
        "multipart/form-data; boundary=x",
        form(*[(FIELD.format(f"f{i}"), b"a") for i in range(2000)]),
    ),
    "dozens of files": (
        "multipart/form-data; boundary=x",
        form(*[(FILE.format(f"f{i}", "a"), b"a") for i in range(50)]),
    ),
    "a list that is none": (
        "multipart/form-data; boundary=x",
        form((FIELD.format("signal"), b"[" * 10_000)),
    ),
    "another character set": (
        "multipart/form-data; boundary=x; charset=nosuch",
        form((FIELD.format("note"), b"\xff\x00")),
    ),
    "of another type": ("text/plain", b'{"row": {}}'),
    "of no type": ("", b'{"row": {}}'),
    "an address's form": ("application/x-www-form-urlencoded", b"note=a"),
    "xml": ("application/xml", b"<row/>"),
}


async def test_hostile_forms(serve: Any) -> None:
    async with serve(limits=SMALL) as client:
        for name, (kind, body) in FORMS.items():
            headers = {"content-type": kind} if kind else {}
            answer = await client.post("/predict", content=body, headers=headers)
            try:
                is_refused(answer)
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from error


Raw = Callable[..., Any]


async def asked(client: Any, headers: list[tuple[bytes, bytes]], path: str = "/predict") -> Any:
    """The answer to a request whose headers no client library would send."""
    app = client._transport.app
    told: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("its body was read")

    async def send(message: Any) -> None:
        told.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("1.2.3.4", 5),
        "scheme": "http",
        "server": ("test", 80),
    }
    await app(scope, receive, send)
    body = b"".join(one.get("body", b"") for one in told)
    return told[0]["status"], dict(told[0]["headers"]), json.loads(body)["error"]


KIND = (b"content-type", b"application/json")
HOST = (b"host", b"test")
HEADERS: dict[str, tuple[list[tuple[bytes, bytes]], int]] = {
    "no host": ([KIND], 400),
    "a host with a name": ([KIND, (b"host", b"me@test")], 400),
    "a host with a path": ([KIND, (b"host", b"test/../")], 400),
    "two hosts": ([KIND, HOST, (b"host", b"other")], 400),
    "two lengths": ([KIND, HOST, (b"content-length", b"3"), (b"content-length", b"4")], 400),
    "a length that is none": ([KIND, HOST, (b"content-length", b"-3")], 400),
    "a length of digits of another script": ([KIND, HOST, (b"content-length", b"\xb2")], 400),
    "a length beyond all": ([KIND, HOST, (b"content-length", b"9" * 30)], 413),
    "a compressed body": ([KIND, HOST, (b"content-encoding", b"gzip")], 415),
    "a page of another origin": ([KIND, HOST, (b"origin", b"http://evil.example")], 403),
    "a page of a file": ([KIND, HOST, (b"origin", b"null")], 403),
}


@pytest.mark.parametrize("name", HEADERS)
async def test_tricks_with_headers_are_refused_before_the_body_is_read(
    name: str, serve: Any
) -> None:
    headers, wanted = HEADERS[name]
    async with serve(limits=SMALL) as client:
        status, _, error = await asked(client, headers)
        assert status == wanted and error["message"]


async def test_an_id_of_a_request_is_kept_or_made(serve: Any) -> None:
    async with serve() as client:
        kept = await client.get("/runs", headers={"x-request-id": "abc-123"})
        assert kept.headers["x-request-id"] == "abc-123"
        for bad in ("a b", "x" * 65, "<script>"):
            found = await client.get("/runs", headers={"x-request-id": bad})
            assert len(found.headers["x-request-id"]) == 32


async def test_routes_that_are_none(serve: Any) -> None:
    async with serve() as client:
        for method, path, status in (
            ("GET", "/nothing", 404),
            ("GET", "/predict", 405),
            ("POST", "/runs/other/predict", 404),
            ("GET", "/runs/first/../../etc/passwd", 404),
            ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
            ("TRACE", "/predict", 405),
            ("GET", "/docs", 404),
        ):
            answer = await client.request(method, path)
            assert answer.status_code == status, (path, answer.text)
            is_refused(answer)
