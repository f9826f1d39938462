"""The real server: processes, signals, sockets, and clients as people have them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import uvicorn

from polymodal.serve import protocol

pytestmark = [pytest.mark.whole, pytest.mark.slow]

KEY = "the-key-of-this-test"
HEADERS = {"authorization": f"Bearer {KEY}"}
CASES = os.environ.get("POLYMODAL_CASES", "10")
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,negative_data_rejection"
)
# All that a type of row allows and forbids is sent to one route of each run: all read rows alike.
ONCE = """
[[operations]]
include-path-regex = "^/(predict|embed|runs/[^/]+/(explain|embed))$"
[operations.phases.coverage]
enabled = false
"""


@pytest.fixture(scope="module")
def guarded(start_once: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server of one run with a short queue, that knows keys from a file."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"a-key-of-someone-else\n{KEY}\n")
    server = start_once("--batch", "2", "--queue", "4", "--keys", str(keys))
    server.client.headers.update(HEADERS)
    return server


@pytest.fixture(scope="module")
def several(start_once: Callable[..., Any], writing: Path, hearing: Path, chatting: Path) -> Any:
    """A server of four runs, three of which write, that knows a key from its environment."""
    runs = (f"chat={writing}", f"ear={hearing}", f"talk={chatting}")
    server = start_once(*runs, "--wait", "0", "--queue", "4096", POLYMODAL_KEYS=KEY)
    server.client.headers.update(HEADERS)
    return server


def test_a_killed_worker_costs_what_it_had_in_hand_and_comes_back(guarded: Any, make: Any) -> None:
    asked = {"row": make.row(0)}
    wanted = guarded.client.post("/predict", json=asked).json()
    (worker,), restarted = guarded.workers(), 'polymodal_workers_total{event="restarted"'
    before = guarded.figure(restarted), len(guarded.said("worker lost"))
    os.kill(worker, signal.SIGKILL)
    # Whoever asks now waits for the next one.
    answers = [guarded.client.post("/predict", json=asked) for _ in range(2)]
    assert answers[-1].status_code == 200 and answers[-1].json() == wanted
    assert answers[0].status_code in (200, 503)
    assert guarded.workers() != [worker]
    after = guarded.figure(restarted), len(guarded.said("worker lost"))
    assert after == (before[0] + 1, before[1] + 1)


def test_no_request_is_lost_when_runs_are_loaded_anew_and_when_it_stops(
    start: Callable[..., Any], make: Any
) -> None:
    server = start("--workers", "2", "--batch", "1", "--drain", "250")
    before = set(server.workers())

    def ask(rows: int) -> int:
        asked = {"rows": [make.row(i) for i in range(rows)]}
        return int(server.client.post("/predict", json=asked).status_code)

    with ThreadPoolExecutor(24) as pool:
        codes = list(pool.map(ask, [1] * 4))
        server.process.send_signal(signal.SIGHUP)
        while len(server.said("ready")) < 2 or set(server.workers()) & before:
            codes += pool.map(ask, [1] * 4)
        assert set(codes) == {200}
        assert len(server.workers()) == 2
        answers = [pool.submit(ask, 8) for _ in range(24)]
        # Who asks was perhaps held up until all were answered.
        server.until(
            lambda: (
                server.figure("polymodal_requests_in_hand") >= 8
                or all(one.done() for one in answers)
            )
        )
        server.process.send_signal(signal.SIGTERM)
        assert [one.result() for one in answers] == [200] * 24
    assert server.process.wait(300) == 0
    assert server.said("stopped") and not server.said("failed")


def test_overload_is_answered_by_429_and_nothing_is_lost(guarded: Any, make: Any) -> None:
    asked = {"row": make.row(0)}

    def ask(_: int) -> tuple[int, str | None]:
        answer = guarded.client.post("/predict", json=asked)
        return answer.status_code, answer.headers.get("retry-after")

    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(ask, range(200)))
    codes = {code for code, _ in found}
    assert codes == {200, 429}
    assert all(after for code, after in found if code == 429)
    assert guarded.client.post("/predict", json=asked).status_code == 200
    # That which asks; the last may be answered before it is out of hand.
    guarded.until(lambda: guarded.figure("polymodal_requests_in_hand") == 1)


def test_keys_stand_between(guarded: Any) -> None:
    before = len(guarded.said("request"))
    with httpx2.Client(base_url=guarded.client.base_url) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/runs").status_code == 401
        assert client.get("/runs", headers=HEADERS).status_code == 200
        assert client.get("/health", headers={"host": "evil.example"}).status_code == 403
    assert KEY not in guarded.log.read_text()
    listed = [one for one in guarded.said("request")[before:] if one["path"] == "/runs"]
    assert [one["status"] for one in listed] == [401, 200]
    assert all(one["request_id"] and one["ms"] >= 0 for one in listed)


def test_the_client_of_the_protocol(several: Any) -> None:
    import openai

    base = f"{several.client.base_url}/v1"
    client = openai.OpenAI(api_key=KEY, base_url=base, max_retries=0)
    assert [one.id for one in client.models.list()] == ["first", "chat", "ear", "talk"]
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


def test_the_client_of_the_protocol_chats(several: Any, make: Any) -> None:
    """With a picture, as it comes, cut short, of a sound, and what is wrong."""
    import openai

    client = openai.OpenAI(api_key=KEY, base_url=f"{several.client.base_url}/v1", max_retries=0)
    address = f"data:image/png;base64,{make.coded(make.shot(True))}"
    content: Any = [
        {"type": "text", "text": "good and new"},
        {"type": "image_url", "image_url": {"url": address}},
    ]
    asked: Any = {"model": "chat", "messages": [{"role": "user", "content": content}]}
    whole = client.chat.completions.create(**asked)
    assert whole.choices[0].message.content and whole.usage is not None
    chunks = list(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    texts = [one.choices[0].delta.content or "" for one in chunks if one.choices]
    assert "".join(texts) == whole.choices[0].message.content
    assert chunks[-1].usage is not None and chunks[-1].usage == whole.usage
    assert len({one.id for one in chunks}) == 1
    cut = client.chat.completions.create(**asked, max_completion_tokens=1)
    assert cut.choices[0].finish_reason == "length"
    heard = client.audio.transcriptions.create(model="ear", file=("a.wav", make.loud()))
    events = client.audio.transcriptions.create(
        model="ear", file=("a.wav", make.loud()), stream=True
    )
    assert list(events)[-1].text == heard.text  # type: ignore[union-attr]
    for wrong, kind in (
        ({"model": "none"}, openai.NotFoundError),
        ({"model": "first"}, openai.BadRequestError),
        ({"model": "ear"}, openai.BadRequestError),
        ({"messages": []}, openai.BadRequestError),
    ):
        with pytest.raises(kind) as caught:
            client.chat.completions.create(**{**asked, **wrong})
        assert caught.value.type in ("invalid_request_error", "not_found_error")
    # Who leaves a stream leaves the worker free.
    long: Any = {"temperature": 2, "max_tokens": 900, "response_format": make.endless}
    leaving = client.chat.completions.create(**asked, stream=True, extra_body=long)
    next(iter(leaving))
    leaving.close()
    assert client.chat.completions.create(**asked).choices[0].message.content
    several.until(lambda: several.figure("polymodal_rows_waiting") == 0)
    assert not several.said("failed")
    assert not several.said("worker lost")


def test_a_public_kit_finds_the_protocol_kept(several: Any) -> None:
    """llm-comply: answers by OpenAI's own document, streams, calls of functions, errors."""
    command = [
        *(sys.executable, "-m", "llm_comply.cli", "--base-url", f"{several.client.base_url}/v1"),
        *("--model", "talk", "--api-key", KEY, "--format", "openai-chat", "--json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    assert told["summary"]["failed"] == 0, done.stdout[-6000:]
    assert told["summary"]["passed"] == 8  # all but one, of models that tell how they reason


def test_what_the_document_says_is_so(several: Any, tmp_path: Path) -> None:
    """Requests made of the document itself, right ones and wrong ones, and all answers.

    POLYMODAL_CASES of each sort and operation, if it is set.
    """
    place = f"{several.client.base_url}/openapi.json"
    (tmp_path / "schemathesis.toml").write_text(ONCE)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", place, "--max-examples", CASES),
        *("--mode", "all", "--seed", "1", "--workers", "1", "--suppress-health-check", "all"),
        *("--checks", CHECKS, "--header", f"Authorization: Bearer {KEY}"),
        # The same types under another name, or those of a run like another.
        *("--exclude-path-regex", "^/runs/(first|ear|talk)/"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert several.client.get("/ready").json()["ready"] is True


def told(port: int, content: bytes) -> bytes:
    """All that is answered to some bytes, until the server hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        with contextlib.suppress(OSError):  # it hangs up while there is more
            connection.sendall(content)
        answer = b""
        with contextlib.suppress(OSError):
            while part := connection.recv(65536):
                answer += part
        return answer


def test_heads_that_are_none_or_too_large(guarded: Any) -> None:
    port = guarded.client.base_url.port
    large = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000
    assert b"400" in told(port, large)[:20] and b"too large" in told(port, large)
    for broken in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"\0\0\0\0\r\n\r\n"):
        assert b'"invalid_http"' in told(port, broken)
    assert guarded.client.get("/health").status_code == 200


def test_heads_that_are_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, which has less patience."""
    monkeypatch.setattr(protocol, "SECONDS", 0.3)

    async def unasked(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("a head that never ends came to the routes")

    with socket.create_server(("127.0.0.1", 0)) as place:
        options = {"lifespan": "off", "ws": "none", "log_config": None}
        server = uvicorn.Server(uvicorn.Config(unasked, http=protocol.Bounded, **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
        thread.start()
        try:
            started = time.monotonic()
            assert told(place.getsockname()[1], b"GET /health HTTP/1.1\r\n") == b""
            assert 0.2 < time.monotonic() - started < 30  # it hung up
        finally:
            server.should_exit = True
            thread.join()


def test_a_run_that_cannot_be_loaded_is_one_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "polymodal", "serve", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is not a finished run" in done.stderr and "Traceback" not in done.stderr
