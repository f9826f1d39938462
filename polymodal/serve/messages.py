"""Messages of a chat, as clients send them, to a row of a run and the manner to write in."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from polymodal.serve import cells
from polymodal.serve.errors import Refused
from polymodal.serve.schema import Shapes

Text = Annotated[str, StringConstraints(max_length=100_000, pattern=r"^[^\x00]*$")]
# A data URL, whose file is measured when it is known what it is for.
Coded = Annotated[str, StringConstraints(max_length=100 * 2**20)]
# Letters of a JSON schema that a text is to satisfy.
SCHEMA = 20_000


class _Lenient(BaseModel):
    # Clients send more than there is to know here, such as `user`.
    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class TextPart(_Lenient):
    type: Literal["text"]
    text: Text


class Address(_Lenient):
    url: Coded


class ImagePart(_Lenient):
    sort: ClassVar[str] = "image/"
    type: Literal["image_url"]
    image_url: Address

    @property
    def coded(self) -> str:
        return self.image_url.url


class VideoPart(_Lenient):
    sort: ClassVar[str] = "video/"
    type: Literal["video_url"]
    video_url: Address

    @property
    def coded(self) -> str:
        return self.video_url.url


class Sound(_Lenient):
    data: Coded
    format: Literal["wav", "mp3"] | None = None


class SoundPart(_Lenient):
    sort: ClassVar[str] = "audio/"
    type: Literal["input_audio"]
    input_audio: Sound

    @property
    def coded(self) -> str:
        return self.input_audio.data


Medium = ImagePart | VideoPart | SoundPart
Part = Annotated[TextPart | Medium, Field(discriminator="type")]


class Message(_Lenient):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | Annotated[list[Part], Field(min_length=1, max_length=100)] | None = None


class StreamOptions(_Lenient):
    include_usage: bool | None = None


class JsonSchema(_Lenient):
    schema_: dict[str, Any] | None = Field(None, alias="schema")


class Format(_Lenient):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class Function(_Lenient):
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    parameters: dict[str, Any] | None = None


class Tool(_Lenient):
    type: Literal["function"]
    function: Function


class Named(_Lenient):
    name: str


class Choice(_Lenient):
    type: Literal["function"]
    function: Named


class ChatRequest(_Lenient):
    """Messages, whose parts go to the columns of their kind, and how to answer."""

    model_config = ConfigDict(title="ChatRequest")

    model: Text
    messages: Annotated[list[Message], Field(min_length=1, max_length=1000)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=8)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Text | Annotated[list[Text], Field(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: Format | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | Choice | None = None


def said(shapes: Shapes, messages: Sequence[Message]) -> dict[str, Any]:
    """What is said, as a worker takes it: messages, of a run that has learned chats; else a row.

    Raises:
        Refused: something of it has no place in a row, or nothing is said.
    """
    if shapes.described["chats"]:
        found = [
            {"role": one.role, "content": _content(shapes, one, f"messages.{i}.content")}
            for i, one in enumerate(messages)
        ]
        return {"rows": [{}], "messages": found}
    if [message.role for message in messages] != ["user"]:
        what = f"'{shapes.name}' has learned no chats: it answers one message, of a user"
        raise Refused(400, what, param="messages", code="no_chat")
    row: dict[str, Any] = {}
    words = []
    for part, place in _parts(messages[0], "messages.0.content"):
        if isinstance(part, TextPart):
            words.append(part.text)
        else:
            row[_column(shapes, part, row, place)] = file(part, place, shapes.limits)
    if text := "\n".join(words):
        if shapes.text is None:
            what = f"'{shapes.name}' does not read one text: give what it reads alone"
            raise Refused(400, what, param="messages", code="no_text")
        row[shapes.text] = text
    if not row:
        raise Refused(400, "Nothing is said", param="messages", code="nothing_said")
    return {"rows": [row]}


def _parts(message: Message, place: str) -> list[tuple[TextPart | Medium, str]]:
    """A message's parts, and where they stand."""
    given = message.content
    if isinstance(given, str):
        return [(TextPart(type="text", text=given), place)]
    return [(part, f"{place}.{number}") for number, part in enumerate(given or [])]


def _content(shapes: Shapes, message: Message, place: str) -> list[dict[str, Any]]:
    """A message's parts as `table.chat` has them: a file is its bytes, and of a kind."""
    found: list[dict[str, Any]] = []
    for part, where in _parts(message, place):
        if isinstance(part, TextPart):
            found.append({"type": part.type, "text": part.text})
            continue
        column = _column(shapes, part, {}, where)
        kind = shapes.columns[column]["kind"]
        found.append({"type": kind, "bytes": file(part, where, shapes.limits)})
    return found


