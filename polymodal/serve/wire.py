"""What the server and its workers say to each other: JSON, with bytes beside it. No pickle is read.

A frame is the length of the JSON (4 bytes), that of all blobs (8 bytes), the JSON, the blobs.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

_HEAD = struct.Struct(">IQ")
# A mapping of this key alone stands for bytes. No client can write it: texts hold no NUL.
_BLOB = "\0"


def packed(value: Any) -> bytes:
    """A frame of mappings, lists, texts, numbers and bytes."""
    blobs: list[bytes] = []

    def aside(one: Any) -> dict[str, int]:
        if not isinstance(one, bytes | bytearray | memoryview):
            raise TypeError(f"{type(one).__name__} cannot be sent")
        blobs.append(bytes(one))
        return {_BLOB: len(blobs) - 1}

    text = json.dumps(value, default=aside, separators=(",", ":"))
    # What was put aside is known when the text is done.
    head = json.dumps([len(one) for one in blobs], separators=(",", ":"))
    content = f"{head}\n{text}".encode()
    return b"".join((_HEAD.pack(len(content), sum(map(len, blobs))), content, *blobs))


def unpacked(content: bytes, blobs: bytes) -> Any:
    """The value of a frame's two parts."""
    head, _, text = content.partition(b"\n")
    found, start = [], 0
    for size in json.loads(head):
        found.append(blobs[start : start + size])
        start += size

    def restored(one: dict[str, Any]) -> Any:
        return found[one[_BLOB]] if one.keys() == {_BLOB} else one

    return json.loads(text, object_hook=restored if found else None)


def read(connection: socket.socket) -> Any:
    """The next frame's value. EOFError where the other side is gone."""
    sizes = _HEAD.unpack(_exactly(connection, _HEAD.size))
    return unpacked(*(_exactly(connection, size) for size in sizes))


async def receive(stream: asyncio.StreamReader) -> Any:
    """As `read`. asyncio.IncompleteReadError, an EOFError, where the other side is gone."""
    content, blobs = _HEAD.unpack(await stream.readexactly(_HEAD.size))
    return unpacked(await stream.readexactly(content), await stream.readexactly(blobs))


def _exactly(connection: socket.socket, size: int) -> bytes:
    content = bytearray(size)
    view = memoryview(content)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return bytes(content)
