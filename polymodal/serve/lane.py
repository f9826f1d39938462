"""A run's queue and workers: requests go in, batches are made of those that are alike.

A worker takes what waits as soon as it is idle, up to `batch` rows. It waits for more only where
that pays: a batch of n rows takes about a·n + b seconds, so that joining two saves b, and a wait of
more than b cannot pay, nor one in which, at the pace of late, nobody else would come. Whoever was
answered tends to ask again at once: when all of the last batch are back, it waits no longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from polymodal.base.errors import UserError
from polymodal.serve.errors import Refused
from polymodal.serve.process import Backend, Lost

logger = logging.getLogger(__name__)
# Of what was measured so many batches or arrivals ago, 1/e still counts.
MEMORY = 50
# Seconds between attempts to start a worker again, at most.
PAUSE = 30.0


@dataclass(frozen=True)
class Pace:
    """How requests are queued and joined.

    Attributes:
        batch: rows that are computed at once.
        wait: seconds that a batch may wait for more rows.
        queue: rows that may wait.
        timeout: seconds until a request must have been answered, or a batch computed.
    """

    batch: int = 32
    wait: float = 0.01
    queue: int = 512
    timeout: float = 30.0


@dataclass(eq=False)
class Job:
    """A request that waits for its answer.

    Attributes:
        what, options: requests that have both in common are answered in one batch.
        cost: its rows.
        parts: of its answer, as they come.
        place: the worker that answers it, and its position in the batch.
    """

    what: str
    options: Any
    request: Mapping[str, Any]
    cost: int
    answer: asyncio.Future[Any]
    since: float = field(default_factory=time.monotonic)
    parts: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    place: tuple[Backend, int] | None = None

    def is_like(self, other: Job) -> bool:
        return self.what == other.what and self.options == other.options


class Latency:
    """Seconds of a batch as a·n + b of its n rows: least squares, of late batches mostly."""

    def __init__(self) -> None:
        self._sums = [0.0] * 5  # of 1, n, n², s, n·s

    def add(self, rows: int, seconds: float) -> None:
        fade = math.exp(-1 / MEMORY)
        terms = (1.0, rows, rows * rows, seconds, rows * seconds)
        self._sums = [fade * old + new for old, new in zip(self._sums, terms, strict=True)]

    @property
    def line(self) -> tuple[float, float]:
        """a and b, neither below 0; with batches of one size only, all is taken for a."""
        count, n, nn, s, ns = self._sums
        if not count:
            return 0.0, 0.0
        spread = nn / count - (n / count) ** 2
        if spread < 1e-6:
            return s / n, 0.0
        slope = (ns / count - n * s / count**2) / spread
        slope = min(max(0.0, slope), s / n)
        return slope, max(0.0, (s - slope * n) / count)


class Lane:
    """One run that is served.

    Args:
        name: of the run.
        backends: its workers, not started.
        seen: called with "batch" and rows and seconds, "lost" or "restarted" for metrics.
    """

    def __init__(
        self,
        name: str,
        backends: Sequence[Backend],
        pace: Pace,
        seen: Callable[..., None] = lambda *_: None,
    ) -> None:
        self.name, self.backends, self.pace = name, backends, pace
        self.described: dict[str, Any] = {}
        self.ready = 0
        self._seen = seen
        self._waiting: deque[Job] = deque()
        self._cost = 0
        self._arrived = asyncio.Event()
        self._closing = False
        self._latency: dict[str, Latency] = {}
        self._last, self._gap = -math.inf, math.inf
        self._tasks: list[asyncio.Task[None]] = []

    # -- from outside -----------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        return self._cost

    def refuse_overload(self, more: int = 1) -> None:
        """Refused if the queue has no room for so many more rows."""
        if self._cost + more > self.pace.queue and self._cost:
            what = f"{self._cost} rows wait for '{self.name}' already"
            raise Refused(429, what, code="overloaded", after=self._after())

    async def start(self) -> None:
        """Load the run in every worker. UserError or Lost: it cannot be loaded."""
        found = await asyncio.gather(*(one.start() for one in self.backends))
        self.described, self.ready = found[0], len(found)
        self._tasks = [asyncio.create_task(self._work(one)) for one in self.backends]

    async def stop(self) -> None:
        """Answer what waits, then end the workers."""
        self._closing = True
        self._arrived.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(one.stop() for one in self.backends))
        self.ready = 0

    async def kill(self) -> None:
        """End the workers at once; whoever waits is told."""
        for task in self._tasks:
            task.cancel()
        await self.stop()
        while self._waiting:
            self._tell(self._waiting.popleft(), _gone())

    async def ask(self, what: str, request: Mapping[str, Any], options: Any = None) -> Any:
        """The answer to a request. Refused: there is none."""
        job = self._enter(what, request, options)
        try:
            async with asyncio.timeout(self.pace.timeout):
                answer = await job.answer
        except TimeoutError:
            raise self._late() from None
        finally:
            self._leave(job)
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def stream(
        self, what: str, request: Mapping[str, Any], options: Any = None
    ) -> AsyncGenerator[Any, None]:
        """The parts of an answer as they come, and last the whole. Refused: there is none."""
        job = self._enter(what, request, options)
        job.answer.add_done_callback(lambda _: job.parts.put_nowait(None))
        try:
            while True:
                async with asyncio.timeout(self.pace.timeout):
                    part = await job.parts.get()
                if part is None:
                    break
                yield part
        except TimeoutError:
            raise self._late() from None
        finally:
            self._leave(job)
        answer = job.answer.result()
        if isinstance(answer, Refused):
            raise answer
        yield answer

    def _enter(self, what: str, request: Mapping[str, Any], options: Any) -> Job:
        cost = max(1, len(request.get("rows", ())))
        if self._closing:
            raise _gone()
        if cost > self.pace.queue:
            raise Refused(413, f"At most {self.pace.queue} rows at once", code="too_many_rows")
        self.refuse_overload(cost)
        job = Job(what, options, request, cost, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self._cost += cost
        self._gap_since(job.since)
        self._arrived.set()
        return job

    def _leave(self, job: Job) -> None:
        """Whoever waits no longer takes no place: his client may have gone."""
        if job in self._waiting:
            self._waiting.remove(job)
            self._cost -= job.cost
        elif job.place is not None and not job.answer.done():
            backend, position = job.place
            backend.leave(position)
        job.answer.cancel()

    def _late(self) -> Refused:
        what = f"No answer within {self.pace.timeout:g} s"
        return Refused(503, what, code="timeout", after=self._after())

    # -- a worker ---------------------------------------------------------------------------

    async def _work(self, backend: Backend) -> None:
        rows = self.pace.batch
        while (jobs := await self._batch(rows)) is not None:
            rows, start = sum(job.cost for job in jobs), time.monotonic()
            for position, job in enumerate(jobs):
                job.place = (backend, position)
            try:
                answers = await backend.ask(
                    jobs[0].what,
                    [job.request for job in jobs],
                    self.pace.timeout,
                    lambda position, part, jobs=jobs: jobs[position].parts.put_nowait(part),  # type: ignore[misc]
                )
            except Lost as error:
                logger.warning("worker lost", extra={"model": self.name, "why": str(error)})
                self._seen("lost")
                lost = Refused(
                    503, "The worker died of this batch; try again", code="worker_lost", after=1
                )
                for job in jobs:
                    self._tell(job, lost)
                await self._again(backend)
                continue
            except asyncio.CancelledError:
                for job in jobs:
                    self._tell(job, _gone())
                raise
            seconds = time.monotonic() - start
            self._latency.setdefault(jobs[0].what, Latency()).add(rows, seconds)
            self._seen("batch", rows, seconds)
            for job, answer in zip(jobs, answers, strict=True):
                self._tell(job, answer)

    async def _again(self, backend: Backend) -> None:
        """Start a worker again, as often as it takes."""
        self.ready -= 1
        pause = 0.5
        while not self._closing:
            try:
                await backend.start()
            except (Lost, UserError, OSError) as error:
                logger.error("worker not started", extra={"model": self.name, "why": str(error)})
                await asyncio.sleep(pause)
                pause = min(2 * pause, PAUSE)
                continue
            self.ready += 1
            self._seen("restarted")
            return

    async def _batch(self, before: int) -> list[Job] | None:
        """Requests that are alike, the oldest first; None where no more will come.

        Args:
            before: rows that have just been answered.
        """
        enough = min(self.pace.batch, before + self._cost)
        while not self._waiting:
            if self._closing:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        patience = self._patience(self._waiting[0])
        end = time.monotonic() + patience
        while patience and self._like_first() < enough and not self._closing:
            self._arrived.clear()
            try:
                async with asyncio.timeout(end - time.monotonic()):
                    await self._arrived.wait()
            except TimeoutError:
                break
        return self._taken() or await self._batch(before)

    def _taken(self) -> list[Job]:
        found: list[Job] = []
        left: deque[Job] = deque()
        cost = 0
        for job in self._waiting:
            fits = not found or (job.is_like(found[0]) and cost + job.cost <= self.pace.batch)
            if fits:
                found.append(job)
                cost += job.cost
            else:
                left.append(job)
        self._waiting = left
        self._cost -= cost
        return found

    def _like_first(self) -> int:
        if not self._waiting:
            return 0
        first = self._waiting[0]
        return sum(job.cost for job in self._waiting if job.is_like(first))

    def _patience(self, first: Job) -> float:
        """Seconds that it pays to wait for more rows."""
        fixed = self._latency[first.what].line[1] if first.what in self._latency else 0.0
        most = min(self.pace.wait, fixed)
        return most if self._gap <= most else 0.0

    def _gap_since(self, now: float) -> None:
        """Learn how long it takes until another request comes."""
        gap = now - self._last
        self._last = now
        old = 1 - 1 / MEMORY
        self._gap = gap if math.isinf(self._gap) else old * self._gap + (1 - old) * gap

    def _after(self) -> int:
        """Seconds until the queue will have been worked off."""
        lines = [one.line for one in self._latency.values()]
        if not lines:
            return 1
        each = max(a + b / self.pace.batch for a, b in lines)
        return math.ceil(self._cost * each / max(1, self.ready))

    def _tell(self, job: Job, answer: Any) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            if not job.answer.done():
                job.answer.set_result(answer)


def _gone() -> Refused:
    return Refused(503, "The server is stopping", code="stopping", after=1)
