"""Keys, hosts, limits and overload."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from polymodal.base.errors import UserError
from polymodal.serve import gate as gates
from polymodal.serve.cells import Limits
from polymodal.serve.gate import Access, hosts_of
from polymodal.serve.lane import Pace
from polymodal.serve.process import Source
from polymodal.serve.server import Settings, refuse_open

pytestmark = [pytest.mark.whole, pytest.mark.anyio]

KEYS = ("correct-horse-battery", "another-key-of-someone")


async def test_with_keys_every_route_is_closed_but_those_of_health(serve: Any) -> None:
    async with serve(access=Access(KEYS)) as client:
        for path in ("/health", "/ready"):
            assert (await client.get(path)).status_code == 200
        for path in ("/", "/runs", "/metrics", "/v1/models", "/openapi.json", "/nothing"):
            answer = await client.get(path)
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "authentication_error"
            assert answer.headers["www-authenticate"].startswith("Basic")
        for headers in (
            {"authorization": f"Bearer {KEYS[0]}"},
            {"authorization": f"bearer  {KEYS[1]}"},
            {"x-api-key": KEYS[1]},
        ):
            assert (await client.get("/runs", headers=headers)).status_code == 200
        assert (await client.get("/runs", auth=("anyone", KEYS[0]))).status_code == 200
        for wrong in (KEYS[0][:-1], KEYS[0] + "x", "", "é"):
            headers = {"authorization": f"Bearer {wrong}".encode()}
            assert (await client.get("/runs", headers=headers)).status_code == 401
        assert (
            await client.get("/runs", headers={"authorization": "Basic %%%"})
        ).status_code == 401


async def test_a_page_that_calls_this_machine_by_its_own_name_is_refused(serve: Any) -> None:
    """Names that are led here by somebody's DNS."""
    async with serve(access=Access(hosts=hosts_of("127.0.0.1"))) as client:
        for host, status in (
            ("localhost:8000", 200),
            ("127.0.0.1", 200),
            ("[::1]:80", 200),
            ("rebound.example", 403),
            ("test", 403),
        ):
            answer = await client.get("/runs", headers={"host": host})
            assert answer.status_code == status, host
    assert hosts_of("0.0.0.0") == ()
    assert "models.example" in hosts_of("0.0.0.0", ["Models.example"])


class Slow:
    """A worker that answers when it is told to."""

    def __init__(self, described: dict[str, Any]) -> None:
        self.described, self.go, self.asked = described, asyncio.Event(), 0

    async def start(self) -> dict[str, Any]:
        return self.described

    async def ask(self, what: str, requests: Any, seconds: float, told: Any) -> Any:
        self.asked += len(requests)
        await self.go.wait()
        line = {"answers": {}, "missing": []}
        return [{"rows": [line for _ in one["rows"]], "warnings": []} for one in requests]

    async def stop(self) -> None:
        self.go.set()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(300):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_overload_is_refused_before_the_body_is_read(serve: Any, here: Any) -> None:
    slow = Slow(await here.start())
    pace = Pace(batch=1, queue=3)
    async with serve({"first": slow}, pace=pace) as client:
        asked = [asyncio.create_task(client.post("/predict", json={"row": {}}))]
        await until(lambda: slow.asked == 1)
        asked += [asyncio.create_task(client.post("/predict", json={"row": {}})) for _ in range(8)]
        await until(lambda: sum(one.done() for one in asked) == 5)
        done = [one.result() for one in asked if one.done()]
        assert len(done) == 5  # one is computed, three wait
        assert {one.status_code for one in done} == {429}
        assert all(int(one.headers["retry-after"]) >= 1 for one in done)
        assert done[0].json()["error"]["type"] == "rate_limit_error"

        async def unread() -> Any:
            raise AssertionError("the body was read")
            yield b""

        headers = {"content-type": "application/json"}
        refused = await client.post("/predict", content=unread(), headers=headers)
        assert refused.status_code == 429
        too_many = await client.post("/predict", json={"rows": [{}] * 4})
        assert too_many.status_code == 429
        slow.go.set()
        answers = await asyncio.gather(*asked)
        assert sorted(one.status_code for one in answers) == [200] * 4 + [429] * 5
        assert (await client.post("/predict", json={"row": {}})).status_code == 200


