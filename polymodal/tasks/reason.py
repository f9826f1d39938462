"""An answer is written after the reasons for it, by a decoder that has read the other columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from polymodal.base.errors import UserError
from polymodal.base.words import words
from polymodal.contract.recipe import Spec
from polymodal.contract.task import Answers, Array
from polymodal.nn.decoder import Prompt
from polymodal.nn.manner import Manner, Text
from polymodal.nn.tokens import Tokens
from polymodal.table import references
from polymodal.tasks._usual import KEPT
from polymodal.tasks._written import Writer, Written
from polymodal.tasks.generate import Generate

# What stands before a rationale, and before an answer. Every text begins with one of them.
REASON, ANSWER = "Reason:", "Answer:"


class Reasoned(Written):
    """A row's texts with and without reasons; see `Reason`. They are read back as answers.

    Args:
        tokens: the tokenizer.
        name, rationale: keys of a cell.
    """

    def __init__(self, tokens: Tokens, name: str, rationale: str) -> None:
        super().__init__(tokens)
        self.name, self.rationale = name, rationale

    def encode(self, cell: Any) -> Array:
        return super().encode(taught(pair(cell, self.name, self.rationale)))

    def texts(self, array: Array) -> list[str]:
        whole = super().texts(array)
        return [parted(text)[1] for text in whole if text.startswith(ANSWER)]


class Reasoner(Writer):
    """A Writer whose texts begin as it is told."""

    def write(self, prompt: Prompt, manner: Manner) -> list[list[Text]]:
        return super().write(self._begun(prompt, manner), manner)

    def pieces(
        self,
        prompt: Prompt,
        manner: Manner,
        seeds: Sequence[int] = (),
        left: Collection[int] = (),
    ) -> Iterator[tuple[list[int], list[int], list[float]]]:
        return super().pieces(self._begun(prompt, manner), manner, seeds, left)

    def _begun(self, prompt: Prompt, manner: Manner) -> Prompt:
        return self.after(prompt, [ANSWER if ruled(manner) else REASON] * len(prompt.mask))

    def after(self, prompt: Prompt, begins: Sequence[str]) -> Prompt:
        """What the rows' texts go on from, once they have begun; one for each row, none empty."""
        numbers = [torch.from_numpy(self.begin(text)) for text in begins]
        longest = max((len(one) for one in numbers), default=0)
        ids = torch.zeros(len(numbers), longest, dtype=torch.long)
        mask = torch.zeros(len(numbers), longest, dtype=torch.bool)
        # On the left, since the last place of a prompt is real.
        for row, own in enumerate(numbers):
            ids[row, longest - len(own) :], mask[row, longest - len(own) :] = own, True
        place = prompt.mask.device
        return prompt.then(self.decoder.embed(ids.to(place)), mask.to(place))

    def begin(self, text: str) -> Array:
        """The pieces of a text that goes on: without the end."""
        found = self.tokens.numbers(text)
        return found[:-1] if len(found) and found[-1] == self.tokens.end else found


