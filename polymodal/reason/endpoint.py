"""A model behind a server that speaks OpenAI's API, asked as strategies ask."""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.base.spelling import canonical, is_missing
from polymodal.contract import kind
from polymodal.prepared.cache import usable_folder
from polymodal.reason.http import Server
from polymodal.reason.model import Asked, Model, Thought, steps
from polymodal.table import references
from polymodal.table.infer import infer
from polymodal.table.media import Media
from polymodal.table.read import read
from polymodal.table.schema import Schema
from polymodal.tasks.reason import ANSWER

Part = dict[str, Any]
Message = dict[str, Any]

# What a table calls reasons that people gave; a model that reads them has nothing to reason.
RATIONALE = "rationale"

ALONE = "Answer with the answer alone, in as few words as possible."
CHAIN = (
    "Think step by step: write each step as one short sentence on a line of its own. Then write "
    f"a last line that begins with '{ANSWER}' and gives the answer alone, in as few words as "
    "possible."
)
KNOWN = "Known so far:\n{}"
NEXT = (
    "What has to be found out next to answer this? Write one short question that can be answered "
    "by itself. If nothing more is needed, write DONE."
)
CHECK = "Look again. Is this statement true of what is shown?\n{}\nAnswer yes or no."
DONE = "DONE"
# What stands before an answer, as models write it: "Answer: 6", "**Answer:** 6", "Final answer: 6".
MARK = re.compile(r"\**\b(?:final )?answer\**:", re.IGNORECASE)
# What stands around an answer.
AROUND = " *`\"'"


class Reply(NamedTuple):
    """What a model wrote, and why it ended there."""

    text: str
    finish: str


