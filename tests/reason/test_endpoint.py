"""A model behind a server of OpenAI's API: what it is sent, what it may answer, when it is busy."""

from __future__ import annotations

import base64
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from typed import files, one_error, polymodal

from polymodal.base.errors import UserError
from polymodal.reason import http
from polymodal.reason.endpoint import Endpoint, short
from polymodal.reason.model import Asked
from polymodal.reason.reason import reason

Reply = Callable[[dict[str, Any]], Any]


class Server:
    """A small server: `reply` makes of a request's body a text, or (status, content, headers)."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Any] = []
        self.reply: Reply = lambda body: "red"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.bodies.append({**body, "path": self.path})
                outer.headers.append(self.headers)
                found = outer.reply(body)
                status, content, headers = (200, found, {}) if isinstance(found, str) else found
                if status == 200 and isinstance(content, str):
                    message = {"choices": [{"message": {"content": content}}]}
                    content = {**message, "usage": {"completion_tokens": len(content.split())}}
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    own = Server()
    yield own
    own.close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were to be waited; nobody waits."""
    found: list[float] = []
    monkeypatch.setattr(http, "pause", found.append)
    return found


def rows(folder: Path) -> list[dict[str, Any]]:
    found = []
    for i in range(6):
        Image.new("RGB", (8, 8), (40 * i, 0, 0)).save(folder / f"{i}.bmp")
        soundfile.write(folder / f"{i}.flac", np.zeros(400) + i / 10, 8000)
        found.append(
            {
                "photo": str(folder / f"{i}.bmp"),
                "sound": str(folder / f"{i}.flac"),
                "size": 1.5 * i,
                "question": f"Which colour is number {i}?",
                "answer": ("red", "blue")[i % 2],
            }
        )
    return found


def text_of(body: dict[str, Any]) -> str:
    return str(body["messages"][0]["content"][-1]["text"])


def model_of(server: Server, folder: Path, **more: Any) -> Endpoint:
    given = {"target": "answer", "question": "question", "parallel": 2} | more
    how = {name: given.pop(name) for name in ("key", "timeout", "tries") if name in given}
    return Endpoint(http.Server(server.url, **how), "tiny", rows(folder), **given)