def file(part: Medium, place: str, limits: cells.Limits) -> bytes:
    """The bytes of a part that is a file; Refused if it is none."""
    if len(part.coded) > limits.encoded:
        most = f"{limits.file / 2**20:,.0f} MiB"
        raise Refused(
            413, f"{place}: the file is larger than {most}", param=place, code="too_large"
        )
    return cells.file(cells.decoded(part.coded, place), place, limits)


def how(shapes: Shapes, asked: ChatRequest) -> dict[str, Any]:
    """The manner to write in, as `nn.manner.Manner` has it, where it is not the run's own.

    What is written along a sound is as long as that and as likely as can be: clients send a length
    and a temperature with every request, and there they mean nothing.
    """
    if not shapes.along:
        found = _drawn(asked)
    elif (asked.n or 1) > 1:
        what = f"'{shapes.name}' writes what it hears: n is 1"
        raise Refused(400, what, param="n", code="invalid_value")
    else:
        found = {}
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    if any(stop):
        found |= {"stop": [one for one in stop if one], "beams": 1}
    wanted = _schema(asked)
    if wanted is not None:
        if len(json.dumps(wanted)) > SCHEMA:
            what = f"The schema has more than {SCHEMA:,} letters"
            raise Refused(400, what, param="response_format", code="too_large")
        found |= {"schema": wanted, "choices": None, "pattern": None}
    return found


def _drawn(asked: ChatRequest) -> dict[str, Any]:
    """How long texts may be, and how they are drawn."""
    found: dict[str, Any] = {}
    longest = asked.max_completion_tokens or asked.max_tokens
    if longest is not None:
        found["longest"] = longest
    drawn = asked.top_p not in (None, 1) or (asked.n or 1) > 1
    temperature = 1.0 if asked.temperature is None and drawn else asked.temperature
    if temperature is not None:
        # Whatever else the run was told to do where nothing is asked.
        found |= {"temperature": temperature, "beams": 1, "top_k": 0, "top_p": 1.0}
        if temperature and asked.top_p is not None:
            found["top_p"] = asked.top_p
    if (asked.n or 1) > 1:
        if not temperature:
            what = "Texts that are not drawn are all the same: n is 1 where temperature is 0"
            raise Refused(400, what, param="n", code="invalid_value")
        found["samples"] = asked.n
    return found


def seed(asked: ChatRequest) -> int:
    """Another for each request, unless it says which."""
    return secrets.randbits(32) if asked.seed is None else asked.seed % 2**64


def calls(asked: ChatRequest) -> bool:
    """Whether the answer has to be the call of a function."""
    return bool(asked.tools) and (
        asked.tool_choice == "required" or isinstance(asked.tool_choice, Choice)
    )


def _schema(asked: ChatRequest) -> dict[str, Any] | None:
    """What the answer has to satisfy."""
    if calls(asked):
        return _call(asked)
    told = asked.response_format
    if told is None or told.type == "text":
        return None
    if told.type == "json_object":
        return {"type": "object"}
    if told.json_schema is None or told.json_schema.schema_ is None:
        what = "A schema is required"
        raise Refused(400, what, param="response_format.json_schema", code="invalid_value")
    return told.json_schema.schema_


def _call(asked: ChatRequest) -> dict[str, Any]:
    """Of a function's call: its name and arguments."""
    functions = [tool.function for tool in asked.tools or ()]
    if isinstance(asked.tool_choice, Choice):
        name = asked.tool_choice.function.name
        functions = [one for one in functions if one.name == name]
        if not functions:
            what = f"There is no function '{name[:80]}' among the tools"
            raise Refused(400, what, param="tool_choice", code="invalid_value")
    ways = [
        {
            "type": "object",
            "properties": {
                "name": {"const": one.name},
                "arguments": one.parameters or {"type": "object"},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for one in functions
    ]
    return ways[0] if len(ways) == 1 else {"anyOf": ways}


def _column(shapes: Shapes, part: Medium, taken: Mapping[str, Any], place: str) -> str:
    """The next column of its kind."""
    able = list(columns(shapes, part.sort))
    free = [name for name in able if name not in taken]
    if not free:
        most = f"{len(able)} of them" if able else "none"
        what = f"{place}: of {part.sort}* '{shapes.name}' reads {most}"
        raise Refused(400, what, param=place, code="no_column")
    return free[0]


def columns(shapes: Shapes, sort: str) -> Iterator[str]:
    """Columns whose cells are files of a sort, such as "audio/"."""
    for one in shapes.described["inputs"]:
        if one["accepts"].startswith(sort):
            yield one["name"]
