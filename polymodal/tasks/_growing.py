"""Texts that are being written: what of them can be told already, and where they end."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from polymodal.contract.writing import Part, Said
from polymodal.nn.decoder import Prompt
from polymodal.nn.manner import Manner, Text
from polymodal.nn.tokens import Tokens
from polymodal.tasks._written import Writer

# What stands for bytes that are no letter yet.
HALF = "\N{REPLACEMENT CHARACTER}"


def growing(
    writer: Writer,
    prompt: Prompt,
    manner: Manner,
    seeds: Sequence[int] = (),
    left: Collection[int] = (),
) -> Iterator[list[Part]]:
    """All rows' texts, piece by piece: as `Writing.parts` has it. No beams, no choices."""
    count, read, over = manner.samples, prompt.places(), set[int]()
    # Beyond the decoder's context nothing can be written.
    room = max(1, writer.decoder.context - prompt.mask.shape[1])
    manner = replace(manner, longest=min(manner.longest, room))
    every = [Growing(writer.tokens, manner.stop) for _ in range(len(read) * count)]

    def part(i: int, text: str) -> Part:
        own, whole = every[i], None
        if i in over:
            log, places = sum(own.logs), read[i // count]
            whole = Said(own.text, log, own.finish, pieces=len(own.ids), read=places)
        return Part(i // count, i % count, text, whole)

    for numbers, ids, logs in writer.pieces(prompt, manner, seeds, over):
        step = []
        for i, piece, log in zip(numbers, ids, logs, strict=True):
            text = every[i].add(piece, log)
            if every[i].finish == "stop":
                over.add(i)
            step.append(part(i, text))
        yield step
        over |= {i for i in numbers if i // count in left}
    rest = [i for i in range(len(every)) if i not in over]
    over |= set(rest)
    yield [part(i, every[i].rest()) for i in rest]


def finished(tokens: Tokens, text: Text, read: int = 0) -> Said:
    """A text that has been written.

    Args:
        read: places of what stood before it.
    """
    finish = "stop" if text.ended else "length"
    log, pieces = sum(text.logs), len(text.ids)
    return Said(tokens.text(text.ids), log, finish, pieces=pieces, read=read)


def known(tokens: Tokens, text: Text, stop: Sequence[str]) -> Said:
    """A text that nothing stood before, up to where one of some texts begins in it."""
    own = Growing(tokens, stop)
    for piece, log in zip([*text.ids, tokens.end][: len(text.logs)], text.logs, strict=True):
        own.add(piece, log)
        if own.finish == "stop":
            break
    else:
        own.rest()
    return Said(own.text, sum(own.logs), own.finish, pieces=len(own.ids))


def weighed(tokens: Tokens, texts: Sequence[Text], read: int) -> Said:
    """The first of all choices, with the log-likelihood of each, and the same a piece."""
    sums = {tokens.text(text.ids): (sum(text.logs), len(text.logs)) for text in texts}
    each = {name: (log, log / count) for name, (log, count) in sums.items()}
    return replace(finished(tokens, texts[0], read), choices=each)


def together(steps: Iterable[list[Part]]) -> list[list[Said]]:
    """Each row's texts, whole."""
    done = [(part.row, part.sample, part.said) for step in steps for part in step if part.said]
    done.sort(key=lambda one: one[:2])
    return [[one for _, _, one in own] for _, own in groupby(done, lambda one: one[0])]


class Growing:
    """One text, piece by piece.

    Args:
        tokens: of its pieces.
        stop: texts before which it ends.

    Attributes:
        ids: its pieces so far, without the end.
        logs: each one's log-probability, and that of the end.
        text: what has been told of it.
        finish: "stop" once it has ended, by its end or before one of `stop`; "length" until then.
    """

    def __init__(self, tokens: Tokens, stop: Sequence[str] = ()) -> None:
        self._tokens, self._stop = tokens, stop
        self.ids: list[int] = []
        self.logs: list[float] = []
        self.text, self.finish = "", "length"

    def add(self, piece: int, log: float) -> str:
        """What can be told after one more piece: no half letter, nothing that may become a stop."""
        self.logs.append(log)
        if piece == self._tokens.end:
            self.finish = "stop"
            return self.rest()
        self.ids.append(piece)
        text = self._tokens.text(self.ids)
        places = [text.find(stop) for stop in self._stop if stop in text]
        if places:
            self.finish = "stop"
            return self._tell(text[: min(places)])
        if text.endswith(HALF):
            return ""
        held = max((_begun(text, stop) for stop in self._stop), default=0)
        return self._tell(text[: len(text) - held])

    def rest(self) -> str:
        """All that has not been told yet, where nothing more comes."""
        return self._tell(self._tokens.text(self.ids))

    def _tell(self, text: str) -> str:
        more = text[len(self.text) :]
        self.text += more
        return more


def _begun(text: str, stop: str) -> int:
    """How many letters at the end of a text a stop begins with."""
    most = min(len(text), len(stop) - 1)
    return next((n for n in range(most, 0, -1) if text.endswith(stop[:n])), 0)