async def test_requests_in_hand_and_their_bytes_are_bounded(serve: Any, here: Any) -> None:
    slow = Slow(await here.start())
    async with serve({"first": slow}, limits=Limits(requests=2)) as client:
        asked = [asyncio.create_task(client.post("/predict", json={"row": {}})) for _ in range(2)]
        await until(lambda: slow.asked + client.hosted["first"].lane.waiting == 2)
        assert (await client.get("/runs")).status_code == 429
        assert (await client.get("/health")).status_code == 200
        slow.go.set()
        assert {one.status_code for one in await asyncio.gather(*asked)} == {200}
        assert (await client.get("/runs")).status_code == 200
    slow = Slow(await here.start())
    async with serve({"first": slow}, limits=Limits(held=1000)) as client:
        large = {"row": {"note": "a" * 800}}
        first = asyncio.create_task(client.post("/predict", json=large))
        await until(lambda: slow.asked == 1)
        assert (await client.post("/predict", json=large)).status_code == 429
        slow.go.set()
        assert (await first).status_code == 200
        assert (await client.post("/predict", json=large)).status_code == 200


async def test_a_body_that_comes_too_slowly_is_refused(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "READING", 0.05)

    async def drops() -> Any:
        yield b'{"row":'
        await asyncio.sleep(5)
        yield b" {}}"

    async with serve() as client:
        headers = {"content-type": "application/json"}
        answer = await client.post("/predict", content=drops(), headers=headers)
        assert answer.status_code == 408 and answer.json()["error"]["code"] == "slow"


async def test_more_bytes_than_were_told_are_not_read(serve: Any) -> None:
    read = 0

    async def endless() -> Any:
        nonlocal read
        while True:
            read += 1000
            yield b" " * 1000

    async with serve(limits=Limits(body=20_000)) as client:
        headers = {"content-type": "application/json"}
        answer = await client.post("/predict", content=endless(), headers=headers)
        assert answer.status_code == 413 and read < 30_000


async def test_a_request_that_waits_too_long_is_told(serve: Any, here: Any) -> None:
    slow = Slow(await here.start())
    async with serve({"first": slow}, pace=Pace(timeout=0.1)) as client:
        answer = await client.post("/predict", json={"row": {}})
        assert answer.status_code == 503 and answer.json()["error"]["code"] == "timeout"
        assert int(answer.headers["retry-after"]) >= 1


async def test_a_client_that_goes_away_frees_its_place(serve: Any, here: Any) -> None:
    slow = Slow(await here.start())
    async with serve({"first": slow}, pace=Pace(batch=1, queue=2)) as client:
        app = client._transport.app
        body = json.dumps({"row": {}}).encode()
        left = asyncio.Event()

        async def go_away() -> int:
            messages = iter([{"type": "http.request", "body": body}])

            async def receive() -> Any:
                for message in messages:
                    return message
                await left.wait()
                return {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                pass

            headers = [(b"host", b"test"), (b"content-type", b"application/json")]
            scope = {
                "type": "http",
                "method": "POST",
                "path": "/predict",
                "raw_path": b"/predict",
                "query_string": b"",
                "headers": headers,
                "client": None,
                "scheme": "http",
                "server": ("test", 80),
            }
            await app(scope, receive, send)
            return 0

        lane = client.hosted["first"].lane
        tasks = [asyncio.create_task(go_away())]
        await until(lambda: slow.asked == 1)
        tasks += [asyncio.create_task(go_away()) for _ in range(2)]
        await until(lambda: lane.waiting == 2)
        left.set()
        await asyncio.gather(*tasks)
        assert lane.waiting == 0 and slow.asked == 1


def test_a_server_that_others_reach_wants_keys(monkeypatch: pytest.MonkeyPatch, made: Any) -> None:
    runs = {"first": Source(made)}
    monkeypatch.delenv("POLYMODAL_UNGUARDED", raising=False)
    refuse_open(Settings(runs))
    refuse_open(Settings(runs, host="0.0.0.0", access=Access(KEYS)))
    with pytest.raises(UserError, match="Anybody who reaches"):
        refuse_open(Settings(runs, host="0.0.0.0"))
    monkeypatch.setenv("POLYMODAL_UNGUARDED", "1")
    refuse_open(Settings(runs, host="0.0.0.0"))
