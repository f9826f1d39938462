"""What routes that are alike for all runs answer, as the document of the server says it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Model(_Answer):
    """A run that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(_Answer):
    object: Literal["list"]
    data: list[Model]


class Usage(_Answer):
    prompt_tokens: int
    total_tokens: int


class Embedding(_Answer):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Embeddings(_Answer):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


class Decided(BaseModel):
    """Beside its type what that type of question asks for."""

    type: Literal["choice", "noul", "score"]
    confidence: float | None = None


class Used(_Answer):
    input_tokens: int
    output_tokens: int


class Decisions(_Answer):
    model: str
    answers: dict[str, Decided]
    usage: Used


class Written(Usage):
    completion_tokens: int


class Function(_Answer):
    name: str
    arguments: str


class Call(_Answer):
    id: str
    type: Literal["function"]
    function: Function


class Message(_Answer):
    role: Literal["assistant"]
    content: str | None
    refusal: None
    annotations: list[Any]
    tool_calls: list[Call] = []


class Choice(_Answer):
    index: int
    message: Message
    logprobs: None
    finish_reason: Literal["stop", "length", "tool_calls"]


class Completion(_Answer):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Written


class Heard(Used):
    type: Literal["tokens"]
    total_tokens: int


class Transcription(_Answer):
    text: str
    usage: Heard


class Column(_Answer):
    """Of an input: how cells may be given, MIME types of its files, names that it has learned."""

    name: str
    kind: str
    given: list[str]
    accepts: str
    words: bool
    names: list[str]


class Target(_Answer):
    name: str
    classes: list[str]
    labels: list[str]
    number: bool
    written: bool
    along: bool
    supports: str


class Run(_Answer):
    """A run: what it can be asked, what it reads, and what it answers."""

    name: str
    can: list[str]
    inputs: list[Column]
    modalities: dict[str, list[str]]
    targets: list[Target]
    chats: bool
    intervals: bool
    embeds: int
    compared: list[str]
    searched: list[str]
    created: str
    rows: int | None


class Runs(_Answer):
    runs: list[Run]


class Health(_Answer):
    status: Literal["alive"]


class Ready(_Answer):
    ready: bool
    workers: dict[str, int]


ALL: tuple[type[BaseModel], ...] = (
    Models,
    Model,
    Embeddings,
    Decisions,
    Completion,
    Transcription,
    Runs,
    Health,
    Ready,
)
