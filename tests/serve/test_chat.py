"""Texts over HTTP, as clients of that protocol ask for them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import polymodal as pm
from polymodal.serve.model import Model

pytestmark = [pytest.mark.whole, pytest.mark.anyio]

PATH = "/v1/chat/completions"


def shown(make: Any, dark: bool) -> dict[str, Any]:
    address = f"data:image/png;base64,{make.coded(make.shot(dark))}"
    return {"type": "image_url", "image_url": {"url": address, "detail": "low"}}


def asked(*parts: Any, **more: Any) -> dict[str, Any]:
    given = [{"type": "text", "text": one} if isinstance(one, str) else one for one in parts]
    return {"model": "first", "messages": [{"role": "user", "content": given}], **more}


def events(text: str) -> list[Any]:
    lines = [one for one in text.split("\n\n") if one]
    assert all(one.startswith("data: ") for one in lines) and lines[-1] == "data: [DONE]"
    return [json.loads(one.removeprefix("data: ")) for one in lines[:-1]]


@pytest.fixture(scope="module")
def writer(writing: Path) -> Model:
    return Model(pm.load(writing))


@pytest.fixture
def chats(serve: Any, writer: Model, make: Any) -> Any:
    return lambda **options: serve({"first": make.here(writer)}, **options)


async def test_a_message_and_a_picture_are_a_row(chats: Any, writer: Model, make: Any) -> None:
    texts = set()
    async with chats() as client:
        for dark in (False, True):
            for note in ("good and new", "bad and old"):
                body = asked(note, shown(make, dark), user="me", store=False)
                answer = await client.post(PATH, json=body)
                assert answer.status_code == 200, answer.text
                told = answer.json()
                ((said,),) = writer.run.write([{"note": note, "photo": make.shot(dark)}])
                (choice,) = told["choices"]
                assert choice["message"]["content"] == said.text
                assert choice["message"]["role"] == "assistant"
                assert choice["finish_reason"] == said.finish and choice["index"] == 0
                used = told["usage"]
                assert used["completion_tokens"] == said.pieces > 0
                assert used["prompt_tokens"] == said.read > 1
                assert used["total_tokens"] == said.pieces + said.read
                texts.add(said.text)
        assert told["object"] == "chat.completion" and told["model"] == "first"
        plain = {"model": "first", "messages": [{"role": "user", "content": note}]}
        alone = (await client.post(PATH, json=plain)).json()
        ((said,),) = writer.run.write([{"note": note}])
        assert alone["choices"][0]["message"]["content"] == said.text
    assert len(texts) > 2  # neither the picture nor the message alone makes them


async def test_a_text_comes_in_parts_that_are_the_whole(chats: Any, make: Any) -> None:
    body = asked("good and new", shown(make, True))
    async with chats() as client:
        whole = (await client.post(PATH, json=body)).json()
        usage = {"stream": True, "stream_options": {"include_usage": True}}
        answer = await client.post(PATH, json=body | usage)
        assert answer.headers["content-type"].startswith("text/event-stream")
        *chunks, last = events(answer.text)
        assert len({(one["id"], one["created"]) for one in (*chunks, last)}) == 1
        assert all(one["object"] == "chat.completion.chunk" for one in chunks)
        assert all(one["usage"] is None for one in chunks) and last["choices"] == []
        assert last["usage"] == whole["usage"]
        deltas = [one["choices"][0] for one in chunks]
        assert deltas[0]["delta"]["role"] == "assistant"
        texts = [one["delta"].get("content", "") for one in deltas]
        assert "".join(texts) == whole["choices"][0]["message"]["content"]
        assert sum(map(bool, texts)) > 3
        reasons = [one["finish_reason"] for one in deltas]
        finish = whole["choices"][0]["finish_reason"]
        assert reasons == [None] * (len(deltas) - 1) + [finish]
        bare = events((await client.post(PATH, json=body | {"stream": True})).text)
        assert all("usage" not in one and one["choices"] for one in bare)


async def test_options_change_what_is_written(chats: Any) -> None:
    body = asked("good and new")

    async def said(**more: Any) -> Any:
        answer = await client.post(PATH, json=body | more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async with chats() as client:
        plain = (await said())["choices"][0]["message"]["content"]
        for name in ("max_tokens", "max_completion_tokens"):
            cut = await said(**{name: 2})
            assert cut["choices"][0]["finish_reason"] == "length"
            assert cut["usage"]["completion_tokens"] == 2
        stopped = (await said(stop=["nowhere", ", a"]))["choices"][0]
        assert stopped["message"]["content"] == plain.partition(", a")[0]
        assert stopped["finish_reason"] == "stop"
        parts = events((await client.post(PATH, json=body | {"stream": True, "stop": ", a"})).text)
        texts = [one["choices"][0]["delta"].get("content", "") for one in parts]
        assert "".join(texts) == stopped["message"]["content"]
        loud = {"temperature": 2, "n": 4, "seed": 5}
        drawn, again = await said(**loud), await said(**loud)
        texts = [one["message"]["content"] for one in drawn["choices"]]
        assert texts == [one["message"]["content"] for one in again["choices"]]
        assert len(set(texts)) > 1 and [one["index"] for one in drawn["choices"]] == [0, 1, 2, 3]
        others = [(await said(temperature=2))["choices"][0]["message"] for _ in range(6)]
        assert len({one["content"] for one in others}) > 1  # without a seed each has its own
        few = await said(temperature=2, top_p=1e-6)
        assert few["choices"][0]["message"]["content"] == plain
        schema = {"type": "object", "properties": {"warm": {"type": "boolean"}}}
        schema |= {"required": ["warm"], "additionalProperties": False}
        form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
        kept = json.loads((await said(response_format=form))["choices"][0]["message"]["content"])
        assert list(kept) == ["warm"]


async def test_the_call_of_a_function_has_its_arguments(chats: Any) -> None:
    parameters = {
        "type": "object",
        "properties": {"far": {"enum": ["near", "far"]}},
        "required": ["far"],
        "additionalProperties": False,
    }
    tool = {"type": "function", "function": {"name": "look", "parameters": parameters}}
    body = asked("good and new", tools=[tool], tool_choice="required")
    async with chats() as client:
        (choice,) = (await client.post(PATH, json=body)).json()["choices"]
        assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None
        (call,) = choice["message"]["tool_calls"]
        assert call["function"]["name"] == "look" and call["type"] == "function"
        assert json.loads(call["function"]["arguments"])["far"] in ("near", "far")
        chunks = events((await client.post(PATH, json=body | {"stream": True})).text)
        told = [one["choices"][0]["delta"].get("tool_calls") for one in chunks]
        assert sum(map(bool, told)) == 1
        assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
        free = (await client.post(PATH, json=body | {"tool_choice": "auto"})).json()
        assert free["choices"][0]["finish_reason"] == "stop"
        other = {"type": "function", "function": {"name": "none"}}
        answer = await client.post(PATH, json=body | {"tool_choice": other})
        assert answer.status_code == 400 and answer.json()["error"]["param"] == "tool_choice"


WRONG: dict[str, tuple[dict[str, Any], str | None]] = {
    "no model": ({"messages": [{"role": "user", "content": "a"}]}, "model"),
    "no messages": ({"model": "first"}, "messages"),
    "none of them": ({"model": "first", "messages": []}, "messages"),
    "a role that is none": (
        {"model": "first", "messages": [{"role": "king", "content": "a"}]},
        "messages.0.role",
    ),
    "a chat": (
        {"model": "first", "messages": [{"role": "system", "content": "a"}]},
        "messages",
    ),
    "a sound": (
        asked({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}),
        "messages.0.content.0",
    ),
    "a part that is none": (asked({"type": "smell", "smell": "a"}), "messages.0.content.0"),
    "a picture without a place": (
        asked({"type": "image_url", "image_url": {}}),
        "messages.0.content.0.image_url.url",
    ),
    "an address": (
        asked({"type": "image_url", "image_url": {"url": "http://127.0.0.1/a.png"}}),
        "messages.0.content.0",
    ),
    "a file": (
        asked({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}),
        "messages.0.content.0",
    ),
    "a broken picture": (
        asked({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}),
        "rows.0.photo",
    ),
    "NUL": (asked("a\0b"), "messages.0.content.0.text"),
    "nothing": (asked(""), "messages"),
    "no temperature": (asked("a", temperature=3), "temperature"),
    "no texts": (asked("a", n=0), "n"),
    "texts that are the same": (asked("a", n=2, temperature=0), "n"),
    "no length": (asked("a", max_tokens=0), "max_tokens"),
    "a form that is none": (asked("a", response_format={"type": "xml"}), "response_format.type"),
    "a schema that is none": (
        asked("a", response_format={"type": "json_schema", "json_schema": {"name": "a"}}),
        "response_format.json_schema",
    ),
    "a schema that nothing satisfies": (
        asked("a", response_format={"type": "json_schema", "json_schema": {"schema": {"type": 3}}}),
        None,
    ),
}


@pytest.mark.parametrize("stream", [False, True])
async def test_what_does_not_fit_is_refused(stream: bool, chats: Any) -> None:
    async with chats() as client:
        for name, (body, place) in WRONG.items():
            answer = await client.post(PATH, json=body | {"stream": stream})
            assert answer.status_code == 400, (name, answer.text)
            error = answer.json()["error"]
            assert error["type"] == "invalid_request_error" and error["param"] == place, name
        other = await client.post(PATH, json=asked("a") | {"model": "second"})
        assert other.status_code == 404 and other.json()["error"]["code"] == "model_not_found"
        form = await client.post(PATH, content=b"a", headers={"content-type": "text/plain"})
        assert form.status_code == 415


async def test_requests_that_are_alike_are_written_together_and_spoil_no_other(
    serve: Any, writer: Model, make: Any
) -> None:
    here = make.here(writer)
    async with serve({"first": here}) as client:
        notes = ["good and new", "bad and old"] * 4
        bodies = [asked(note, shown(make, i % 3 == 0)) for i, note in enumerate(notes)]
        bodies[5] = asked({"type": "image_url", "image_url": {"url": "data:image/png;base64,aaaa"}})
        answers = await asyncio.gather(*(client.post(PATH, json=body) for body in bodies))
        assert [one.status_code for one in answers] == [200] * 5 + [400] + [200] * 2
        assert max(count for what, count in here.batches if what == "write") > 3
        alone = [await client.post(PATH, json=body) for body in bodies]
        for one, other in zip(answers, alone, strict=True):
            assert one.json().get("choices") == other.json().get("choices")


async def test_a_client_that_goes_is_written_for_no_longer(
    serve: Any, writer: Model, make: Any
) -> None:
    here = make.here(writer)
    async with serve({"first": here}) as client:
        lane = client.hosted["first"].lane
        how = {"longest": 500, "temperature": 2.0, "pattern": "[a-z ]{500}"}
        wanted = {"rows": [{"note": "good"}], "how": how, "seed": 1, "target": "said"}
        steps = lane.stream("write", wanted)
        for _ in range(3):
            await anext(steps)
        await steps.aclose()
        assert here.left == {0}
        async with asyncio.timeout(300):
            while not lane._latency:  # the batch is over, long before 500 pieces
                await asyncio.sleep(0.01)
        assert here.steps < 100


async def test_a_run_that_learned_chats_goes_on_with_them(
    serve: Any, chatting: Path, make: Any
) -> None:
    run = pm.load(chatting)
    here = make.here(Model(run))
    talk: list[Any] = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}, shown(make, True)]},
        {"role": "assistant", "content": "It is dark."},
        {"role": "user", "content": "And when?"},
    ]
    own = [dict(one) for one in talk]
    own[1]["content"] = ["What is it?", {"type": "image", "bytes": make.shot(True)}]
    async with serve({"first": here}) as client:
        for count in (2, 4):
            said = run.chat(own[:count], longest=12)
            body = {"model": "first", "messages": talk[:count], "max_tokens": 12}
            answers = await asyncio.gather(*[client.post(PATH, json=body) for _ in range(3)])
            for answer in answers:
                assert answer.status_code == 200, answer.text
                (choice,) = answer.json()["choices"]
                assert choice["message"]["content"] == said.text
                assert answer.json()["usage"]["prompt_tokens"] == said.read
            told = events((await client.post(PATH, json=body | {"stream": True})).text)
            parts = [one["choices"][0]["delta"].get("content", "") for one in told]
            assert "".join(parts) == said.text
        assert ("write", 3) in here.batches or ("write", 2) in here.batches
        sound = {"type": "input_audio", "input_audio": {"data": make.coded(make.loud())}}
        for wrong in (
            talk[:3],  # whose last word is the model's own
            [{"role": "tool", "content": "a"}],
            [{"role": "user", "content": None}],
            [{"role": "user", "content": [sound]}],
            [{"role": "user", "content": [shown(make, True)] * 2}],
        ):
            answer = await client.post(PATH, json={"model": "first", "messages": wrong})
            assert answer.status_code == 400, answer.text


async def test_sounds_are_written_down(serve: Any, hearing: Path, make: Any) -> None:
    run = pm.load(hearing)
    ((said,),) = run.write([{"clip": make.loud()}])
    async with serve({"first": make.here(Model(run))}) as client:
        path = "/v1/audio/transcriptions"
        fields = {"model": "first", "language": "en", "temperature": "0"}
        files = {"file": ("a.wav", make.loud())}
        found = await client.post(path, data=fields, files=files)
        assert found.status_code == 200, found.text
        told = found.json()
        assert told["text"] == said.text and told["usage"]["output_tokens"] == said.pieces
        text = await client.post(path, data=fields | {"response_format": "text"}, files=files)
        assert text.text == said.text + "\n" and text.headers["content-type"].startswith(
            "text/plain"
        )
        streamed = await client.post(path, data=fields | {"stream": "true"}, files=files)
        lines = [json.loads(one[6:]) for one in streamed.text.split("\n\n") if one]
        assert "".join(one.get("delta", "") for one in lines) == lines[-1]["text"] == told["text"]
        for wrong, status in (
            ({"data": fields}, 415),
            ({"data": fields, "files": {"other": ("a.wav", make.loud())}}, 400),
            ({"data": fields | {"model": "x"}, "files": files}, 404),
            ({"data": {"language": "en"}, "files": files}, 400),
            ({"data": fields | {"response_format": "srt"}, "files": files}, 400),
            ({"data": fields | {"stream": "perhaps"}, "files": files}, 400),
            (
                {"data": fields | {"stream": "1"}, "files": files},
                400,
            ),  # a number, says the document
            ({"data": fields, "files": {"file": ("a.wav", b"RIFF")}}, 400),
            ({"data": fields, "files": {"file": ("a.wav", b"")}}, 400),
            ({"json": fields}, 415),
        ):
            answer = await client.post(path, **wrong)
            assert answer.status_code == status, answer.text
            assert answer.json()["error"]["message"]
        # A sound in a message is the same.
        part = {"data": make.coded(make.loud()), "format": "wav"}
        body = asked({"type": "input_audio", "input_audio": part})
        (choice,) = (await client.post(PATH, json=body)).json()["choices"]
        assert choice["message"]["content"] == said.text


async def test_sounds_are_written_down_along_them(serve: Any, along: Path, make: Any) -> None:
    run = pm.load(along)
    ((said,),) = run.write([{"clip": make.loud()}])
    assert said.text in ("it is quiet", "it is loud")
    async with serve({"first": make.here(Model(run))}) as client:
        fields = {"model": "first", "language": "en", "temperature": "0"}
        files = {"file": ("a.wav", make.loud())}
        found = await client.post("/v1/audio/transcriptions", data=fields, files=files)
        assert found.status_code == 200, found.text
        told = found.json()
        assert told["text"] == said.text and told["usage"]["output_tokens"] == said.pieces
        assert told["usage"]["input_tokens"] == said.read > 0
        streamed = await client.post(
            "/v1/audio/transcriptions", data=fields | {"stream": "true"}, files=files
        )
        lines = [json.loads(one[6:]) for one in streamed.text.split("\n\n") if one]
        assert "".join(one.get("delta", "") for one in lines) == lines[-1]["text"] == said.text
        # A chat says how long and how free its text may be, whoever writes it.
        part = {"data": make.coded(make.loud()), "format": "wav"}
        usual = {"max_tokens": 5, "max_completion_tokens": 5, "temperature": 0.7, "top_p": 0.9}
        body = asked({"type": "input_audio", "input_audio": part}, **usual)
        (choice,) = (await client.post(PATH, json=body)).json()["choices"]
        assert choice["message"]["content"] == said.text
        for key, wrong in (("n", 2), ("stop", "it"), ("response_format", {"type": "json_object"})):
            answer = await client.post(PATH, json=body | {key: wrong})
            assert answer.status_code == 400, (key, answer.text)


async def test_runs_that_write_nothing_have_no_such_routes(serve: Any) -> None:
    async with serve() as client:
        for path in (PATH, "/v1/audio/transcriptions"):
            assert (await client.post(path, json=asked("a"))).status_code == 404
