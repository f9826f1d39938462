"""Routes of runs that write: chat completions and transcriptions, whole or as they come."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from polymodal.serve import messages
from polymodal.serve.errors import Refused
from polymodal.serve.hosted import Hosted, answered, line, streamed
from polymodal.serve.messages import ChatRequest
from polymodal.serve.reading import body_of, fields_of
from polymodal.serve.schema import parsed

DONE = b"data: [DONE]\n\n"
# How a field of a form says whether the answer is to come in parts.
STREAMS = {"true": True, "false": False}


def add(app: FastAPI, hosted: Mapping[str, Hosted], named: Callable[[str], Hosted]) -> None:
    """The routes that some of these runs can answer.

    Args:
        named: the run of a name; Refused if there is none.
    """
    if any(writes(one) for one in hosted.values()):

        @app.post("/v1/chat/completions")
        async def completions(request: Request) -> Response:
            asked = parsed(ChatRequest, await body_of(request))
            own = named(asked.model)
            if not writes(own):
                what = f"'{own.name}' writes no texts"
                raise Refused(400, what, param="model", code="no_texts")
            own.lane.refuse_overload()
            said, how = messages.said(own.shapes, asked.messages), messages.how(own.shapes, asked)
            parts = own.write(request, said, how, messages.seed(asked))
            told = _Completion(own.name, asked)
            if asked.stream:
                return await streamed(told.events(parts))
            return answered(told.whole(await _last(parts)))

    heard = [one for one in hosted.values() if hears(one)]
    if heard:
        limits = heard[0].shapes.limits

        @app.post("/v1/audio/transcriptions")
        async def transcriptions(request: Request) -> Response:
            fields, content = await fields_of(request, limits)
            if "model" not in fields:
                raise Refused(400, "model: which run is to write", param="model", code="no_model")
            own = named(fields["model"])
            column = hears(own)
            if column is None:
                what = f"'{own.name}' does not write what it hears in one sound"
                raise Refused(400, what, param="model", code="no_sound")
            if content is None:
                raise Refused(400, "file: a sound is required", param="file", code="no_file")
            kind = fields.get("response_format", "json")
            if kind not in ("json", "text"):
                what = "response_format: expected json or text"
                raise Refused(400, what, param="response_format", code="invalid_value")
            stream = fields.get("stream", "false").lower()
            if stream not in STREAMS:
                what = "stream: expected true or false"
                raise Refused(400, what, param="stream", code="invalid_value")
            own.lane.refuse_overload()
            parts = own.write(request, {"rows": [{column: content}]}, {}, 0)
            if STREAMS[stream]:
                return await streamed(_heard(parts))
            found = await _last(parts)
            text = found["texts"][0]["said"]
            if kind == "text":
                return Response(text + "\n", media_type="text/plain; charset=utf-8")
            return answered({"text": text, "usage": _tokens(found)})


def writes(own: Hosted) -> bool:
    """Whether a run writes one text."""
    return own.shapes.written is not None


def hears(own: Hosted) -> str | None:
    """The one column of sounds of a run that writes; None where there is none, or several."""
    found = list(messages.columns(own.shapes, "audio/")) if writes(own) else []
    return found[0] if len(found) == 1 else None


async def _last(parts: AsyncIterator[Any]) -> dict[str, Any]:
    found: dict[str, Any] = [part async for part in parts][-1]
    return found


class _Completion:
    """One chat completion, in the shapes of that protocol."""

    def __init__(self, model: str, asked: ChatRequest) -> None:
        self.asked = asked
        self.calls = messages.calls(asked)
        self.head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, found: Mapping[str, Any]) -> dict[str, Any]:
        choices = []
        for index, text in enumerate(found["texts"]):
            message: dict[str, Any] = {"role": "assistant", "content": text["said"]}
            message |= {"refusal": None, "annotations": []}
            called = self._called(text)
            if called:
                message |= {"content": None, "tool_calls": called}
            choices.append(self._choice(index, text, called) | {"message": message})
        return {**self.head, "choices": choices, "usage": usage(found)}

    async def events(self, parts: AsyncIterator[Any]) -> AsyncIterator[bytes]:
        """Chunks, whose first says who speaks and whose last says why it ended."""
        counted = bool(self.asked.stream_options and self.asked.stream_options.include_usage)
        head = self.head | {"object": "chat.completion.chunk"}
        rest = {"usage": None} if counted else {}
        begun: set[int] = set()

        def chunk(index: int, delta: Mapping[str, Any], finish: str | None = None) -> bytes:
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
            return line({**head, "choices": [choice], **rest})

        found: Any = {}
        async for part in parts:
            if isinstance(part, dict):
                found = part
                break
            index, text = part
            if index not in begun:
                begun.add(index)
                yield chunk(index, {"role": "assistant", "content": "", "refusal": None})
            if text and not self.calls:
                yield chunk(index, {"content": text})
        for index, text in enumerate(found["texts"]):
            called = self._called(text)
            if called:
                numbered = [{"index": i, **one} for i, one in enumerate(called)]
                yield chunk(index, {"tool_calls": numbered})
            elif self.calls:
                yield chunk(index, {"content": text["said"]})
            yield chunk(index, {}, self._choice(index, text, called)["finish_reason"])
        if counted:
            yield line({**head, "choices": [], "usage": usage(found)})
        yield DONE

    def _choice(self, index: int, text: Mapping[str, Any], called: Any) -> dict[str, Any]:
        finish = "tool_calls" if called else text["finish"]
        return {"index": index, "logprobs": None, "finish_reason": finish}

    def _called(self, text: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The calls that a text is; none where it is another, or was cut short."""
        if not self.calls or text["finish"] != "stop":
            return []
        told = json.loads(text["said"])
        arguments = json.dumps(told["arguments"], ensure_ascii=False)
        function = {"name": told["name"], "arguments": arguments}
        return [{"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}]


def usage(found: Mapping[str, Any]) -> dict[str, int]:
    """Places that were read, and pieces that were written."""
    written = sum(text["pieces"] for text in found["texts"])
    read = found["read"]
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _tokens(found: Mapping[str, Any]) -> dict[str, Any]:
    plain = usage(found)
    return {
        "type": "tokens",
        "input_tokens": plain["prompt_tokens"],
        "output_tokens": plain["completion_tokens"],
        "total_tokens": plain["total_tokens"],
    }


async def _heard(parts: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    async for part in parts:
        if isinstance(part, dict):
            text = part["texts"][0]["said"]
            done = {"type": "transcript.text.done", "text": text, "usage": _tokens(part)}
            yield line(done)
        elif part[1]:
            yield line({"type": "transcript.text.delta", "delta": part[1]})