class Endpoint(Model):
    """A model that is asked over HTTP (`POST /chat/completions`).

    A row is sent as one message: its texts, numbers and categories a line each, pictures and sounds
    beside them. Nothing is known of likelihoods: chains that tie are taken as they came.

    Args:
        server: where the model is.
        name: the model's name there.
        source: rows with the target, as `read` takes it.
        target: the column of the right answers.
        question: the column that is asked last; None: all columns alike.
        drop: columns that are not sent.
        second: the model that answers from reasons; None: the same.
        parallel: requests at once.
        longest: tokens of one answer.

    Raises:
        UserError: a column does not exist, is of a kind that no such server takes, or holds
            rationales.
    """

    def __init__(
        self,
        server: Server,
        name: str,
        source: Any,
        *,
        target: str,
        question: str | None = None,
        drop: Sequence[str] = (),
        second: str | None = None,
        parallel: int = 4,
        longest: int = 512,
    ) -> None:
        self.server, self.model, self.parallel, self.longest = server, name, parallel, longest
        self.name = f"{name} at {server.url}"
        self.table = read(source, cache=usable_folder())
        if RATIONALE in self.table.names and RATIONALE not in (*drop, target):
            raise UserError(
                f"{self.table.source} has the column '{RATIONALE}', which the model would be sent",
                expected="rows without the reasons that people gave for the answers",
                do=f"`drop {RATIONALE}`",
            )
        if question is not None and question not in self.table.names:
            names = self.table.names
            raise lookup.unknown(f"There is no question in '{question}'", question, names)
        kinds = {} if question is None else {question: kind.worded()}
        reads = {target: (kind.worded(),)}
        self.schema = infer(self.table, [target], kinds, drop, reads=reads)
        self.question = question
        _refuse_kinds(self.schema)
        self.truths = [references.texts([cell]) or [] for cell in self.table.cells(target)]
        self.prompts = [self._lines(row, None) for row in range(len(self.table))]
        self.chunk = 8 * parallel
        self.second = self if second is None else _other(self, second)
        told = [server.url, name, second or "", longest, self.prompts]
        self.key = hashlib.blake2b(json.dumps(told).encode(), digest_size=16).hexdigest()

    @property
    def retries(self) -> int:  # type: ignore[override]
        return self.server.retries

    @property
    def tokens(self) -> int | None:  # type: ignore[override]
        return self.server.tokens

    # -- what strategies ask -------------------------------------------------------------------

    def answers(self, asked: Sequence[Asked]) -> list[Thought]:
        replies = self._each(asked, ALONE)
        return [
            Thought(ask.reason, short(own.text), note=_note(own, short(own.text)))
            for ask, own in zip(asked, replies, strict=True)
        ]

    def chains(
        self, asked: Sequence[Asked], samples: int = 1, temperature: float = 0.0, seed: int = 0
    ) -> list[list[Thought]]:
        often = [ask for ask in asked for _ in range(samples)]
        seeds = [seed + i for _ in asked for i in range(samples)]
        replies = self._each(often, CHAIN, temperature, seeds)
        found = [_chained(ask, own) for ask, own in zip(often, replies, strict=True)]
        return [found[i : i + samples] for i in range(0, len(found), samples)]

    def questions(self, asked: Sequence[Asked]) -> list[str]:
        found = [" ".join(own.text.split()) for own in self._each(asked, NEXT)]
        return ["" if text.strip(".").upper() == DONE else text for text in found]

    def supports(self, asked: Sequence[Asked], reasons: Sequence[str]) -> list[list[float]]:
        """1 of a step that the model says is true, 0 of any other."""
        each = [(ask, step) for ask, own in zip(asked, reasons, strict=True) for step in steps(own)]
        said = iter(self._each([ask for ask, _ in each], [CHECK.format(s) for _, s in each]))
        return [
            [float(next(said).text.lower().startswith("yes")) for _ in steps(own)]
            for own in reasons
        ]

    # -- how they are asked --------------------------------------------------------------------

    def _each(
        self,
        asked: Sequence[Asked],
        want: str | Sequence[str],
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[Reply]:
        """What the model writes to each, in order, several asked at once."""
        wants = [want] * len(asked) if isinstance(want, str) else want
        bodies = [
            {
                "model": self.model,
                "messages": [{"role": "user", "content": self._content(ask, own)}],
                "temperature": temperature,
                "max_tokens": self.longest,
                "seed": 0 if seeds is None else seeds[i],
            }
            for i, (ask, own) in enumerate(zip(asked, wants, strict=True))
        ]
        with ThreadPoolExecutor(self.parallel) as pool:
            try:
                found = list(pool.map(partial(self.server.post, "/chat/completions"), bodies))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        for one in found:
            usage = one.get("usage") if isinstance(one, dict) else None
            spent = usage.get("completion_tokens") if isinstance(usage, dict) else None
            known = self.server.tokens
            told = isinstance(spent, int) and known is not None
            self.server.tokens = (known or 0) + (spent or 0) if told else None
        return [self._said(one) for one in found]

    def _said(self, found: Any) -> Reply:
        try:
            choice = found["choices"][0]
            message = choice["message"]
            # Nothing is written by a model that refuses, calls a tool or has thought for too long.
            text = message.get("content") or ""
        except (LookupError, TypeError, AttributeError):
            text = None
        if not isinstance(text, str):
            raise UserError(
                f"The server at {self.server.url} answers otherwise than chat completions do",
                expected='{"choices": [{"message": {"content": "..."}}]}',
                got=json.dumps(found)[:300],
                do="check the address, which ends in /v1",
            )
        finish = "refusal" if message.get("refusal") else choice.get("finish_reason")
        return Reply(text.strip(), str(finish or "not told"))

    def _content(self, ask: Asked, want: str) -> list[Part]:
        media = [] if ask.blank else list(self._media(ask.row))
        known = KNOWN.format(ask.reason) if ask.reason else ""
        text = "\n\n".join(filter(None, [self._lines(ask.row, ask.question), known, want]))
        return [*media, {"type": "text", "text": text}]

    def _lines(self, row: int, question: str | None) -> str:
        """A row's cells that are no media, a line each; the question last."""
        lines = []
        for column in self.schema.inputs:
            cell = self.table.data.column(column.name)[row].as_py()
            if kind.of(column.kind).media or column.name == self.question or is_missing(cell):
                continue
            lines.append(f"{column.name}: {_worded(cell)}")
        if self.question is not None:
            asked = question or self.table.data.column(self.question)[row].as_py()
            lines.append(f"Question: {asked}")
        elif question is not None:
            lines.append(f"Question: {question}")
        return "\n".join(lines)

    def _media(self, row: int) -> Iterator[Part]:
        for column in self.schema.inputs:
            reader = kind.of(column.kind)
            if reader.media:
                cell = self.table.data.column(column.name)[row].as_py()
                medium = self.table.medium(cell, row, column.name)
                if medium is not None:
                    yield SENT[_sort(reader)](medium)


def short(text: str) -> str:
    """The answer in what a model wrote: what the last mark stands before, else the first line.

    It is without what models put around it: further lines, quotes, a full stop.
    """
    *_, last = MARK.split(text)
    first = next((line for line in last.splitlines() if line.strip(AROUND)), "")
    return first.strip(AROUND).rstrip(".").strip(AROUND)


def _chained(ask: Asked, reply: Reply) -> Thought:
    marks = list(MARK.finditer(reply.text))
    reason = reply.text[: marks[-1].start()] if marks else reply.text
    answer = short(reply.text) if marks else ""
    return Thought(f"{ask.reason}\n{reason.strip()}".strip(), answer, note=_note(reply, answer))


def _note(reply: Reply, answer: str) -> str:
    """What is to be told of an answer."""
    if not reply.text:
        return f"nothing was written (finish reason: {reply.finish})"
    if not answer:
        return f"no line begins with '{ANSWER}' (finish reason: {reply.finish})"
    prose = len(steps(reply.text)) > 1 or reply.finish == "length"
    if prose and not MARK.search(reply.text):
        return f"prose without a line '{ANSWER}', whose first line was taken"
    return ""


def _other(model: Endpoint, name: str) -> Model:
    """The same rows and server, another model."""
    found = copy.copy(model)
    found.model = name
    return found


def _picture(medium: Media) -> Part:
    """A picture in a form that servers take."""
    from PIL import Image

    content = medium.bytes()
    try:
        with Image.open(io.BytesIO(content)) as opened:
            mime = Image.MIME.get(opened.format or "", "")
            if mime not in ("image/png", "image/jpeg", "image/webp", "image/gif"):
                stream = io.BytesIO()
                opened.convert("RGB").save(stream, "PNG")
                content, mime = stream.getvalue(), "image/png"
    except (OSError, ValueError) as error:
        raise UserError(f"{medium.label} is no picture that can be read ({error})") from error
    return {"type": "image_url", "image_url": {"url": f"data:{mime};base64,{_base64(content)}"}}


def _sound(medium: Media) -> Part:
    """A sound in a form that servers take."""
    import soundfile

    content = medium.bytes()
    if content[:4] != b"RIFF":
        try:
            samples, rate = soundfile.read(io.BytesIO(content))
        except (RuntimeError, OSError) as error:
            raise UserError(f"{medium.label} is no sound that can be read ({error})") from error
        stream = io.BytesIO()
        soundfile.write(stream, samples, rate, format="WAV")
        content = stream.getvalue()
    return {"type": "input_audio", "input_audio": {"data": _base64(content), "format": "wav"}}


# By the first part of what a kind's files are called in MIME.
SENT: dict[str, Callable[[Media], Part]] = {"image/": _picture, "audio/": _sound}


def _sort(reader: kind.Kind) -> str:
    return next((mime for mime in SENT if reader.accepts.startswith(mime)), "")


def _refuse_kinds(schema: Schema) -> None:
    for column in schema.inputs:
        reader = kind.of(column.kind)
        if reader.media and not _sort(reader):
            raise UserError(
                f"The column '{column.name}' is {column.kind}, which no such server takes",
                expected="texts, numbers, categories, pictures and sounds",
                do=f"`drop {column.name}`",
            )


def _worded(cell: Any) -> str:
    return ", ".join(map(str, cell)) if isinstance(cell, list) else canonical(cell)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
