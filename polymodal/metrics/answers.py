"""Short answers: what counts as the same one, VQA accuracy, and answers found in free text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
import regex

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.base.words import joined, split
from polymodal.contract.metric import Metric
from polymodal.metrics._weighted import mean

# With fewer annotators not even an answer that all of them gave would score 1.
ANNOTATORS = 4

_ARTICLES = ("a", "an", "the")
_NAMED = "zero one two three four five six seven eight nine ten"
_NUMBERS = {name: str(number) for number, name in enumerate(_NAMED.split())} | {"none": "0"}
# Signs that change what an answer means: prices, shares, times, numbers.
_KEPT = "$€£¥%&#°*':.-"
# What a pattern may take in one text: of a bad one the time doubles with every character.
SECONDS = 1.0
# Of "c++" and "a+", of "<5" and "≥ 5".
_COMPARED = re.compile(r"(?<=[^\W\d_])\+(?=\+*(?!\w))|(?<=\+)\+(?!\w)|[<>≤≥±~](?= ?[\d.-])")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
# Of a contraction, not of a genitive: "don't", "they've", "what's", but not "dog's".
_CONTRACTED = re.compile(
    r"(?<=n)'(?=t\b)|(?<=\w)'(?=(?:ve|ll|re|d|m)\b)|"
    r"(?:(?<=\bhe)|(?<=\bshe)|(?<=\bthat)|(?<=\bthere)|(?<=\bhere)|(?<=\bwhat)|(?<=\bwhen)|"
    r"(?<=\bwhere)|(?<=\bwho)|(?<=\bwhy)|(?<=\bhow)|(?<=\blet))'(?=s\b)"
)
# Colons between digits, minus signs of numbers and apostrophes inside words stay.
_PUNCTUATION = re.compile(r"(?<!\d):|:(?!\d)|(?<=\w)-|-(?!\.?\d)|(?<!\w)'|'(?!\w)")
_FULL_STOP = re.compile(r"\.(?!\d)")


def normalised(answer: str) -> str:
    """The one spelling of a short answer.

    In lower case, composed (NFC); without punctuation, the articles a, an, the, the apostrophe of
    contractions and the commas of thousands, and without spaces where a script has none; with
    digits for the words none (0) and zero to ten.
    """
    text = unicodedata.normalize("NFC", answer.lower())
    text = _THOUSANDS.sub("", _minus(text).replace("’", "'"))
    text = _FULL_STOP.sub("", _PUNCTUATION.sub(" ", _spaced(_CONTRACTED.sub("", text))))
    found = [_NUMBERS.get(word, word) for word in split(text)]
    kept = [word for word in found if word not in _ARTICLES]
    return joined(kept or found) or answer.strip()


def _spaced(text: str) -> str:
    """With a blank for every character that is part of no word, no picture and no telling sign."""
    compared = {match.start() for match in _COMPARED.finditer(text)}
    return "".join(c if i in compared or _stays(c) else " " for i, c in enumerate(text))


def _stays(character: str) -> bool:
    if character.isalnum() or character in _KEPT:
        return True
    # Marks belong to letters: without them, words of many Indian scripts would fall apart.
    category = unicodedata.category(character)
    return not character.isascii() and (category[0] == "M" or category in ("So", "Sk"))


def vqa_accuracy(matches: int, annotators: int) -> float:
    """The mean of min(1, k / 3) over all sets that leave one annotator out.

    Args:
        matches: how many annotators gave the answer.
        annotators: how many there are.

    Paper: "VQA: Visual Question Answering" (Antol et al. 2015, arXiv 1505.00468).
    """
    with_one_less, with_all = min(1, (matches - 1) / 3), min(1, matches / 3)
    return (matches * with_one_less + (annotators - matches) * with_all) / annotators


def answers(
    predictions: Sequence[str | None], references: Sequence[Sequence[str]]
) -> dict[str, Metric]:
    """vqa_accuracy, and exact_match: the share of rows whose answer is one of the references.

    Answers are compared as `normalised`, in every row (the VQA challenge's own script compares
    raw strings where all annotators agree). vqa_accuracy is left out unless every row has
    ANNOTATORS references or more.

    Args:
        predictions: an answer a row; None is wrong.
        references: the annotators' answers, one or more a row.
    """
    counts = [
        0 if guess is None else [normalised(one) for one in given].count(normalised(guess))
        for guess, given in zip(predictions, references, strict=True)
    ]
    exact = Metric(mean(np.array(counts) > 0), share=True)
    annotators = [len(given) for given in references]
    if min(annotators, default=0) < ANNOTATORS:
        return {"exact_match": exact}
    scores = [vqa_accuracy(k, n) for k, n in zip(counts, annotators, strict=True)]
    return {"vqa_accuracy": Metric(mean(np.array(scores))), "exact_match": exact}


def failures(given: Sequence[str | None]) -> dict[str, Metric]:
    """How often no answer was found in a text."""
    failed = np.array([answer is None for answer in given], float)
    return {"extraction_failure_rate": Metric(mean(failed), greater_is_better=False, share=True)}


def _rest_of_line(lead: str) -> str:
    """Up to the next lead, or the line's end without its full stop: "St. John" has one inside."""
    end = r"(?:(?<!\.[A-Za-z])\.)?[ \t*_`\"']*(?:[\r\n]|$)"
    return rf"(?i:{lead})\W*?[ \t]*(\S.*?)(?:{end}|(?=(?i:{lead})))"