def test_a_row_is_sent_with_its_media_and_without_the_answer(server, tmp_path):
    model = model_of(server, tmp_path, key="secret")
    (found,) = model.answers([Asked(3)])
    (body,) = server.bodies
    assert body["path"] == "/v1/chat/completions" and body["model"] == "tiny"
    assert (body["temperature"], body["seed"]) == (0.0, 0)
    assert server.headers[0]["Authorization"] == "Bearer secret"
    picture, sound, text = body["messages"][0]["content"]
    head, _, data = picture["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).getpixel((0, 0)) == (120, 0, 0)
    heard, rate = soundfile.read(io.BytesIO(base64.b64decode(sound["input_audio"]["data"])))
    assert rate == 8000 and heard.mean() == pytest.approx(0.3, abs=1e-3)
    lines = text["text"].splitlines()
    assert lines[:2] == ["size: 4.5", "Question: Which colour is number 3?"]
    assert "blue" not in text["text"] and found.answer == "red"
    assert model.tokens == 1


def test_each_way_of_asking_says_what_is_wanted(server, tmp_path):
    model = model_of(server, tmp_path, drop=["photo", "sound"])
    server.reply = lambda body: "It is round.\nSo it is red.\nAnswer: **Red**."
    ((chain, other),) = model.chains([Asked(0, reason="Look.")], 2, 0.8, 5)
    assert (chain.reason, chain.answer) == ("Look.\nIt is round.\nSo it is red.", "Red")
    assert chain == other or chain.reason == other.reason
    assert {body["seed"] for body in server.bodies} == {5, 6}
    assert all(body["temperature"] == 0.8 for body in server.bodies)
    assert "Known so far:\nLook." in text_of(server.bodies[0])
    assert "step by step" in text_of(server.bodies[0])
    replies = {"Which colour is number 1?": "DONE.", "Which colour is number 2?": "How large?"}
    server.reply = lambda body: next(v for k, v in replies.items() if k in text_of(body))
    assert model.questions([Asked(1), Asked(2)]) == ["", "How large?"]
    server.reply = lambda body: "Yes." if "It is round." in text_of(body) else "no"
    assert model.supports([Asked(0)], ["It is round. It is blue."]) == [[1.0, 0.0]]
    server.reply = lambda body: text_of(body).splitlines()[1].removeprefix("Question: ")
    assert model.answers([Asked(0, "What else?")])[0].answer == "What else?"


def test_blank_media_are_not_sent(server, tmp_path):
    model = model_of(server, tmp_path)
    model.answers([Asked(0, blank=True)])
    assert [part["type"] for part in server.bodies[0]["messages"][0]["content"]] == ["text"]


def test_all_six_strategies_by_the_same_names(server, tmp_path):
    def reply(body: dict[str, Any]) -> str:
        text = text_of(body)
        if "true of what is shown" in text:
            return "yes"
        if "found out" in text:
            return "DONE" if "Known" in text else "What is it like?"
        number = int(text.partition("number ")[2][0]) if "number " in text else 0
        answer = ("red", "blue")[number % 2]
        return f"I see it.\nAnswer: {answer}" if "step by step" in text else answer

    server.reply = reply
    names = ["direct", "chain", "two_stage", "self_consistency", "decompose", "verified"]
    model = model_of(server, tmp_path, drop=["photo", "sound"])
    report = reason(model, names)
    assert {own["accuracy"]["value"] for own in report.strategies.values()} == {1.0}
    spent = {name: own["tokens"] for name, own in report.strategies.items()}
    assert spent["direct"] == 1.0 and spent["chain"] == 5.0
    assert spent["two_stage"] == 6.0 and spent["self_consistency"] == 25.0
    assert spent["verified"] == 26.0 and report.faithfulness["swap"]["rows"] == 6


def test_a_second_model_is_asked_by_its_name(server, tmp_path):
    model = model_of(server, tmp_path, drop=["photo", "sound"], second="larger")
    assert model.second is not None
    model.second.answers([Asked(0, reason="So.")])
    assert [body["model"] for body in server.bodies] == ["larger"]


def test_a_busy_server_is_asked_again_and_that_is_counted(server, tmp_path, waits):
    model = model_of(server, tmp_path, drop=["photo", "sound"], parallel=1)
    left = [(429, {"error": "slow down"}, {"Retry-After": "7"}), (503, b"", {}), (500, b"", {})]
    server.reply = lambda body: left.pop(0) if left else "red"
    report = reason(model, ["direct"])
    assert report.strategies["direct"]["retries"] == 3 and len(server.bodies) == 6 + 3
    assert re.search(r"seconds  retries\n.* 3\n", report.text() + "\n")
    assert "retries" not in reason(model, ["direct"]).text()
    assert waits[0] == 7.0 and 0.7 < waits[1] < 1.3 and 1.4 < waits[2] < 2.6
    server.reply = lambda body: (503, b"no room", {})
    with pytest.raises(UserError, match=r"is busy \(HTTP 503\)"):
        model.answers([Asked(0)])


def test_what_a_server_refuses_is_one_error_at_once(server, tmp_path, waits):
    model = model_of(server, tmp_path, drop=["photo", "sound"])
    server.reply = lambda body: (401, {"error": "no such key"}, {})
    with pytest.raises(UserError, match=r"refuses the request \(HTTP 401\)[^$]*no such key"):
        model.answers([Asked(0)])
    assert len(server.bodies) == 1 and not waits


@pytest.mark.parametrize("content", [b"<html>hello</html>", {"choices": []}, {"said": "x"}, []])
def test_nonsense_is_one_error(server, tmp_path, content):
    model = model_of(server, tmp_path, drop=["photo", "sound"])
    server.reply = lambda body: (200, content, {})
    with pytest.raises(UserError, match="answers"):
        model.answers([Asked(0), Asked(1)])


def test_a_server_that_is_away_or_slow_is_one_error(server, tmp_path, waits):
    model = model_of(server, tmp_path, drop=["photo", "sound"], timeout=0.2, tries=2)
    held = threading.Event()
    server.reply = lambda body: (held.wait(5), "red")[1]
    with pytest.raises(UserError, match="does not answer"):
        model.answers([Asked(0)])
    held.set()
    assert len(waits) == 1 and model.retries == 1
    away = model_of(server, tmp_path, drop=["photo", "sound"])
    away.server.url = "http://127.0.0.1:9/v1"
    with pytest.raises(UserError, match="does not answer"):
        away.answers([Asked(0)])


def test_tokens_that_the_server_does_not_count_are_not_known(server, tmp_path):
    model = model_of(server, tmp_path, drop=["photo", "sound"])
    server.reply = lambda body: (200, {"choices": [{"message": {"content": "red"}}]}, {})
    report = reason(model, ["direct"])
    assert report.strategies["direct"]["tokens"] is None and " -" in report.text()


def test_what_cannot_be_sent_is_an_error(server, tmp_path):
    table = rows(tmp_path)
    for i in range(6):
        np.save(tmp_path / f"{i}.npy", np.zeros((5 + i, 2)))
    for more, given, says in (
        ({"rationale": "so"}, {}, "column 'rationale'"),
        ({"track": "{}.npy"}, {}, "'track' is series"),
        ({}, {"question": "questoin"}, "no question in 'questoin'"),
    ):
        further = [{k: str(tmp_path / v.format(i)) for k, v in more.items()} for i in range(6)]
        changed = [{**row, **own} for row, own in zip(table, further, strict=True)]
        options = {"target": "answer"} | given
        with pytest.raises(UserError, match=says):
            Endpoint(http.Server(server.url), "tiny", changed, **options)
    with pytest.raises(UserError, match="no address of a server"):
        http.Server("localhost:80")


def test_answers_without_what_models_put_around_them():
    assert short("Answer: red.\nBecause") == "red"
    assert short("  **Two things** ") == "Two things" and short("\n") == ""


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("There are 2 bars. 2 plus 4 is 6.\nAnswer: 6", "6"),
        ("Answer: 5\nNo, wait.\n**Final answer:** 6.", "6"),
        ("It is so.\n\n**Answer:**\n\n6\n", "6"),
        ("answer: six", "six"),
    ],
)
def test_a_line_of_answer_is_read_wherever_it_stands(server, tmp_path, text, answer):
    model = model_of(server, tmp_path, drop=["photo", "sound"])
    server.reply = lambda body: text
    assert [own.answer for own in model.answers([Asked(0)])] == [answer]
    ((chain,),) = model.chains([Asked(0)])
    assert chain.answer == answer and chain.note == "" and "nswer: 6" not in chain.reason


