"""The real server: processes, signals, sockets, and clients as people have them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

pytestmark = [pytest.mark.whole, pytest.mark.slow]


class Running:
    """A server's process, and what it has said."""

    def __init__(self, folder: Path, words: tuple[str, ...], log: Path, **env: str) -> None:
        command = [sys.executable, "-m", "polymodal", "serve", f"first={folder}", "--port", "0"]
        command += ["--timeout", "250"]
        self.log = log
        with open(log, "wb") as stream:
            self.process = subprocess.Popen(
                [*command, *words], stderr=stream, env={**os.environ, **env}
            )
        port = self.until(lambda: self.said("listening"))[0]["port"]
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=300)

    def said(self, event: str) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [one for one in found if one["event"] == event]

    def until(self, is_so: Callable[[], Any], seconds: float = 300) -> Any:
        end = time.monotonic() + seconds
        while not (found := is_so()):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)
        return found

    def workers(self) -> list[int]:
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(word) for word in listed.split()]

    def figure(self, name: str) -> float:
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


@pytest.fixture
def start(made: Path, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def begin(*words: str, **env: str) -> Running:
        running.append(Running(made, words, tmp_path / f"log{len(running)}", **env))
        return running[-1]

    yield begin
    for one in running:
        one.client.close()
        one.process.kill()
        one.process.wait()


def test_a_killed_worker_costs_what_it_had_in_hand_and_comes_back(
    start: Callable[..., Running], make: Any
) -> None:
    server = start()
    asked = {"row": make.row(0)}
    wanted = server.client.post("/predict", json=asked).json()
    (worker,) = server.workers()
    os.kill(worker, signal.SIGKILL)
    # Whoever asks now waits for the next one.
    answers = [server.client.post("/predict", json=asked) for _ in range(2)]
    assert answers[-1].status_code == 200 and answers[-1].json() == wanted
    assert answers[0].status_code in (200, 503)
    assert server.workers() != [worker]
    assert server.figure('polymodal_workers_total{event="restarted"') == 1
    assert server.said("worker lost")


def test_requests_in_hand_are_answered_before_it_stops(
    start: Callable[..., Running], make: Any
) -> None:
    server = start("--batch", "1", "--drain", "250")
    asked = {"rows": [make.row(i) for i in range(8)]}
    with ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(server.client.post, "/predict", json=asked) for _ in range(12)]
        server.until(lambda: server.figure("polymodal_requests_in_hand") >= 8)
        server.process.send_signal(signal.SIGTERM)
        codes = [one.result().status_code for one in answers]
    assert server.process.wait(300) == 0
    assert codes == [200] * 12
    assert server.said("stopped") and not server.said("failed")


def test_overload_is_answered_by_429_and_nothing_is_lost(
    start: Callable[..., Running], make: Any
) -> None:
    server = start("--batch", "2", "--queue", "4")
    asked = {"row": make.row(0)}

    def ask(_: int) -> tuple[int, str | None]:
        answer = server.client.post("/predict", json=asked)
        return answer.status_code, answer.headers.get("retry-after")

    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(ask, range(200)))
    codes = {code for code, _ in found}
    assert codes == {200, 429}
    assert all(after for code, after in found if code == 429)
    assert server.client.post("/predict", json=asked).status_code == 200
    assert server.figure("polymodal_requests_in_hand") == 1  # that which asks


def test_runs_are_loaded_anew_without_a_lost_request(
    start: Callable[..., Running], make: Any
) -> None:
    server = start("--workers", "2")
    before = set(server.workers())
    asked = {"row": make.row(0)}
    codes: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        server.process.send_signal(signal.SIGHUP)
        while len(server.said("ready")) < 2 or set(server.workers()) & before:
            codes += [
                one.status_code
                for one in pool.map(lambda _: server.client.post("/predict", json=asked), range(4))
            ]
    assert set(codes) == {200} and len(codes) >= 8
    assert len(server.workers()) == 2


def test_keys_stand_between(start: Callable[..., Running], make: Any, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("a-key-of-someone-else\nthe-key-of-this-test\n")
    server = start("--keys", str(keys))
    assert server.client.get("/health").status_code == 200
    assert server.client.get("/runs").status_code == 401
    headers = {"authorization": "Bearer the-key-of-this-test"}
    assert server.client.get("/runs", headers=headers).status_code == 200
    assert server.client.get("/health", headers={"host": "evil.example"}).status_code == 403
    lines = server.log.read_text()
    assert "the-key-of-this-test" not in lines
    (line,) = [one for one in server.said("request") if one["status"] == 200]
    assert line["path"] == "/runs" and line["request_id"] and line["ms"] >= 0


def test_the_client_of_the_protocol(start: Callable[..., Running], make: Any) -> None:
    import openai

    server = start(POLYMODAL_KEYS="the-key-of-this-test")
    base = f"{server.client.base_url}/v1"
    client = openai.OpenAI(api_key="the-key-of-this-test", base_url=base, max_retries=0)
    assert [one.id for one in client.models.list()] == ["first"]
    texts = ["good and new", "bad and old"]
    found = client.embeddings.create(model="first", input=texts)
    plain = client.embeddings.create(model="first", input=texts, encoding_format="float")
    for one, other in zip(found.data, plain.data, strict=True):
        np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-6)
    assert found.usage.prompt_tokens == 6
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="second", input="a")
    assert caught.value.code == "model_not_found" and caught.value.param == "model"
    assert caught.value.request_id
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="first", input=[1, 2, 3])
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="first", input="a", dimensions=3)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(api_key="wrong", base_url=base, max_retries=0).models.list()


def test_what_the_document_says_is_so(start: Callable[..., Running], tmp_path: Path) -> None:
    """Requests made of the document itself, right ones and wrong ones."""
    server = start("--queue", "4096")
    place = f"{server.client.base_url}/openapi.json"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", place, "--max-examples", "25"),
        *("--mode", "all", "--seed", "1", "--workers", "1", "--suppress-health-check", "all"),
        *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert server.client.get("/ready").json()["ready"] is True


def test_heads_that_are_none_too_large_or_too_slow(start: Callable[..., Running]) -> None:
    server = start()
    place = ("127.0.0.1", server.client.base_url.port)

    def told(content: bytes) -> bytes:
        with socket.create_connection(place, timeout=60) as connection:
            with contextlib.suppress(OSError):  # it hangs up while there is more
                connection.sendall(content)
            answer = b""
            with contextlib.suppress(OSError):
                while part := connection.recv(65536):
                    answer += part
            return answer

    large = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000
    assert b"400" in told(large)[:20] and b"too large" in told(large)
    for broken in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"\0\0\0\0\r\n\r\n"):
        assert b'"invalid_http"' in told(broken)
    assert told(b"GET /health HTTP/1.1\r\n") == b""  # it hung up, some seconds later
    assert server.client.get("/health").status_code == 200


def test_a_run_that_cannot_be_loaded_is_one_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "polymodal", "serve", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is not a finished run" in done.stderr and "Traceback" not in done.stderr
