"""The head of a request is bounded in size and in time, before any route is known."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from polymodal.serve.errors import Refused

# Bytes of a request's first line and headers, and seconds in which they must be there.
HEAD = 64 * 2**10
SECONDS = 15.0


class Bounded(HttpToolsProtocol):
    """One connection."""

    _size = 0
    _in_head = True
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._size += len(data)
            if self._size > HEAD:
                self.send_400_response("The head of the request is too large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._end()
        self._begin()

    def on_headers_complete(self) -> None:
        self._end()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """In the one shape of errors."""
        content = Refused(400, msg, code="invalid_http").body()
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + content)
        self.transport.close()

    def _begin(self) -> None:
        self._in_head, self._size = True, 0
        self._timer = asyncio.get_running_loop().call_later(SECONDS, self._late)

    def _end(self) -> None:
        self._in_head = False
        if self._timer is not None:
            self._timer.cancel()

    def _late(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