_STATED = r"\b(?:answer|choice|option)\b(?:\s+is\b|\s*[:=])+"
_DENIED = r"\b(?:answer|choice|option)\s+isn['’]t\b"

_CLOSED = r"\s*(?:[).:,;*\]}\r\n]|$)"
# Not the first of several, "(A) or (B)" and "A, B and C".
_SEVERAL = (
    rf"[)\]*\s]*(?:[,;/&]|\b(?:or|and)\b)\s*(?:(?:or|and)\b)?[\s*(\[]*"
    rf"[A-J](?={_CLOSED}|\s+(?:or|and)\b)"
)
_LETTER = rf"([A-J])(?={_CLOSED})(?!{_SEVERAL})"
_OPENED = r"(?:[\s*(\[\"'$:]|(?i:\boption\b|\bchoice\b)|\\boxed\{)*"

_NUMBER = r"-?\d+(?:,\d{3})*(?:\.\d+)?"
_OPERATOR = r"[ \t]*[-+*/×÷^=:'’–—][ \t]*(?=-?\d)"
_SCALE = r"[ \t]*(?:%|(?i:per ?cent|hundred|thousand|[mbtr]+illion|dozen)\b)"

# For each name the ways to state an answer; the first that a text uses decides. Where it leaves
# the answer's group empty ("the answer is not (A)", "3.5%"), what it says cannot be read.
PATTERNS: dict[str, tuple[str, ...]] = {
    "marked": (
        r"(?is:<answer>(.*?)</answer>)",
        r"\\boxed\{([^{}]*)\}",
        r"####[ \t]*(\S.*)",
        _rest_of_line(_STATED),
    ),
    "choice": (
        rf"(?i:{_DENIED})|(?i:{_STATED}){_OPENED}(?:{_LETTER})?",
        r"\\boxed\{\W*([A-J])\W*\}",
        r"\A\W*([A-J])\W*\Z",
        r"(?:(?m:^)[\s*]*|\()([A-J])[).:](?=\W|\Z)",
    ),
    "number": (
        r"(?<![\w.–—±])(?<!\w-)(?!\d+(?:st|nd|rd|th)\b)(?:"
        rf"({_NUMBER})(?![.,]?\d|\w|{_SCALE}|{_OPERATOR})"
        rf"|-?\d[\w.,]*(?:{_OPERATOR}-?\d[\w.,]*)*)",
    ),
    "yesno": (r"(?i:\b(yes|no)\b)",),
}


def extractor(pattern: str) -> Callable[[str], str | None]:
    """What finds answers in texts.

    A text states an answer if a pattern matches and all its matches are one answer (as
    `normalised`); nothing is guessed where it does not match, or where matches contradict.

    Args:
        pattern: a name in PATTERNS ("marked": after "answer:", in \\boxed{}, <answer> or after
            ####; "choice": a letter from A to J; "number"; "yesno"), or a regular expression
            with one group, which is the answer.

    Raises:
        UserError: it is neither.
    """
    ways = [_compiled(way) for way in PATTERNS.get(pattern, (pattern,))]

    def extract(text: str) -> str | None:
        for way in ways:
            found = [one.strip(" \t\r\n*_`\"'") for one in _matches(way, _minus(text))]
            if found:
                same = len({normalised(one) for one in found}) == 1
                return found[0] if same and found[0] else None
        return None

    return extract


def _matches(way: regex.Pattern[str], text: str) -> list[str]:
    try:
        return way.findall(text, timeout=SECONDS)
    except TimeoutError as error:
        raise UserError(
            f"The pattern '{way.pattern[:80]}' takes more than {SECONDS} seconds in one text",
            expected="a pattern whose repetitions do not overlap",
            got=f"a text of {len(text):,} characters: {text[:60]!r}",
            do="write (a+)+ as a+, and (x|xy)* as x(xy?)*, for example",
        ) from error


def _minus(text: str) -> str:
    """With the one sign for minus that numbers and labels are written with."""
    return text.replace("\N{MINUS SIGN}", "-")


def _compiled(pattern: str) -> regex.Pattern[str]:
    try:
        re.compile(pattern)  # whose language it is
        found = regex.compile(pattern)
    except (re.error, regex.error, RecursionError, OverflowError) as error:
        raise _no_pattern(pattern, str(error)) from error
    if found.groups != 1:
        raise _no_pattern(pattern, f"{found.groups} groups")
    return found


def _no_pattern(pattern: str, why: str) -> UserError:
    return UserError(
        f"'{pattern}' is no way to extract an answer",
        expected=f"{', '.join(PATTERNS)}, or a regular expression with one group (...)",
        got=why,
        do=lookup.meant(pattern, PATTERNS),
    )
