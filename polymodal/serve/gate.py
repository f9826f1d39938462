"""Before any route: who asks, how much, and from where; after it: the request's id, counts, a line.

What it refuses it refuses by the head of a request, before a byte of the body is read.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect

from polymodal.base.errors import UserError
from polymodal.serve.cells import Limits
from polymodal.serve.errors import Refused
from polymodal.serve.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger("polymodal.serve")

# Asked by whoever runs the machine, who has no key.
OPEN = ("/health", "/ready")
# Characters of a key at least.
SHORTEST = 16
LOCAL = ("localhost", "127.0.0.1", "[::1]")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:\d{1,5})?")


def keys_of(text: str) -> tuple[str, ...]:
    """Clients' keys, between blanks, commas or lines.

    Raises:
        UserError: one is so short that it can be guessed.
    """
    found = tuple(word for word in re.split(r"[\s,]+", text) if word)
    if short := [word for word in found if len(word) < SHORTEST]:
        raise UserError(
            f"A key has {len(short[0])} characters",
            expected=f"{SHORTEST} at least, so that nobody guesses it",
            do='python -c "import secrets; print(secrets.token_urlsafe())"',
        )
    return found


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        keys: of clients; none: everybody may.
        hosts: names that requests may call this server by; none: any. Against pages that have
            their own name lead to this machine.
    """

    keys: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def check(self, path: str, headers: dict[str, str]) -> None:
        """Refused unless a request may be answered."""
        host = headers.get("host", "")
        if not _HOST.fullmatch(host):
            raise Refused(400, "The header Host is no name of a host", code="invalid_host")
        if self.hosts and _name(host) not in self.hosts:
            raise Refused(403, "This server is not called so", param="host", code="unknown_host")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            what = "Pages of other origins may not ask"
            raise Refused(403, what, param="origin", code="foreign_origin")
        if self.keys and path not in OPEN and not self._knows(headers):
            raise Refused(401, "A valid key is required", code="invalid_api_key")

    def _knows(self, headers: dict[str, str]) -> bool:
        given = hashlib.sha256(_key(headers).encode("utf-8", "replace")).digest()
        # All of them, in constant time: how long it takes tells nothing.
        found = [
            hmac.compare_digest(given, hashlib.sha256(key.encode()).digest()) for key in self.keys
        ]
        return any(found)


class Gate:
    """The ASGI application around the routes.

    Args:
        app: called for what is let in.

    Attributes:
        routes: paths that metrics know by name.
    """

    def __init__(self, app: App, access: Access, limits: Limits, metrics: Metrics) -> None:
        self.app, self.access, self.limits, self.metrics = app, access, limits, metrics
        self.routes: frozenset[str] = frozenset()
        self._in_hand = self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await _Passage(self, scope, receive, send).run()
        else:  # a web socket
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    def enter(self) -> None:
        """Take a place for a request; Refused if none is free."""
        if self._in_hand >= self.limits.requests or self._held >= self.limits.held:
            what = "Too many requests are in hand already"
            raise Refused(429, what, code="overloaded", after=1)
        self._in_hand += 1
        self.metrics.in_hand.set(self._in_hand)

    def hold(self, size: int) -> None:
        """Count bytes of a request that is being read; Refused if there is no room for them."""
        self._held += size
        self.metrics.held.set(self._held)
        if self._held > self.limits.held:
            what = "The requests in hand are too large for one more"
            raise Refused(429, what, code="overloaded", after=1)

    def leave(self, entered: bool, size: int) -> None:
        """Give back what `enter` and `hold` have taken."""
        self._in_hand -= entered
        self._held -= size
        self.metrics.in_hand.set(self._in_hand)
        self.metrics.held.set(self._held)


