"""Conversations: messages of people and an assistant, a row for every answer to be given.

A table with a column `messages`, of lists of `{"role": ..., "content": ...}` as OpenAI and Hugging
Face write them, has a row for each of the assistant's turns instead: `messages` holds those before
it, `answer` what the assistant said, and media their own columns, `image`, `image 2`, ...
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from polymodal.base.arrow import is_list
from polymodal.base.errors import UserError
from polymodal.contract.kind import kinds, worded
from polymodal.table.values import json_list

# How cells begin that `written` wrote: no list in JSON, which tables read as lists.
LEAD = "chat\n"
MESSAGES, ANSWER, CONVERSATION = "messages", "answer", "conversation"
# The kind of the column of messages.
KIND = "chat"
ROLE, CONTENT, TYPE = "role", "content", "type"
ASSISTANT = "assistant"
ROLES = ("system", "user", ASSISTANT)
# What else roles are called, and media as OpenAI's requests have them.
ALIASES = {"developer": "system", "human": "user", "gpt": ASSISTANT}
_URL, _SOUND = "image_url", "input_audio"
# Media of one conversation at most.
MOST = 64


@dataclass(frozen=True)
class Turn:
    """What somebody said: parts of (text, None), or ("", the column of a medium)."""

    role: str
    parts: Sequence[tuple[str, str | None]]


def is_chat(cell: Any) -> bool:
    """Whether a cell is a list of messages."""
    listed = isinstance(cell, Sequence) and not isinstance(cell, str | bytes) and len(cell) > 0
    return listed and all(isinstance(one, Mapping) and ROLE in one for one in cell)


def holds(column: pa.ChunkedArray) -> bool:
    """Whether a column is lists of messages, or of texts whose first spells one in JSON."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        first = next((one.as_py() for one in column if one.is_valid), None)
        return is_chat(_spelled(first))
    if not is_list(column.type) or not pa.types.is_struct(column.type.value_type):
        return False
    return column.type.value_type.get_field_index(ROLE) >= 0


def unfolded(rows: Sequence[Mapping[str, Any]], source: str) -> list[dict[str, Any]]:
    """Rows with conversations, a row for each answer; others as they are.

    A row with an `answer` of its own is one row still; a conversation that ends with anybody else
    has a last row, whose answer is missing.

    Raises:
        UserError: a conversation is empty, or a message is none that anybody writes.
    """
    if not any(isinstance(row, Mapping) and _given(_spelled(row.get(MESSAGES))) for row in rows):
        return list(rows)  # type: ignore[arg-type]
    found: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        cell = _spelled(row.get(MESSAGES)) if isinstance(row, Mapping) else None
        if cell is None or isinstance(cell, str):
            found.append(dict(row))
            continue
        where = f"{source}, row {number}"
        if not isinstance(cell, Sequence) or not cell:
            raise UserError(
                f"{where}: there are no messages",
                expected='a list of {"role": "user", "content": "..."}',
                got=repr(cell)[:200],
            )
        others = {name: value for name, value in row.items() if name != MESSAGES}
        found += _answers(cell, others, number, where)
    return found


def group(names: Sequence[str]) -> str | None:
    """The column that says which rows are of one conversation, if there is one."""
    return CONVERSATION if {CONVERSATION, MESSAGES} <= set(names) else None


