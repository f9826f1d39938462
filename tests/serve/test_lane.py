"""Queues: what makes a batch, how long it waits, and what a lost worker costs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from polymodal.serve import lane as lanes
from polymodal.serve import wire
from polymodal.serve.errors import Refused
from polymodal.serve.lane import Lane, Latency, Pace
from polymodal.serve.process import Lost

pytestmark = pytest.mark.anyio


class Worker:
    """It answers with the size of each batch, once it may; of rows that say "die" it dies."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.started = self.asked = 0
        self.free = asyncio.Event()
        self.free.set()

    async def start(self) -> dict[str, Any]:
        self.started += 1
        return {}

    async def ask(self, what: str, requests: Any, seconds: float, told: Any) -> list[Any]:
        self.asked += 1
        await self.free.wait()
        self.batches.append([one["rows"] for one in requests])
        if any("die" in one["rows"] for one in requests):
            raise Lost("died")
        return [len(requests)] * len(requests)

    def leave(self, position: int) -> None:
        pass

    async def stop(self) -> None:
        pass


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.001)


def unreal(loop: Any) -> None:
    """No wait takes time: where all wait, the loop's clock goes on, and it stands otherwise.

    So nothing is late because this machine is busy.
    """
    now, select = [loop.time()], loop._selector.select

    def selected(seconds: float | None) -> Any:
        now[0] += seconds or 0.0
        return select(None if seconds is None else 0)

    loop._selector.select, loop.time = selected, lambda: now[0]


@pytest.fixture(autouse=True)
def lanes_ask_the_clock_of_their_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time())
    monkeypatch.setattr(lanes, "time", clock)


async def lane(worker: Worker, **pace: Any) -> Lane:
    unreal(asyncio.get_running_loop())
    found = Lane("one", [worker], Pace(**pace))
    await found.start()
    return found


async def test_what_waits_is_one_batch_of_at_most_so_many_rows_that_are_alike() -> None:
    worker = Worker()
    own = await lane(worker, batch=4)
    worker.free.clear()
    first = asyncio.create_task(own.ask("a", {"rows": [0]}))
    await until(lambda: worker.asked == 1)
    sizes = [("a", 1), ("a", 2), ("b", 1), ("a", 1), ("a", 3), ("b", 1)]
    tasks = [asyncio.create_task(own.ask(w, {"rows": [w] * n})) for w, n in sizes]
    await until(lambda: own.waiting == 9)
    worker.free.set()
    await asyncio.gather(first, *tasks)
    made = [[len(rows) for rows in batch] for batch in worker.batches]
    assert made == [[1], [1, 2, 1], [1, 1], [3]]
    assert [one.result() for one in tasks] == [3, 3, 2, 3, 1, 2]
    await own.stop()


async def test_a_lost_worker_costs_its_own_batch_and_comes_back() -> None:
    worker = Worker()
    own = await lane(worker, batch=2)
    seen: list[str] = []
    own._seen = lambda event, *_: seen.append(event)
    worker.free.clear()
    rows = [["die"], ["x"], ["y"], ["z"]]
    tasks = [asyncio.create_task(own.ask("a", {"rows": one})) for one in rows]
    await until(lambda: own.waiting == 2)
    worker.free.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, Refused) and one.code == "worker_lost" for one in answers[:2])
    assert answers[2:] == [2, 2] and worker.started == 2
    assert seen == ["lost", "restarted", "batch"] and own.ready == 1
    await own.stop()


async def test_parts_come_before_the_whole_and_who_leaves_is_told_to_the_worker() -> None:
    left: list[int] = []

    class Writing(Worker):
        async def ask(self, what: str, requests: Any, seconds: float, told: Any) -> list[Any]:
            for position in range(len(requests)):
                told(position, "a")
            found = await super().ask(what, requests, seconds, told)
            for position in range(len(requests)):
                told(position, "b")
            return found

        def leave(self, position: int) -> None:
            left.append(position)

    worker = Writing()
    own = await lane(worker, wait=0)
    worker.free.clear()
    kept, dropped = (own.stream("write", {"rows": [i]}) for i in range(2))
    firsts = [asyncio.create_task(anext(one)) for one in (kept, dropped)]
    assert await asyncio.gather(*firsts) == ["a", "a"]
    waiting = own.stream("other", {"rows": [2]})
    last = asyncio.create_task(anext(waiting))
    await until(lambda: own.waiting == 1)
    last.cancel()
    await until(lambda: own.waiting == 0)
    await dropped.aclose()
    assert left == [1]
    worker.free.set()
    assert [one async for one in kept] == ["b", 2]
    assert left == [1] and len(worker.batches) == 1
    await own.stop()


async def test_a_text_that_comes_slowly_is_not_late() -> None:
    """Not all of it has to be there in time, but the next part."""

    class Slow(Worker):
        parts = 0

        async def ask(self, what: str, requests: Any, seconds: float, told: Any) -> list[Any]:
            for number in range(self.parts):
                await asyncio.sleep(0.05)
                told(0, number)
            return await super().ask(what, requests, seconds, told)

    worker = Slow()
    own = await lane(worker, timeout=0.5)
    worker.parts = 15
    assert [one async for one in own.stream("write", {"rows": [0]})] == [*range(15), 1]
    worker.free.clear()
    with pytest.raises(Refused, match="within"):
        assert [one async for one in own.stream("write", {"rows": [0]})]
    worker.free.set()
    await own.stop()


