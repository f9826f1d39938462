"""A run that writes answers, asked as strategies ask."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from polymodal.base import lookup
from polymodal.base.devices import device_of
from polymodal.base.errors import UserError
from polymodal.contract import kind
from polymodal.nn.decoder import Prompt
from polymodal.nn.decoding import write
from polymodal.nn.manner import Manner, Rule, Text
from polymodal.nn.tokens import Tokens
from polymodal.prepared.cache import usable_folder
from polymodal.prepared.collate import Collator
from polymodal.prepared.targets import cells
from polymodal.reason.model import Asked, Model, Thought, lacks, steps
from polymodal.run.run import Run
from polymodal.run.saved import JSON
from polymodal.run.writing import writing_task
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table, read
from polymodal.table.schema import FUSED
from polymodal.tasks._written import Writer
from polymodal.tasks.generate import Generate
from polymodal.tasks.reason import ANSWER, REASON, Reason, Reasoner, pair, parted

# Of so many rows one at least is to have a sub-question, where reasons have any.
SOME = 12


class Local(Model):
    """A run's model of texts: of those that write the target the one of the largest share.

    Args:
        run: has a task `reason`, or `generate`, which answers without reasons alone.
        source: rows with the target, as `read` takes it. Rationales in it are not read.
        target: the task; None: the only one that writes.
        question: the input column of the question; None: the only one of texts.
        second: the run that answers from reasons, see `Second`.

    Raises:
        UserError: the run writes no text, or lacks a column.
    """

    def __init__(
        self,
        run: Run,
        source: Any,
        *,
        target: str | None = None,
        question: str | None = None,
        second: Run | None = None,
    ) -> None:
        self.pipeline, self.name = run.pipeline, f"The run {run.folder or ''}".strip()
        task = writing_task(self.pipeline, target)
        if not isinstance(task, Generate):
            raise UserError(
                f"'{task.name}' is written without a decoder, and no reasons before it",
                expected="a target that a decoder writes",
                do="fit it with `name: generate`",
            )
        self.task, self.table = task, run.table(source, require_targets=True)
        rationale = task.rationale if isinstance(task, Reason) else ""
        self.truths = [pair(cell, task.name, rationale)[0] for cell in cells(task, self.table)]
        self.question = _question(run, question)
        own = self.pipeline.weights[FUSED][task.name]
        self.member = max(own, key=lambda name: own[name])
        self.prompts = (
            [""] * len(self.table)
            if self.question is None
            else [str(cell or "") for cell in self.table.cells(self.question)]
        )
        self.tokens = 0
        self.key = _key(self.table, run, *(() if second is None else (second,)))
        if second is not None:
            self.second = Second(second, source, task.name, rationale, self)

    @property
    def media(self) -> list[str]:
        """The input columns that are media."""
        return [c.name for c in self.pipeline.schema.inputs if kind.of(c.kind).media]

    # -- what strategies ask -------------------------------------------------------------------

    def answers(self, asked: Sequence[Asked]) -> list[Thought]:
        written = self._written(asked, self._answering, Manner(longest=self._longest))
        return [
            self._thought(ask.reason, text[0]) for ask, text in zip(asked, written, strict=True)
        ]

    def chains(
        self, asked: Sequence[Asked], samples: int = 1, temperature: float = 0.0, seed: int = 0
    ) -> list[list[Thought]]:
        self._refuse_plain()
        manner = Manner(longest=self._longest, temperature=temperature, samples=samples, seed=seed)
        return [
            [self._chained(ask.reason, text) for text in own]
            for ask, own in zip(asked, self._written(asked, _reasoning, manner), strict=True)
        ]

    def questions(self, asked: Sequence[Asked]) -> list[str]:
        """The next sentence of the reasons up to its question mark.

        Raises:
            UserError: there is no column of questions, or of some rows nobody's reasons begin with
                one.
        """
        self._refuse_plain()
        if self.question is None:
            raise lacks(
                self,
                "reads no question, so that none can be put to it in parts",
                "name the column of the question (`question`), or leave `decompose` out",
            )
        rule = Until(self.task.tokens, ("?", ANSWER))
        manner = Manner(longest=self._longest)
        texts = [
            self.task.tokens.text(own[0].ids).strip()
            for own in self._written(asked, _reasoning, manner, rule)
        ]
        found = [text if text.endswith("?") and ANSWER not in text else "" for text in texts]
        if len(asked) >= SOME and not any(found) and not any(ask.reason for ask in asked):
            raise lacks(
                self,
                "writes reasons without sub-questions, such as 'Which way did it move? left.'",
                "fit it on rationales that have them, or leave `decompose` out",
            )
        return found

    def supports(self, asked: Sequence[Asked], reasons: Sequence[str]) -> list[list[float]]:
        """Of each step how much likelier a piece of it is with the media than without, in nats."""
        self._refuse_plain()
        seen = self._weighed(asked, reasons)
        blind = self._weighed([replace(ask, blank=True) for ask in asked], reasons)
        return [
            [(a - b) / count for (a, count), (b, _) in zip(one, other, strict=True)]
            for one, other in zip(seen, blind, strict=True)
        ]

    # -- how they are computed -----------------------------------------------------------------

    @property
    def _longest(self) -> int:
        return int(self.task.state["longest"])

    def _refuse_plain(self) -> None:
        if not isinstance(self.task, Reason):
            raise lacks(
                self,
                f"has learned no reasons: the task of '{self.task.name}' is "
                f"'{lookup.name_of(type(self.task))}'",
                "fit it with the task `reason` and a column of rationales; `direct` needs none",
            )

    def _answering(self, ask: Asked) -> str:
        if not isinstance(self.task, Reason):
            return ""
        return f"{REASON} {ask.reason} {ANSWER}" if ask.reason else ANSWER

    def _thought(self, reason: str, text: Text) -> Thought:
        return Thought(reason, self.task.tokens.text(text.ids).strip(), sum(text.logs))

    def _chained(self, before: str, text: Text) -> Thought:
        reason, answer = parted(self.task.tokens.text(text.ids))
        return Thought(f"{before} {reason}".strip(), answer, sum(text.logs))

    def _written(
        self,
        asked: Sequence[Asked],
        begin: Callable[[Asked], str],
        manner: Manner,
        rule: Rule | None = None,
    ) -> list[list[Text]]:
        """Texts that go on from how `begin` has them begin."""
        found: list[list[Text]] = [[] for _ in asked]
        for places, writer, prompt in self._prompts(asked, begin):
            end = self.task.tokens.end
            for place, own in zip(
                places, write(writer.decoder, prompt, end, manner, rule), strict=True
            ):
                found[place] = own
                self.tokens = (self.tokens or 0) + sum(len(text.logs) for text in own)
        return found

    def _weighed(
        self, asked: Sequence[Asked], reasons: Sequence[str]
    ) -> list[list[tuple[float, int]]]:
        """Log-probability and pieces of each step, after those before it."""
        found: list[list[tuple[float, int]]] = [[] for _ in asked]
        for places, writer, prompt in self._prompts(asked, lambda ask: REASON):
            assert isinstance(writer, Reasoner)
            ends, texts = [], []
            for place in places:
                own = steps(reasons[place])
                # A step's pieces are what it adds to the pieces of those before it.
                whole = [writer.begin(" ".join(own[: i + 1])) for i in range(len(own))]
                ends.append([0, *(len(one) for one in whole)])
                texts.append(torch.from_numpy(whole[-1]) if whole else torch.zeros(0).long())
            ids = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True).to(prompt.mask.device)
            if not ids.shape[1]:
                continue
            lengths = torch.tensor([len(one) for one in texts], device=ids.device)
            mask = torch.arange(ids.shape[1], device=ids.device) < lengths.unsqueeze(1)
            with torch.no_grad():
                sums = writer.decoder.taught(prompt, ids, mask).double().cumsum(1).cpu()
            sums = torch.cat([torch.zeros(len(sums), 1), sums], 1)
            for place, row, own_ends in zip(places, sums, ends, strict=True):
                spans = pairwise(own_ends)
                found[place] = [(float(row[b] - row[a]), max(1, b - a)) for a, b in spans]
        return found

    def _prompts(
        self, asked: Sequence[Asked], begin: Callable[[Asked], str]
    ) -> Iterator[tuple[list[int], Writer, Prompt]]:
        """Places in `asked`, what writes, and what it goes on from; batch by batch.

        The member that writes is asked whatever a row has: blanked media are absent to it.
        """
        table = self._asked(asked)
        prepared = self.pipeline.encode(table, Ledger(), [self.member], usable_folder())
        module: Any = self.pipeline.members[self.member].module
        head = module.heads[module.targets.index(self.task.name)]
        collator = Collator(self.pipeline.inputs(self.member, prepared), {})
        for positions, batch in collator.sequential(np.arange(len(asked)), module.batch_size):
            with torch.no_grad():
                inputs = batch.to(device_of(module)).inputs
                prompt = head.prompt(module.fuse(module.encode(inputs), tasks=()).fused)
                if isinstance(head, Reasoner):
                    prompt = head.after(prompt, [begin(asked[i]) for i in positions])
            yield positions.tolist(), head, prompt

    def _asked(self, asked: Sequence[Asked]) -> Table:
        """The rows as they are asked: questions exchanged, media taken away."""
        table = self.table.take([ask.row for ask in asked])
        data = table.data
        if self.question is not None and any(ask.question is not None for ask in asked):
            place = data.schema.get_field_index(self.question)
            own = table.cells(self.question)
            new = [c if a.question is None else a.question for c, a in zip(own, asked, strict=True)]
            data = data.set_column(place, self.question, pa.array(new, pa.string()))
        blank = pa.array([ask.blank for ask in asked])
        for name in self.media if any(ask.blank for ask in asked) else ():
            place = data.schema.get_field_index(name)
            column = data.column(name)
            gone = pa.nulls(len(column), column.type)
            if not all(ask.blank for ask in asked):
                gone = pc.if_else(blank, gone, column)
            data = data.set_column(place, name, gone)
        return replace(table, data=data)


class Second(Model):
    """A run that answers from a rationale, an input column of it; of any task.

    Args:
        run: was fitted on rationales that `rationales` wrote.
        source: the rows.
        target: what it answers.
        rationale: the input column.
        first: the model whose rows and count of tokens are its own as well.

    Raises:
        UserError: it reads no such column, or does not predict the target.
    """

    def __init__(self, run: Run, source: Any, target: str, rationale: str, first: Model) -> None:
        self.pipeline, self.name = run.pipeline, f"The run {run.folder or ''}".strip()
        inputs = [column.name for column in run.schema.inputs]
        for what, name, known in (
            ("does not read the rationale", rationale, inputs),
            ("does not predict", target, list(run.tasks)),
        ):
            if name not in known:
                raise lookup.unknown(f"The second run {what} '{name}'", name, known)
        self.target, self.rationale, self.first = target, rationale, first
        table = run.table(_with(run, source, rationale))
        self.table, self.truths, self.prompts = table, first.truths, first.prompts
        self.key = first.key

    def answers(self, asked: Sequence[Asked]) -> list[Thought]:
        table = self.table.take([ask.row for ask in asked])
        place = table.data.schema.get_field_index(self.rationale)
        given = pa.array([ask.reason or None for ask in asked], pa.string())
        own = replace(table, data=table.data.set_column(place, self.rationale, given))
        gone = [c.name for c in self.pipeline.schema.inputs if kind.of(c.kind).media]
        blank = bool(asked) and all(ask.blank for ask in asked)

        def score(members: Sequence[str], prepared: Any, rows: Any) -> Any:
            absent = frozenset(gone if blank else ())
            return {n: self.pipeline.score(n, prepared, rows, [absent])[0] for n in members}

        ignored = frozenset(gone if blank else ())
        found = self.pipeline.answered(own, Ledger(), ignored, score, usable_folder())
        answers = [str(answer) for answer in found[self.target]]
        logs = found.get(f"{self.target}.log_likelihood", [float("nan")] * len(answers))
        task = self.pipeline.tasks[self.target]
        if isinstance(task, Generate):
            written = sum(len(task.tokens.numbers(answer)) for answer in answers)
            self.first.tokens = (self.first.tokens or 0) + written
        return [Thought("", answer, log) for answer, log in zip(answers, logs, strict=True)]

    def chains(self, asked: Any, samples: int = 1, temperature: float = 0, seed: int = 0) -> Any:
        raise lacks(self, "answers from reasons and writes none", "ask the first run")

    def questions(self, asked: Sequence[Asked]) -> list[str]:
        raise lacks(self, "answers from reasons and asks nothing", "ask the first run")

    def supports(self, asked: Sequence[Asked], reasons: Sequence[str]) -> list[list[float]]:
        raise lacks(self, "answers from reasons and scores none", "ask the first run")


class Until(Rule):
    """Texts end as soon as they hold one of some parts.

    Args:
        tokens: of the texts.
        parts: what ends them.
    """

    def __init__(self, tokens: Tokens, parts: Sequence[str]) -> None:
        self.tokens, self.parts = tokens, tuple(parts)
        self.free = torch.ones(tokens.count, dtype=torch.bool)
        self.ended = torch.zeros(tokens.count, dtype=torch.bool)
        self.ended[tokens.end] = True

    def start(self) -> tuple[int, ...]:
        return ()

    def allowed(self, state: tuple[int, ...]) -> Tensor:
        text = self.tokens.text(state)
        return self.ended if any(part in text for part in self.parts) else self.free

    def then(self, state: tuple[int, ...], piece: int) -> tuple[int, ...]:
        return (*state, piece)


def _reasoning(ask: Asked) -> str:
    return f"{REASON} {ask.reason}".strip()


def _key(table: Table, *runs: Run) -> str:
    """Of runs and of a table's cells; not of the files that these name."""
    digest = hashlib.blake2b(digest_size=16)
    with pa.ipc.new_stream(digesting := pa.BufferOutputStream(), table.data.schema) as stream:
        stream.write_table(table.data)
    digest.update(digesting.getvalue())
    for run in runs:
        digest.update(
            repr(id(run)).encode() if run.folder is None else (run.folder / JSON).read_bytes()
        )
    return digest.hexdigest()


def _question(run: Run, asked: str | None) -> str | None:
    """The column of the question: the one that is named, or the only one whose cells are words."""
    worded = [c.name for c in run.schema.inputs if kind.of(c.kind).words]
    if asked is None:
        return worded[0] if len(worded) == 1 else None
    if asked not in worded:
        raise lookup.unknown(f"The run reads no question in '{asked}'", asked, worded)
    return asked


def _with(run: Run, source: Any, rationale: str) -> Table:
    """The rows with an empty column for rationales."""
    table = read(source, cache=usable_folder(), encoding=run.recipe.data.encoding)
    column = pa.array([""] * len(table), pa.string())
    place = table.data.schema.get_field_index(rationale)
    if place < 0:
        return replace(table, data=table.data.append_column(rationale, column))
    return replace(table, data=table.data.set_column(place, rationale, column))