class Reason(Generate):
    """As `generate`, with one more column, a rationale, written before the answer.

    Each row teaches two texts: "Reason: RATIONALE Answer: ANSWER" and "Answer: ANSWER", so that one
    model can be asked for an answer with its reasons and for one without. By itself it reasons
    first; answers alone are measured. Reasons are of use where an answer takes several steps: see
    `polymodal reason`. Papers: "Chain-of-Thought Prompting Elicits Reasoning in Large Language
    Models" (Wei et al. 2022, arXiv 2201.11903); of fitted models "Learn to Explain" (Lu et al.
    2022, arXiv 2209.09513).

    Args:
        name: the answers' column.
        rationale: the rationales' column, which no model reads. Rows without one teach the answer
            alone.
        decoder, reading, vocabulary, decoding: as of `generate`; what answers have to keep to
            (choices, a pattern, a schema) is asked of an answer without reasons.
    """

    kind: ClassVar[str | None] = None
    gathers: ClassVar[bool] = False
    writer: ClassVar[type[Writer]] = Reasoner

    def __init__(
        self,
        name: str,
        *,
        rationale: str = "rationale",
        decoder: Spec = "gpt2",
        reading: str = "prefix",
        vocabulary: int = 4096,
        decoding: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            name, decoder=decoder, reading=reading, vocabulary=vocabulary, decoding=decoding
        )
        if rationale == name:
            raise UserError(
                f"The task '{name}' has its answers for rationales",
                expected="the column of the reasons, which stand before the answer",
                got=f"rationale: {rationale}",
                do="name that column (`rationale`), or have the answer alone written by `generate`",
            )
        self.rationale = rationale

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.name, self.rationale)

    @property
    def withheld(self) -> tuple[str, ...]:
        return (self.rationale,)

    def fit(self, cells: Sequence[Any], details: Mapping[str, Any] | None = None) -> None:
        """As of `generate`; what texts are short is told by the answers.

        Raises:
            UserError: no row has an answer and a rationale.
        """
        every = [taught(self._pair(cell)) for cell in cells]
        if not any(text.startswith(REASON) for own in every for text in own):
            raise UserError(
                f"No training row has both '{self.name}' and a rationale in '{self.rationale}'",
                expected="reasons in words, at least in some rows",
                do="fill the column in, or have the answer alone written (the task `generate`)",
            )
        super().fit(every)
        answers = [text for own in every for text in own if text.startswith(ANSWER)]
        (common, _), *rest = Counter(sorted(answers)).most_common(KEPT)
        often = [text for text, count in rest if count > 1]
        lengths = [len(words(parted(answer)[1])) for answer in answers]
        own = {"common": common, "often": often, "words": float(np.median(lengths))}
        self.state = {**self.state, **own}

    def _formed(self, tokens: Tokens) -> Written:
        return Reasoned(tokens, self.name, self.rationale)

    def _pair(self, cell: Any) -> tuple[list[str], str]:
        return pair(cell, self.name, self.rationale)

    def is_known(self, cell: Any) -> bool:
        return bool(self._pair(cell)[0])

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        """As of `generate`; the rationale stands beside the answer."""
        found = super().decode(answers)
        reasons = [self._parted(text)[0] for text in super()._texts(answers)]
        return {self.name: found.pop(self.name), f"{self.name}.rationale": reasons, **found}

    def _texts(self, answers: Answers) -> list[str]:
        return [self._parted(text)[1] for text in super()._texts(answers)]

    def _common(self, manner: Manner) -> list[str]:
        texts = super()._common(manner)
        return [parted(text)[1] for text in texts] if ruled(manner) else texts

    def _parted(self, text: str) -> tuple[str, str]:
        """As `parted`; what keeps to a rule is an answer that nothing stands before."""
        plain = ruled(self._manner(1)) and ANSWER not in text
        return ("", text) if plain else parted(text)


def ruled(manner: Manner) -> bool:
    """Whether texts have to keep to something."""
    return bool(manner.choices or manner.pattern) or manner.schema is not None


def pair(cell: Any, name: str, rationale: str) -> tuple[list[str], str]:
    """The answers of a cell, and its rationale in one line."""
    if not isinstance(cell, Mapping):
        cell = {name: cell}
    reasons = references.texts([cell.get(rationale)]) or []
    return references.texts([cell.get(name)]) or [], " ".join(" ".join(reasons).split())


def taught(given: tuple[list[str], str]) -> list[str]:
    """The texts that a row teaches, of its answers and its rationale."""
    answers, reason = given
    reasoned = [f"{REASON} {reason} {ANSWER} {answers[0]}"] if answers and reason else []
    return [*reasoned, *(f"{ANSWER} {answer}" for answer in answers)]


def parted(text: str) -> tuple[str, str]:
    """A written text's rationale, and its answer: "" where there is none."""
    before, mark, after = text.rpartition(ANSWER)
    reason = (before if mark else after).strip().removeprefix(REASON).strip()
    return reason, after.strip() if mark else ""
