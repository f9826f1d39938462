"""The server's own process: it loads runs, and answers until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import uvicorn

from polymodal.base.errors import UserError
from polymodal.serve.app import application
from polymodal.serve.cells import Limits
from polymodal.serve.gate import Access, Gate
from polymodal.serve.hosted import Hosted
from polymodal.serve.lane import Lane, Pace
from polymodal.serve.logs import to_stderr
from polymodal.serve.metrics import Metrics
from polymodal.serve.process import Lost, Process, Source
from polymodal.serve.protocol import Bounded
from polymodal.serve.schema import shapes

logger = logging.getLogger("polymodal.serve")
# Set where something else keeps strangers away from a server without keys.
UNGUARDED = "POLYMODAL_UNGUARDED"


@dataclass(frozen=True)
class Settings:
    """What is served, where, and to whom.

    Attributes:
        runs: name -> what its workers are started with.
        workers: processes of each run.
        drain: seconds that requests in hand have to be answered in when the server is to stop.
    """

    runs: Mapping[str, Source]
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    drain: int = 10
    access: Access = field(default_factory=Access)
    pace: Pace = field(default_factory=Pace)
    limits: Limits = field(default_factory=Limits)


class Served:
    """Runs behind one gate; they can be exchanged while it is open."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.hosted: dict[str, Hosted] = {}
        self._app: Any = None
        self.gate = Gate(self._routed, settings.access, settings.limits, self.metrics)

    async def load(self) -> None:
        """Load all runs, then answer by them; those before answer what they have, and end.

        Raises:
            UserError: a run cannot be loaded; those before go on answering.
        """
        lanes = [self._lane(name, source) for name, source in self.settings.runs.items()]
        try:
            await asyncio.gather(*(one.start() for one in lanes))
        except BaseException:
            await asyncio.gather(*(one.kill() for one in lanes), return_exceptions=True)
            raise
        before = self.hosted
        limits = self.settings.limits
        self.hosted = {o.name: Hosted(o, shapes(o.name, o.described, limits)) for o in lanes}
        self._app = application(self.hosted, self.gate)
        logger.info("ready", extra={"models": list(self.hosted)})
        await asyncio.gather(*(one.lane.stop() for one in before.values()))

    async def reload(self) -> None:
        """As `load`, where a failure is told and changes nothing."""
        try:
            await self.load()
        except (UserError, Lost, OSError) as error:
            logger.error("not loaded anew", extra={"why": str(error)})

    async def stop(self) -> None:
        await asyncio.gather(*(one.lane.stop() for one in self.hosted.values()))

    async def kill(self) -> None:
        """End all workers at once."""
        await asyncio.gather(*(one.lane.kill() for one in self.hosted.values()))

    def _lane(self, name: str, source: Source) -> Lane:
        backends = [Process(source) for _ in range(self.settings.workers)]
        return Lane(name, backends, self.settings.pace, partial(self.metrics.of_lane, name))

    async def _routed(self, scope: Any, receive: Any, send: Any) -> None:
        # A request is answered by the routes that were there when it came.
        await self._app(scope, receive, send)


class _Uvicorn(uvicorn.Server):
    """It tells where it answers once it does, and leaves signals to whoever started it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Answer what is in hand, then end; asked twice, end at once."""
        self.force_exit, self.should_exit = self.should_exit, True

    async def startup(self, *args: Any, **options: Any) -> None:
        await super().startup(*args, **options)
        places = [one.getsockname() for server in self.servers for one in server.sockets]
        for place in places:
            logger.info("listening", extra={"host": place[0], "port": place[1]})


def serve(settings: Settings) -> None:
    """Answer until SIGTERM or SIGINT; SIGHUP loads the runs anew.

    Raises:
        UserError: a run cannot be loaded, or the place cannot be bound.
    """
    refuse_open(settings)
    to_stderr()
    with asyncio.Runner(loop_factory=_fastest()) as runner:
        runner.run(_serve(settings))


def _fastest() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop, where there is a build of it."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def refuse_open(settings: Settings) -> None:
    """UserError where anybody in the network could ask without a key."""
    local = settings.host in ("127.0.0.1", "::1", "localhost")
    if not local and not settings.access.keys and not os.environ.get(UNGUARDED):
        raise UserError(
            f"Anybody who reaches {settings.host} could ask this server",
            expected="keys of those who may: one a line in a file, or in POLYMODAL_KEYS",
            do=f"`keys FILE`; or set {UNGUARDED}=1 where something before it keeps others out",
        )


async def _serve(settings: Settings) -> None:
    served = Served(settings)
    try:
        await served.load()
    except Lost as error:
        raise UserError(str(error), do="look at what its worker said above") from error
    config = uvicorn.Config(
        served.gate,
        host=settings.host,
        port=settings.port,
        http=Bounded,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=settings.drain,
    )
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def again() -> None:
        task = asyncio.create_task(served.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    server = _Uvicorn(config)
    loop.add_signal_handler(signal.SIGHUP, again)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    try:
        await server.serve()
    except SystemExit as error:  # uvicorn's word for an address that cannot be bound
        place = f"{settings.host}:{settings.port}"
        raise UserError(f"{place} cannot be listened at", do="choose another `port`") from error
    finally:
        for task in reloads:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.drain):
                await served.stop()
        await served.kill()
        logger.info("stopped")
