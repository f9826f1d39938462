"""Do the answers follow from the media and the reasons, or do reasons only stand beside them?

Each test spoils what an honest answer rests on. Where nothing changes, the answer does not rest
on it. In the manner of "Measuring Faithfulness in Chain-of-Thought Reasoning" (Lanham et al. 2023,
arXiv 2307.13702).

| test | what is done | a model that reasons |
|---|---|---|
| blank | the media are taken away, and all is reasoned anew | falls to the constant's accuracy |
| swap | the answer is asked after the reasons of a row answered otherwise | answers as that row |
| cut | the answer is asked after the first half of the steps | is right less often |
| corrupt | in the last step stands a word of another row's | answers as that row |
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from polymodal.metrics.answers import normalised
from polymodal.reason.model import Asked, Model, Thought, steps

TESTS = ("blank", "swap", "cut", "corrupt")


@dataclass(frozen=True)
class Spoilt:
    """What one test asks, and what became of it.

    Attributes:
        asked: one for each row that can be tested.
        expects: the answer that the spoilt reasons call for; empty where the test knows none.
        found: the answers.
    """

    asked: Sequence[Asked]
    expects: Sequence[str] = ()
    found: Sequence[Thought] = field(default_factory=list)


def spoilt(name: str, chains: Sequence[Thought], prompts: Sequence[str], seed: int = 0) -> Spoilt:
    """What a test asks, of one chain for each row.

    Args:
        name: one of TESTS.
        chains: what was reasoned, and answered.
        prompts: what the rows ask; rows of equal ones can lend one another a word.
        seed: of which row lends what.
    """
    rows = [i for i, one in enumerate(chains) if one.answer and steps(one.reason)]
    if name == "blank":
        return Spoilt([Asked(i, blank=True) for i in range(len(chains))])
    if name == "cut":
        halves = [(i, steps(chains[i].reason)) for i in rows]
        cut = [(i, own[: len(own) // 2]) for i, own in halves if len(own) > 1]
        return Spoilt([Asked(i, reason=" ".join(own)) for i, own in cut])
    rng = np.random.default_rng(seed)
    lenders = _swaps(chains, rows, rng) if name == "swap" else _words(chains, rows, prompts, rng)
    return Spoilt(
        [Asked(i, reason=reason) for i, reason, _ in lenders],
        [chains[lender].answer for *_, lender in lenders],
    )


def tested(spoilt: Spoilt, model: Model, tell: Callable[[int], None]) -> Spoilt:
    """The same with the model's answers.

    Args:
        tell: called with how many more rows are done.
    """
    found: list[Thought] = []
    for start in range(0, len(spoilt.asked), model.chunk):
        asked = spoilt.asked[start : start + model.chunk]
        blank = asked[0].blank
        own = [one[0] for one in model.chains(asked)] if blank else model.answers(asked)
        found += own
        tell(len(asked))
    return Spoilt(spoilt.asked, spoilt.expects, found)


def _swaps(
    chains: Sequence[Thought], rows: Sequence[int], rng: np.random.Generator
) -> list[tuple[int, str, int]]:
    """Row, the reasons of another one that was answered otherwise, and that one."""
    by_answer = defaultdict(list)
    for i in rows:
        by_answer[normalised(chains[i].answer)].append(i)
    found = []
    for i in rows:
        others = [a for a in by_answer if a != normalised(chains[i].answer)]
        if others:
            own = by_answer[others[int(rng.integers(len(others)))]]
            lender = own[int(rng.integers(len(own)))]
            found.append((i, chains[lender].reason, lender))
    return found


def _words(
    chains: Sequence[Thought],
    rows: Sequence[int],
    prompts: Sequence[str],
    rng: np.random.Generator,
) -> list[tuple[int, str, int]]:
    """Row, its reasons with one word of the last step another's, and the row that lent it.

    The lender asks the same, was answered otherwise, and its last step differs by that word alone.
    """
    holes: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i in rows:
        for hole in _holes(prompts[i], steps(chains[i].reason)[-1]):
            holes[hole].append(i)
    found = []
    for i in rows:
        own = steps(chains[i].reason)
        lenders = [
            j
            for hole in _holes(prompts[i], own[-1])
            for j in holes[hole]
            if normalised(chains[j].answer) != normalised(chains[i].answer)
            and steps(chains[j].reason)[-1] != own[-1]
        ]
        if lenders:
            lender = lenders[int(rng.integers(len(lenders)))]
            spoilt = [*own[:-1], steps(chains[lender].reason)[-1]]
            found.append((i, " ".join(spoilt), lender))
    return found


def _holes(prompt: str, step: str) -> list[tuple[str, ...]]:
    """A step with each of its words left out."""
    words = step.split()
    return [(prompt, str(i), *words[:i], *words[i + 1 :]) for i in range(len(words))]


def constant(truths: Sequence[Sequence[str]], prompts: Sequence[str]) -> list[str]:
    """The best answer without media: of each row the commonest first answer of all other rows that
    ask the same; of all other rows, where no other asks that."""
    first = [normalised(own[0]) if own else None for own in truths]
    asked: dict[str, Counter[str]] = defaultdict(Counter)
    every: Counter[str] = Counter()
    for prompt, answer in zip(prompts, first, strict=True):
        if answer is not None:
            asked[prompt][answer] += 1
            every[answer] += 1
    found = []
    for prompt, answer in zip(prompts, first, strict=True):
        own = Counter({answer: 1}) if answer is not None else Counter()
        left = (asked[prompt] - own) or (every - own)
        # Of equally common ones always the same.
        found.append(max(sorted(left), key=left.__getitem__, default=""))
    return found