def row(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A conversation as one row, whose answer is what comes after its last message.

    Raises:
        UserError: as `unfolded`, or the last message is the assistant's.
    """
    if not is_chat(messages):
        raise UserError(
            "A conversation is a list of messages",
            expected='[{"role": "user", "content": "..."}]',
            got=repr(messages)[:200],
        )
    turns, media = _read(messages, "The conversation")
    if turns[-1].role == ASSISTANT:
        raise UserError(
            "The conversation ends with the assistant's own message",
            expected="one of the user's last, which is to be answered",
        )
    return {MESSAGES: written(turns), **media}


def written(turns: Sequence[Turn]) -> str:
    """Turns as a cell: a line of JSON each."""
    lines = []
    for turn in turns:
        parts = [[said] if column is None else [said, column] for said, column in turn.parts]
        lines.append(json.dumps([turn.role, *parts], ensure_ascii=False))
    return LEAD + "\n".join(lines)


def turns(cell: str) -> list[Turn]:
    """What `written` wrote; a text of anybody else's is one turn of the user's."""
    try:
        lines = [json.loads(line) for line in cell.removeprefix(LEAD).split("\n")]
        return [
            Turn(str(role), [(str(one[0]), one[1] if len(one) > 1 else None) for one in parts])
            for role, *parts in lines
        ]
    except (ValueError, TypeError, LookupError):
        return [Turn(ROLES[1], [(cell, None)])]


def is_written(cell: Any) -> bool:
    """Whether `written` wrote a cell."""
    return isinstance(cell, str) and cell.startswith(LEAD)


def shortened(cell: str, share: float) -> str | None:
    """A conversation without its oldest words; None: no words are left but the last turn's media.

    Args:
        share: of it that has to go, about.
    """
    said = turns(cell)
    total = sum(len(text) for turn in said for text, _ in turn.parts)
    if not total:
        return None
    gone = 1 + int(total * min(1.0, share))
    kept = []
    for turn in said:
        parts: list[tuple[str, str | None]] = []
        for text, column in turn.parts:
            cut = min(gone, len(text))
            gone -= cut
            parts.append((text[cut:], column))
        kept.append(Turn(turn.role, parts))
    return written(kept)


def is_medium(column: str) -> bool:
    """Whether a column is called as media of conversations are."""
    name, _, number = column.partition(" ")
    return name in _media() and (not number or number.isdecimal())


def _given(cell: Any) -> bool:
    """Whether a cell is meant as messages, however broken."""
    return isinstance(cell, list | tuple) and (not cell or isinstance(cell[0], Mapping))


def _spelled(cell: Any) -> Any:
    """A cell, or the messages that it spells in JSON, as a CSV file has them."""
    found = json_list(cell) if isinstance(cell, str) else None
    return found if found is not None and is_chat(found) else cell


def _media() -> list[str]:
    return [name for name, kind in kinds().items() if kind.media]


def _answers(
    cell: Sequence[Any], others: Mapping[str, Any], number: int, where: str
) -> list[dict[str, Any]]:
    said, media = _read(cell, where)
    found = []
    ends = [i for i, turn in enumerate(said) if turn.role == ASSISTANT]
    if ANSWER in others:
        ends = []
    for end in ends:
        if not end:
            continue  # what nobody asked for
        own = said[:end]
        seen = {column for turn in own for _, column in turn.parts if column}
        answer = "".join(text for text, _ in said[end].parts)
        mine = {name: value for name, value in media.items() if name in seen}
        line = {CONVERSATION: f"c{number}", MESSAGES: written(own), **others, **mine}
        found.append({**line, ANSWER: answer or None})
    if ends != [] and ends[-1] == len(said) - 1:
        return found
    whole = {CONVERSATION: f"c{number}", MESSAGES: written(said), **others, **media}
    return [*found, whole if ANSWER in others else {**whole, ANSWER: None}]


def _read(messages: Sequence[Any], where: str) -> tuple[list[Turn], dict[str, Any]]:
    """Turns, and column -> medium."""
    found: list[Turn] = []
    media: dict[str, Any] = {}
    for i, message in enumerate(messages):
        place = f"{where}, message {i}"
        if not isinstance(message, Mapping) or not isinstance(message.get(ROLE), str):
            raise UserError(
                f"{place}: this is no message",
                expected='{"role": "user", "content": "..."}',
                got=repr(message)[:200],
            )
        role = ALIASES.get(message[ROLE], message[ROLE])
        if role not in ROLES:
            raise UserError(
                f"{place}: nobody has the role '{role:.40}'",
                expected=", ".join(ROLES),
                do="leave such messages out, or tell what they say in one of these roles",
            )
        parts = _parts(message.get(CONTENT), place, media)
        if role == ASSISTANT and any(column for _, column in parts):
            raise UserError(
                f"{place}: the assistant's turn holds a medium",
                expected="texts, which are what is learned",
                do="move the medium into the user's turn before",
            )
        found.append(Turn(role, parts))
    return found, media


def _parts(content: Any, place: str, media: dict[str, Any]) -> list[tuple[str, str | None]]:
    if isinstance(content, str):
        return [(content, None)]
    if not isinstance(content, Sequence) or isinstance(content, bytes) or not content:
        raise UserError(
            f"{place}: there is no content",
            expected="a text, or a list of parts",
            got=repr(content)[:200],
            do='leave the message out, or write "" where nothing was said',
        )
    found: list[tuple[str, str | None]] = []
    for part in content:
        if isinstance(part, str):
            found.append((part, None))
            continue
        sort = part.get(TYPE) if isinstance(part, Mapping) else None
        if sort == worded() and isinstance(part.get(sort), str):
            found.append((part[sort], None))
            continue
        name, value = _medium(part, sort)
        if name is None:
            raise UserError(
                f"{place}: a part of its content is of an unknown type",
                expected=f'{{"type": "..."}} of {", ".join([worded(), *_media()])}',
                got=repr(part)[:200],
            )
        if value is None:
            raise UserError(
                f"{place}: a part of type '{sort}' says no file",
                expected=f'{{"type": "{sort}", "path": "FILE"}}',
                got=repr(part)[:200],
                do="leave the part out where there is none",
            )
        count = sum(one.partition(" ")[0] == name for one in media) + 1
        if count > MOST:
            raise UserError(f"{place}: there are more than {MOST} media in one conversation")
        column = name if count == 1 else f"{name} {count}"
        media[column] = value
        found.append(("", column))
    return found


def _medium(part: Any, sort: Any) -> tuple[str | None, Any]:
    """The kind of a part that is a medium, and what it names."""
    if sort == _URL:
        url = part.get(_URL)
        return _URL.partition("_")[0], url.get("url") if isinstance(url, Mapping) else url
    if sort == _SOUND:
        given = part.get(_SOUND)
        data = given.get("data") if isinstance(given, Mapping) else None
        name = _SOUND.partition("_")[2]
        sound = given.get("format", "wav") if isinstance(given, Mapping) else ""
        return name, None if data is None else f"data:{name}/{sound};base64,{data}"
    if sort not in _media():
        return None, None
    keys = (sort, "path", "url", "data", "bytes")
    return sort, next((part[key] for key in keys if part.get(key) is not None), None)
