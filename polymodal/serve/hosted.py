"""A run that is served, and how a route asks it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from polymodal.serve.errors import Refused
from polymodal.serve.gate import ClientGone
from polymodal.serve.lane import Lane
from polymodal.serve.schema import Shapes

# Seconds that a request waits before its client is watched: most are answered sooner.
UNWATCHED = 0.05


@dataclass(frozen=True)
class Hosted:
    """A run that is served: its queue and its types."""

    lane: Lane
    shapes: Shapes

    @property
    def name(self) -> str:
        return self.shapes.name

    async def ask(self, request: Request, what: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """A worker's answer; requests whose options and types of cells are alike share a batch."""
        options = {key: value for key, value in wanted.items() if key != "rows"}
        alike = (json.dumps(options, sort_keys=True), _types(wanted["rows"]))
        request.state.note = {"model": self.name, "rows": len(wanted["rows"])}
        found: dict[str, Any] = await while_there(request, self.lane.ask(what, wanted, alike))
        return found

    async def write(
        self, request: Request, said: Mapping[str, Any], how: Mapping[str, Any], seed: int
    ) -> AsyncIterator[Any]:
        """Parts of texts as they come, (which text, what comes), and last the answer.

        Requests that ask in the same manner are written in one batch.

        Args:
            said: what the texts go on from: as of `messages.said`.
        """
        target = self.shapes.written
        wanted = {**said, "how": how, "seed": seed, "target": target}
        alike = (json.dumps(how, sort_keys=True), target, _types(said["rows"]))
        request.state.note = {"model": self.name, "rows": 1}
        parts = self.lane.stream("write", wanted, alike)
        try:
            while True:
                yield await while_there(request, anext(parts))
        except StopAsyncIteration:
            return
        finally:
            await parts.aclose()


async def while_there(request: Request, answer: Awaitable[Any]) -> Any:
    """An answer, unless the client goes away: then nothing waits for it any longer."""
    task = asyncio.ensure_future(answer)
    gone: asyncio.Task[None] | None = None
    try:
        await asyncio.wait({task}, timeout=UNWATCHED)
        if not task.done():
            gone = asyncio.create_task(_gone_away(request))
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        left = {one for one in (task, gone) if one is not None and not one.done()}
        for one in left:
            one.cancel()
        if left:  # what they hold is free once they have ended
            await asyncio.wait(left)


async def _gone_away(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def vector(content: bytes, coded: str) -> Any:
    """Little-endian float32 as numbers, or in base64."""
    if coded == "base64":
        return base64.b64encode(content).decode()
    return np.frombuffer(content, "<f4").tolist()


def _types(rows: Any) -> tuple[tuple[str, str], ...]:
    """What sort of value stands in each column: Arrow holds one sort in a column."""
    return tuple(
        sorted(
            {
                (name, "list" if isinstance(value, list) else type(value).__name__)
                for row in rows
                for name, value in row.items()
                if value is not None
            }
        )
    )


def line(value: Any) -> bytes:
    """A server-sent event."""
    content = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return b"data: " + content.encode("utf-8", "replace") + b"\n\n"


async def streamed(events: AsyncIterator[bytes]) -> Response:
    """An answer of events. What refuses the first of them refuses the request; later it is one."""
    first = await anext(events)

    async def all_of_them() -> AsyncIterator[bytes]:
        yield first
        try:
            async for event in events:
                yield event
        except Refused as refused:
            yield line(json.loads(refused.body()))
        except ClientGone:
            return

    return StreamingResponse(all_of_them(), media_type="text/event-stream")


def answered(value: Any, status: int = 200) -> Response:
    content = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(content.encode("utf-8", "replace"), status, media_type="application/json")
