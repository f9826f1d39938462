"""Texts that a model wrote against those that people did: answers, captions, transcripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from statistics import median

import numpy as np

from polymodal.base.words import words
from polymodal.contract.metric import Metric
from polymodal.metrics import captions, edits, summed
from polymodal.metrics._weighted import Array, Statistic, mean
from polymodal.metrics.answers import answers

# How the texts are made alike whose words and characters are counted.
COMPARED = "compared in lower case without punctuation"
# References of so many words, as the middle one has, are answers, right or wrong; longer ones are
# like others, as captions are.
SHORT = 3
# What tells most of longer texts, and at the end what tells least of them.
LIKENESS = ("cider_d", "bleu", "rouge_l", "chrf", "wer", "cer", "exact_match", "vqa_accuracy")


def texts(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Metric]:
    """Every metric of texts; each is computed when it is first asked for.

    exact_match and, with four references or more in every row, vqa_accuracy (`metrics.answers`);
    cider_d of two rows or more, rouge_l and, where sacrebleu is installed, bleu and chrf
    (`metrics.captions`); wer and cer: edits to the nearest reference over its length, of words in
    lower case without punctuation and of their characters. Of SHORT references whether texts are
    right comes first, of longer ones how like they are.

    Args:
        references: one or more a row.
    """
    found = dict(answers(predictions, references))
    if len(predictions) > 1:
        found["cider_d"] = _mean(lambda: captions.cider_d(predictions, references))
    found["rouge_l"] = _mean(lambda: captions.rouge_l(predictions, references))
    if captions.installed():
        whole = cache(lambda: captions.captions(predictions, references).metrics())
        for name in ("bleu", "chrf"):
            found[name] = Metric(_later(partial(_named, whole, name)))
    for name, cut in (("wer", words), ("cer", edits.characters)):
        found[name] = _rate(predictions, references, cut)
    every = [len(words(text)) for own in references for text in own]
    if every and median(every) > SHORT:
        return {name: found[name] for name in LIKENESS if name in found}
    return found


def _named(whole: Callable[[], dict[str, Metric]], name: str) -> Statistic:
    return whole()[name].statistic


def _mean(values: Callable[[], Array]) -> Metric:
    return Metric(_later(lambda: mean(values())))


def _rate(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    cut: Callable[[str], Sequence[str]],
) -> Metric:
    def statistic() -> Statistic:
        wrong, length = edits.errors(predictions, references, cut)
        return summed.mean(wrong, length).statistic

    return Metric(_later(statistic), greater_is_better=False)


def _later(make: Callable[[], Statistic]) -> Statistic:
    made = cache(make)
    return lambda w: np.asarray(made()(w))