async def test_stopping_answers_what_waits_and_takes_no_more() -> None:
    worker = Worker()
    own = await lane(worker, batch=1)
    worker.free.clear()
    tasks = [asyncio.create_task(own.ask("a", {"rows": [i]})) for i in range(5)]
    await until(lambda: own.waiting == 4)
    stopping = asyncio.create_task(own.stop())
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="stopping"):
        await own.ask("a", {"rows": [6]})
    worker.free.set()
    assert await asyncio.gather(*tasks) == [1] * 5
    await stopping
    assert own.ready == 0


async def test_a_killed_lane_tells_who_waits() -> None:
    worker = Worker()
    own = await lane(worker, batch=1)
    worker.free.clear()
    tasks = [asyncio.create_task(own.ask("a", {"rows": [i]})) for i in range(3)]
    await until(lambda: own.waiting == 2)
    await own.kill()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, Refused) and one.code == "stopping" for one in answers)


def test_the_latency_of_a_batch_is_a_line() -> None:
    found = Latency()
    assert found.line == (0.0, 0.0)
    found.add(4, 0.08)
    assert found.line == (pytest.approx(0.02), 0.0)
    for rows in (1, 8, 16, 32, 2, 5) * 20:
        found.add(rows, 0.01 * rows + 0.05)
    slope, fixed = found.line
    assert slope == pytest.approx(0.01, rel=0.05) and fixed == pytest.approx(0.05, rel=0.05)


async def test_a_batch_waits_only_where_that_pays() -> None:
    """Two batches cost `fixed` more than one: no wait is longer, nor where nobody comes."""
    own = Lane("one", [], Pace(wait=0.02))
    job = lanes.Job("a", None, {}, 1, asyncio.get_running_loop().create_future())
    assert own._patience(job) == 0  # nothing is known
    own._latency["a"] = Latency()
    for rows in (1, 8, 16) * 10:
        own._latency["a"].add(rows, 0.001 * rows + 0.01)
    assert own._patience(job) == 0  # nobody else has come
    for i in range(200):
        own._gap_since(i * 0.002)
    assert own._patience(job) == pytest.approx(0.01, rel=0.1)
    own.pace = Pace(wait=0.005)
    assert own._patience(job) == 0.005
    for i in range(400):
        own._gap_since(1 + i * 1.0)
    assert own._patience(job) == 0


async def test_the_wait_joins_requests_that_come_soon_after() -> None:
    worker = Worker()
    own = await lane(worker, wait=5.0, batch=3)
    own._latency["a"] = Latency()
    for rows in (1, 2, 3) * 10:
        own._latency["a"].add(rows, 0.001 * rows + 5.0)
    own._last = own._gap = 0.0
    own._gap_since = lambda now: None  # type: ignore[method-assign]
    tasks = []
    for i in range(3):
        tasks.append(asyncio.create_task(own.ask("a", {"rows": [i]})))
        await asyncio.sleep(0.01)
    # The third makes the batch full, so that nobody waits for five seconds.
    async with asyncio.timeout(4):
        assert await asyncio.gather(*tasks) == [3, 3, 3]
    await own.stop()


async def test_a_batch_waits_no_longer_than_for_those_who_were_answered() -> None:
    """Few clients that ask again and again are one batch, however large one might be."""
    worker = Worker()
    own = await lane(worker, wait=5.0, batch=32)
    own._latency["a"] = Latency()
    for rows in (1, 2, 3) * 100:
        own._latency["a"].add(rows, 0.001 * rows + 5.0)
    own._last = own._gap = 0.0
    own._gap_since = lambda now: None  # type: ignore[method-assign]
    worker.free.clear()

    async def client(number: int) -> list[Any]:
        return [await own.ask("a", {"rows": [number]}) for _ in range(3)]

    first = asyncio.create_task(own.ask("a", {"rows": [0] * 32}))  # a full one waits for nobody
    await until(lambda: worker.asked == 1)
    tasks = [asyncio.create_task(client(i)) for i in range(3)]
    await until(lambda: own.waiting == 3)
    own.pace = Pace(wait=0.01, batch=32)
    worker.free.set()
    await first
    await until(lambda: worker.asked >= 2)
    own.pace = Pace(wait=5.0, batch=32)
    async with asyncio.timeout(4):
        assert await asyncio.gather(*tasks) == [[3] * 3] * 3
    await own.stop()


def test_frames_hold_json_and_bytes() -> None:
    value = {"rows": [{"a": b"\0\xff" * 9, "b": [1, 2.5, None, "é\n"], "c": b""}], "n": {"x": True}}
    here, there = socket.socketpair()
    with here, there:
        here.sendall(wire.packed(value) + wire.packed([1]) + wire.packed(value)[:-1])
        here.shutdown(socket.SHUT_WR)
        assert wire.read(there) == value
        assert wire.read(there) == [1]
        for _ in range(2):
            with pytest.raises(EOFError):
                wire.read(there)
    with pytest.raises(TypeError, match="cannot be sent"):
        wire.packed({"a": object()})


async def test_frames_are_read_from_a_stream_too() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(wire.packed({"a": b"xyz"}))
    stream.feed_eof()
    assert await wire.receive(stream) == {"a": b"xyz"}
    with pytest.raises(EOFError):
        await wire.receive(stream)
