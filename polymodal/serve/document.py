"""The OpenAPI document of a server: each run's requests and answers as they are checked."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from polymodal.serve import answers, chat, decisions, v1
from polymodal.serve.hosted import Hosted
from polymodal.serve.messages import ChatRequest
from polymodal.serve.reading import FORM, JSON

# Requests that name their run -> whether a run can answer them.
ASKED: dict[type[BaseModel], Callable[[Hosted], Any]] = {
    v1.EmbeddingsRequest: lambda own: "embed" in own.shapes.requests,
    decisions.DecisionRequest: lambda own: own.shapes.decides,
    ChatRequest: chat.writes,
}
REF = "#/components/schemas/{model}"
SORTS = {
    "predict": "Predictions with probabilities.",
    "embed": "Vectors of rows.",
    "explain": "Which modality carried a prediction, and which parts of it.",
    "retrieve": "Rows of the index that are most like one.",
}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
# What may be answered instead of an answer.
REFUSALS = {
    "400": "The request is wrong.",
    "401": "A valid key is required.",
    "403": "Asked by another name, or from a page of another origin.",
    "404": "There is no such model.",
    "408": "The body came too slowly.",
    "413": "The request is too large.",
    "415": "The body is of another type.",
    "429": "Too much waits already.",
    "503": "Not answered in time, or not now.",
}


def describe(hosted: Mapping[str, Hosted]) -> dict[str, Any]:
    """The document."""
    models = [
        model
        for own in hosted.values()
        for what in own.shapes.requests
        for model in (own.shapes.requests[what], own.shapes.answers[what])
    ]
    models += [*ASKED, *answers.ALL]
    modes = [(model, "validation") for model in models]
    _, found = models_json_schema(modes, ref_template=REF)  # type: ignore[arg-type]
    for model, able in ASKED.items():
        if any(map(able, hosted.values())):
            found["$defs"][model.__name__]["properties"]["model"] = _named_runs(hosted, able)
    paths: dict[str, Any] = {}
    first = next(iter(hosted.values()))
    for own, base in [(first, ""), *((one, f"/runs/{one.name}") for one in hosted.values())]:
        for what in own.shapes.requests:
            paths[f"{base}/{what}"] = {"post": _operation(own, what, base)}
    paths |= dict(_shared(hosted))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Polymodal", "version": importlib.metadata.version("polymodal")},
        "paths": paths,
        "components": {
            "schemas": {**found["$defs"], "Error": ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _operation(own: Hosted, what: str, base: str) -> dict[str, Any]:
    asked, answer = own.shapes.requests[what], own.shapes.answers[what]
    return {
        "operationId": f"{what}{base.replace('/', '_')}",
        "summary": SORTS[what],
        "parameters": list(_parameters(own.shapes.options[what])),
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": _named(asked)}, FORM: {"schema": _form(own)}},
        },
        "responses": _responses(_named(answer)),
    }


def _parameters(options: type[BaseModel]) -> Iterator[dict[str, Any]]:
    """What a request says beside its rows, which may stand in its address too."""
    for name, schema in options.model_json_schema().get("properties", {}).items():
        schema.pop("default", None)
        yield {"name": name, "in": "query", "required": False, "schema": schema}


def _form(own: Hosted) -> dict[str, Any]:
    """One row as a form's fields; what else a request says stands in its address."""
    fields: dict[str, Any] = {}
    for column in own.shapes.described["inputs"]:
        text: dict[str, Any] = {"type": "string"}
        if "file" in column["given"]:
            text = {"type": "string", "format": "binary", "contentMediaType": column["accepts"]}
        elif "strings" in column["given"]:  # the field once, or once for each
            text = {"anyOf": [text, {"type": "array", "items": text}]}
        fields[column["name"]] = text
    return {"type": "object", "properties": fields, "additionalProperties": False}


def _shared(hosted: Mapping[str, Hosted]) -> Iterator[tuple[str, Any]]:
    """Routes of all runs, and of whoever runs the machine."""
    every = hosted.values()
    yield "/v1/models", {"get": _plain("models", "The runs that are served.", answers.Models)}
    known = _named_runs(hosted, lambda own: True)
    name = {"name": "name", "in": "path", "required": True, "schema": known}
    one = _plain("model", "One of them.", answers.Model)
    yield "/v1/models/{name}", {"get": {**one, "parameters": [name]}}
    if any(map(ASKED[v1.EmbeddingsRequest], every)):
        found = _posted("embeddings", "Vectors.", v1.EmbeddingsRequest, answers.Embeddings)
        yield "/v1/embeddings", {"post": found}
    if any(own.shapes.decides for own in every):
        summary = "Typed questions, answered with probabilities."
        found = _posted("systemone", summary, decisions.DecisionRequest, answers.Decisions)
        yield "/v1/systemone", {"post": found}
    if any(chat.writes(own) for own in every):
        summary = "What a run writes after a message; in parts as they come, if asked so."
        found = _posted("completions", summary, ChatRequest, answers.Completion)
        yield "/v1/chat/completions", {"post": _also(found, "text/event-stream")}
    if any(chat.hears(own) for own in every):
        able = _named_runs(hosted, chat.hears)
        yield "/v1/audio/transcriptions", {"post": _transcription(able)}
    yield "/runs", {"get": _plain("runs", "What each run reads and answers.", answers.Runs)}
    yield "/health", {"get": _plain("health", "Whether the server lives.", answers.Health)}
    yield "/ready", {"get": _ready()}


def _ready() -> dict[str, Any]:
    found = _plain("ready", "Whether every run has a worker.", answers.Ready)
    either = {"anyOf": [_named(answers.Ready), {"$ref": REF.format(model="Error")}]}
    found["responses"]["503"]["content"] = {JSON: {"schema": either}}
    return found


def _also(operation: dict[str, Any], *kinds: str) -> dict[str, Any]:
    """The same with answers of other content types, which are texts."""
    for kind in kinds:
        operation["responses"]["200"]["content"][kind] = {"schema": {"type": "string"}}
    return operation


def _named_runs(hosted: Mapping[str, Hosted], able: Callable[[Hosted], Any]) -> dict[str, Any]:
    """The names of runs that can answer something."""
    return {"type": "string", "enum": [name for name, own in hosted.items() if able(own)]}


def _transcription(able: Mapping[str, Any]) -> dict[str, Any]:
    fields = {
        "file": {"type": "string", "format": "binary", "contentMediaType": "audio/*"},
        "model": able,
        "response_format": {"enum": ["json", "text"]},
        "stream": {"type": "boolean"},
    }
    form = {"type": "object", "properties": fields, "required": ["file", "model"]}
    found = _plain("transcriptions", "What a run writes of a sound.", answers.Transcription)
    body = {"required": True, "content": {FORM: {"schema": form}}}
    return _also({**found, "requestBody": body}, "text/event-stream", "text/plain")


def _plain(name: str, summary: str, answer: type[BaseModel]) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": _responses(_named(answer))}


def _posted(
    name: str, summary: str, asked: type[BaseModel], answer: type[BaseModel]
) -> dict[str, Any]:
    body = {"required": True, "content": {JSON: {"schema": _named(asked)}}}
    return {**_plain(name, summary, answer), "requestBody": body}


def _responses(schema: Any) -> dict[str, Any]:
    error = {JSON: {"schema": {"$ref": REF.format(model="Error")}}}
    refused = {code: {"description": what, "content": error} for code, what in REFUSALS.items()}
    return {"200": {"description": "Answered.", "content": {JSON: {"schema": schema}}}, **refused}


def _named(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.model_config.get("title") or model.__name__)}