class _Passage:
    """One request on its way through."""

    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        self.gate, self.scope, self._receive, self._send = gate, scope, receive, send
        self.start = time.monotonic()
        self.status = 0
        self.size = 0
        # Of a header that comes twice, the first counts in no two places alike: it is refused.
        self.headers: dict[str, str] = {}
        self.twice = False
        for key, value in scope["headers"]:
            name = key.decode("latin-1").lower()
            self.twice |= name in self.headers and name in SINGLE
            self.headers[name] = value.decode("latin-1")
        given = self.headers.get("x-request-id", "")
        self.id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = self.id

    async def run(self) -> None:
        entered = False
        try:
            if self.twice:
                raise Refused(400, "A header that must be single is repeated", code="header_twice")
            self.gate.access.check(self.scope["path"], self.headers)
            self._check_length()
            if self.scope["path"] not in OPEN:
                self.gate.enter()
                entered = True
            await self.gate.app(self.scope, self.receive, self.send)
        except Refused as refused:
            await self.refuse(refused)
        except (ClientGone, ClientDisconnect):
            self.status = self.status or 499
        except Exception:
            logger.exception("failed", extra={"request_id": self.id, "path": self.scope["path"]})
            await self.refuse(Refused(500, "The server failed on this request", code="failed"))
        finally:
            self.gate.leave(entered, self.size)
            self._note()

    async def receive(self) -> Message:
        """A part of the body, counted; the whole of it must be there in time."""
        left = self.start + READING - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, left) if self.status == 0 else None):
                message = await self._receive()
        except TimeoutError:
            raise Refused(408, f"The body was not there in {READING} s", code="slow") from None
        self.size += (size := len(message.get("body", b"")))
        if self.size > self.gate.limits.body:
            raise self._too_large()
        self.gate.hold(size)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self.id.encode()),
                (b"x-content-type-options", b"nosniff"),
                (b"cache-control", b"no-store"),
            ]
        await self._send(message)

    async def refuse(self, refused: Refused) -> None:
        if self.status:  # an answer has begun
            return
        headers = {"content-type": "application/json", **refused.headers}
        # What is left of the body is not read.
        headers |= {"connection": "close"} if refused.status in (408, 413, 429) else {}
        content = refused.body()
        headers["content-length"] = str(len(content))
        await self.send(
            {
                "type": "http.response.start",
                "status": refused.status,
                "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
            }
        )
        await self.send({"type": "http.response.body", "body": content})

    def _check_length(self) -> None:
        told = self.headers.get("content-length")
        if told is not None and (not told.isascii() or not told.isdigit()):
            raise Refused(400, "The header Content-Length is no number", code="invalid_length")
        if told is not None and int(told[:20]) > self.gate.limits.body:
            raise self._too_large()
        if self.headers.get("content-encoding", "identity").lower() != "identity":
            what = "A compressed body is not read"
            raise Refused(415, what, param="content-encoding", code="compressed")

    def _too_large(self) -> Refused:
        most = f"{self.gate.limits.body / 2**20:,.0f} MiB"
        return Refused(413, f"The request is larger than {most}", code="too_large")

    def _note(self) -> None:
        path = self.scope["path"]
        route = path if path in self.gate.routes else "other"
        seconds = time.monotonic() - self.start
        self.gate.metrics.requests.labels(route, str(self.status)).inc()
        self.gate.metrics.seconds.labels(route).observe(seconds)
        if path in OPEN and self.status < 400:
            return
        client = self.scope.get("client")
        logger.info(
            "request",
            extra={
                "request_id": self.id,
                "client": client[0] if client else None,
                "method": self.scope["method"],
                "path": path[:200],
                "status": self.status,
                "bytes": self.size,
                "ms": round(1000 * seconds, 1),
                **self.scope["state"].get("note", {}),
            },
        )


class ClientGone(Exception):
    """Whoever asked waits for no answer."""


# Seconds that a body may take to arrive.
READING = 30
SINGLE = ("host", "content-length", "content-type", "authorization", "origin", "x-request-id")


def _name(host: str) -> str:
    return re.sub(r":\d+$", "", host).lower()


def _key(headers: dict[str, str]) -> str:
    """The key that a client gives: as a bearer's token, as a header, or as a browser's password."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            told = base64.b64decode(rest.strip(), validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return ""
        return told.partition(":")[2]
    return headers.get("x-api-key", "")


def hosts_of(host: str, more: Sequence[str] = ()) -> tuple[str, ...]:
    """The names that a server bound to an address may be called by; any if it is no local one."""
    if more or host in ("localhost", "127.0.0.1", "::1"):
        return (*LOCAL, *(name.lower() for name in more))
    return ()
