"""The real server: processes, signals, sockets, and clients as people have them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.whole, pytest.mark.slow]


CASES = os.environ.get("POLYMODAL_CASES", "10")
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,negative_data_rejection"
)


def test_a_killed_worker_costs_what_it_had_in_hand_and_comes_back(
    start: Callable[..., Any], make: Any
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
    start: Callable[..., Any], make: Any
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
    start: Callable[..., Any], make: Any
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


def test_runs_are_loaded_anew_without_a_lost_request(start: Callable[..., Any], make: Any) -> None:
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


def test_keys_stand_between(start: Callable[..., Any], make: Any, tmp_path: Path) -> None:
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


def test_the_client_of_the_protocol(start: Callable[..., Any], make: Any) -> None:
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


def test_the_client_of_the_protocol_chats(
    start: Callable[..., Any], writing: Path, hearing: Path, make: Any
) -> None:
    """With a picture, as it comes, cut short, of a sound, and what is wrong."""
    import openai

    server = start(f"chat={writing}", f"ear={hearing}", "--wait", "0")
    client = openai.OpenAI(api_key="a", base_url=f"{server.client.base_url}/v1", max_retries=0)
    assert {one.id for one in client.models.list()} == {"first", "chat", "ear"}
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
    server.until(lambda: server.figure("polymodal_rows_waiting") == 0)
    assert not server.said("failed")
    assert not server.said("worker lost")


def test_a_public_kit_finds_the_protocol_kept(start: Callable[..., Any], chatting: Path) -> None:
    """llm-comply: answers by OpenAI's own document, streams, calls of functions, errors."""
    server = start(f"chat={chatting}")
    command = [
        *(sys.executable, "-m", "llm_comply.cli", "--base-url", f"{server.client.base_url}/v1"),
        *("--model", "chat", "--api-key", "a", "--format", "openai-chat", "--json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    assert told["summary"]["failed"] == 0, done.stdout[-6000:]
    assert told["summary"]["passed"] == 8  # all but one, of models that tell how they reason


def test_what_the_document_says_is_so(
    start: Callable[..., Any], writing: Path, hearing: Path, tmp_path: Path
) -> None:
    """Requests made of the document itself, right ones and wrong ones, and all answers.

    POLYMODAL_CASES of each sort and operation, if it is set.
    """
    server = start(f"chat={writing}", f"ear={hearing}", "--queue", "4096")
    place = f"{server.client.base_url}/openapi.json"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", place, "--max-examples", CASES),
        *("--mode", "all", "--seed", "1", "--workers", "1", "--suppress-health-check", "all"),
        *("--checks", CHECKS),
        # The same types under another name, or those of a run like another.
        *("--exclude-path-regex", "^/runs/(first|ear)/"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert server.client.get("/ready").json()["ready"] is True


def test_heads_that_are_none_too_large_or_too_slow(start: Callable[..., Any]) -> None:
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