def test_prose_without_a_line_of_answer_is_told(server, tmp_path):
    model = model_of(server, tmp_path, drop=["photo", "sound"])
    server.reply = lambda body: "There are 2 bars. 2 plus 4 is 6."
    text = reason(model, ["direct", "chain"], faithful=False).text()
    assert "direct: 6 of 6 answers: prose without a line 'Answer:', whose first line" in text
    assert "chain: 6 of 6 answers: no line begins with 'Answer:' (finish reason: not told)" in text


def test_replies_without_text_are_unanswered_and_say_why(server, tmp_path):
    model = model_of(server, tmp_path, drop=["photo", "sound"])
    cut = {"choices": [{"message": {"content": None}, "finish_reason": "length"}]}
    refused = {"choices": [{"message": {"refusal": "I may not."}, "finish_reason": "stop"}]}
    odd = {"number 0": (200, cut, {}), "number 1": (200, refused, {})}
    server.reply = lambda body: next((v for k, v in odd.items() if k in text_of(body)), "red")
    report = reason(model, ["direct"])
    assert report.strategies["direct"]["unanswered"] == 2
    assert report.strategies["direct"]["accuracy"]["value"] == pytest.approx(2 / 6)
    text = " ".join(report.text().split())
    assert "direct: 1 of 6 answers: nothing was written (finish reason: length)." in text
    assert "nothing was written (finish reason: refusal)." in text


def test_the_command_asks_a_server_with_the_key_of_the_environment(
    server, tmp_path, monkeypatch, capsys
):
    lines = [f"Which is {i}?,{'red' if i % 2 else 'blue'}" for i in range(8)]
    (tmp_path / "t.csv").write_text("\n".join(["question,answer", *lines, ""]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MY_KEY", "secret")
    asked = ["reason", "--endpoint", server.url, "--model", "tiny", "--key", "MY_KEY"]
    asked += ["--data", "t.csv", "--target", "answer", "--question", "question", "--out", "out"]
    server.reply = lambda body: (200, b"<html>", {})
    assert polymodal(*asked) == 2
    one_error(capsys.readouterr().err, "answers no JSON")
    assert files(tmp_path) == ["t.csv"]
    server.reply = lambda body: "It is.\nAnswer: red" if "step" in text_of(body) else "blue"
    assert polymodal(*asked) == 0
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer secret"}
    assert "tiny at http" in capsys.readouterr().out
    assert files(tmp_path) == ["out", "out/answers.csv", "out/reason.json", "t.csv"]
