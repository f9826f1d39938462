"""The routes as an ASGI application, for servers of others: Ray Serve, Hypercorn, uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from polymodal.base.errors import UserError
from polymodal.serve.gate import Access, Receive, Scope, Send
from polymodal.serve.process import Lost, Source
from polymodal.serve.server import Served, Settings


class Application:
    """Runs that are loaded when whoever serves them says that it starts (ASGI's lifespan).

    It holds no model and no process until then, so that it can be sent to another machine.

    Args:
        runs: name -> folder; the first of them is also asked without its name.
        keys: of clients; none: everybody may ask who reaches it.
        threads: that one batch is computed by.
        drain: seconds that what is in hand has to be answered in at the end.
    """

    def __init__(
        self, runs: dict[str, str], keys: tuple[str, ...] = (), threads: int = 1, drain: int = 10
    ) -> None:
        if not runs:
            raise UserError("There is no run to serve", do="name one: {NAME: FOLDER}")
        sources = {name: Source(Path(folder), threads=threads) for name, folder in runs.items()}
        self.settings = Settings(sources, drain=drain, access=Access(keys))
        self._served: Served | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if self._served is None:
            raise RuntimeError("Nothing is loaded: the server has to speak ASGI's lifespan")
        await self._served.gate(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        served = Served(self.settings)
        try:
            await served.load()
        except (UserError, Lost, OSError) as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        self._served = served
        await send({"type": "lifespan.startup.complete"})
        try:
            await receive()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.settings.drain):
                    await served.stop()
        finally:
            await served.kill()
        await send({"type": "lifespan.shutdown.complete"})
