"""Texts against reference texts: BLEU, chrF, CIDEr-D, ROUGE-L."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from polymodal.base.errors import MissingExtra, UserError
from polymodal.base.words import split, words
from polymodal.contract.metric import Metric
from polymodal.metrics import _weighted as weighted
from polymodal.metrics._weighted import Array, Statistic, mean, ratio

if TYPE_CHECKING:
    from scipy.sparse import csr_array

References = Sequence[Sequence[str]]
Words = Sequence[str]

# Of BLEU and CIDEr-D: the longest n-grams. Of chrF: those of characters, and recall's weight.
ORDER, CHARACTERS, BETA = 4, 6, 2
# No caption has so many words; the time of ROUGE-L grows with their square.
LONGEST = 10_000
# Of CIDEr-D: how many words of difference in length cost e^-1/2 of the score, and its scale.
SIGMA, SCALE = 6.0, 10.0


@dataclass(frozen=True)
class Captions:
    """Predicted texts, compared with their references row by row.

    Attributes:
        bleu: `(rows, 2 + 2 * ORDER)` length, reference length, n-grams right, n-grams in all.
        chrf: `(rows, 3 * CHARACTERS)` predicted, true and common character n-grams by length.
        cider_d: `(rows,)`, 0 to 10; NaN if there is only one row.
        rouge_l: `(rows,)`, 0 to 1.
    """

    bleu: Array
    chrf: Array
    cider_d: Array
    rouge_l: Array

    def metrics(self) -> dict[str, Metric]:
        """bleu and chrf (0 to 100) of all rows as one corpus; means of cider_d and rouge_l."""
        found = {
            "bleu": Metric(_bleu(self.bleu)),
            "chrf": Metric(_chrf(self.chrf)),
            "cider_d": Metric(mean(self.cider_d)),
            "rouge_l": Metric(mean(self.rouge_l)),
        }
        return weighted.measured(np.ones(len(self.rouge_l), bool), found)

    def followed_by(self, other: Captions) -> Captions:
        """These rows and then the other's, such as a second system's for the same references."""
        both = zip(vars(self).values(), vars(other).values(), strict=True)
        return Captions(*(np.concatenate(sides) for sides in both))


def captions(predictions: Sequence[str], references: References) -> Captions:
    """Compare texts with their references.

    BLEU and chrF count n-grams as sacrebleu does by default (BLEU: 13a tokens in their case,
    exponential smoothing). CIDEr-D and ROUGE-L compare words in lower case without punctuation
    (`base.words.words`). Where a script puts no spaces between words, BLEU, CIDEr-D and ROUGE-L
    take each character for one.

    Args:
        predictions: one a row; "" scores 0.
        references: one or more a row.

    Raises:
        MissingExtra: sacrebleu is not installed.
        UserError: a text has more than LONGEST words.
    """
    _refuse_books(predictions, references)
    metrics = _sacrebleu().metrics
    return Captions(
        _statistics(
            metrics.BLEU(force=True),
            [_cut(text) for text in predictions],
            [[_cut(text) for text in given] for given in references],
        ),
        _statistics(metrics.CHRF(), predictions, references),
        cider_d(predictions, references),
        rouge_l(predictions, references),
    )


def _refuse_books(predictions: Sequence[str], references: References) -> None:
    """UserError if a text is so long that comparing it would not end."""
    for row, (guess, given) in enumerate(zip(predictions, references, strict=True)):
        for text in (guess, *given):
            # Each word has a character at least.
            if len(text) > LONGEST and len(words(text)) > LONGEST:
                raise UserError(
                    f"A text of row {row} is too long for a caption",
                    expected=f"at most {LONGEST:,} words",
                    got=f"{len(text):,} characters: {text[:60]!r}",
                    do="cut it, or leave its cell empty",
                )


def cider_d(predictions: Sequence[str], references: References) -> Array:
    """`(rows,)` CIDEr-D, 0 to 10: like n-grams, those counting most that few rows' references have.

    For n = 1 to 4, with g = occurrences * log(rows / rows whose references have the n-gram), the
    mean over references r of 10 * exp(-(words(p) - words(r))^2 / (2 * 6^2)) *
    sum(min(g_p, g_r) * g_r) / (|g_p| |g_r|); then the mean over n. Rows are what references are
    counted over, so a score depends on the other rows: compare systems on the same ones only.
    NaN if there is only one row, for then every n-gram is in every row.

    Paper: "CIDEr: Consensus-based Image Description Evaluation" (Vedantam et al. 2015,
    arXiv 1411.5726).
    """
    rows = len(predictions)
    if rows < 2:
        return np.full(rows, np.nan)
    owner = np.repeat(np.arange(rows), [len(given) for given in references])
    guesses = [words(text) for text in predictions]
    golds = [words(text) for text in chain.from_iterable(references)]
    alike = sum(_similarities(guesses, golds, owner, n) for n in range(1, ORDER + 1))
    longer = np.array(
        [len(guesses[row]) - len(gold) for row, gold in zip(owner, golds, strict=True)]
    )
    alike *= np.exp(-(longer**2) / (2 * SIGMA**2))
    return np.asarray(SCALE / ORDER * np.bincount(owner, alike) / np.bincount(owner))


def _similarities(guesses: Sequence[Words], golds: Sequence[Words], owner: Array, n: int) -> Array:
    """`(references,)` clipped cosines of a reference's n-grams and its row's prediction's."""
    from scipy.sparse import csr_array

    counted = [[Counter(_ngrams(text, n)) for text in side] for side in (guesses, golds)]
    everything = dict.fromkeys(chain.from_iterable(chain(*counted)))
    codes = {ngram: code for code, ngram in enumerate(everything)}
    guess, gold = (_matrix(side, codes) for side in counted)
    rows = len(guesses)
    belongs = csr_array((np.ones(len(owner)), (owner, np.arange(len(owner)))), (rows, len(owner)))
    having = (belongs @ gold > 0).sum(0)
    rarity = np.log(rows / np.maximum(having, 1))
    guess, gold = guess.multiply(rarity).tocsr()[owner], gold.multiply(rarity).tocsr()
    shared = guess.minimum(gold).multiply(gold).sum(1)
    sizes = np.sqrt(guess.power(2).sum(1) * gold.power(2).sum(1))
    return np.nan_to_num(ratio(shared, sizes))


def rouge_l(predictions: Sequence[str], references: References) -> Array:
    """`(rows,)` ROUGE-L F1: the longest common subsequence of words, of the best reference.

    Paper: "ROUGE: A Package for Automatic Evaluation of Summaries" (Lin 2004).
    """
    return np.array(
        [
            max(_rouge_l(words(guess), words(gold)) for gold in given)
            for guess, given in zip(predictions, references, strict=True)
        ]
    )


def _rouge_l(guess: Words, gold: Words) -> float:
    total = len(guess) + len(gold)
    return 2 * common_words(guess, gold) / total if total else 0.0


def common_words(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """The length of the longest common subsequence.

    One bit a word of `a`, which is 0 where the subsequence grows: all of a column of the usual
    table at once. Paper: "Bit-parallel LCS-length computation revisited" (Hyyrö 2004).
    """
    places: dict[Hashable, int] = defaultdict(int)
    for i, word in enumerate(a):
        places[word] |= 1 << i
    whole = (1 << len(a)) - 1
    row = whole
    for word in b:
        met = row & places.get(word, 0)
        row = ((row + met) | (row - met)) & whole
    return len(a) - row.bit_count()


def installed() -> bool:
    """Whether sacrebleu is, which counts for BLEU and chrF."""
    return find_spec("sacrebleu") is not None


def version() -> str:
    """Of sacrebleu, for figures depend on it."""
    return str(_sacrebleu().__version__)


def _sacrebleu() -> Any:
    try:
        import sacrebleu.metrics
    except ImportError as error:
        raise MissingExtra("sacrebleu", "captions", "BLEU and chrF") from error
    return sacrebleu


def _statistics(metric: Any, predictions: Sequence[str], references: References) -> Array:
    """What a sacrebleu metric counts in each row; its corpus score is a function of the sums."""
    most = max(len(given) for given in references)
    streams = [[given[i] if i < len(given) else None for given in references] for i in range(most)]
    # Its public names give scores only, and no score can be weighted; parity is tested.
    return np.array(metric._extract_corpus_statistics(predictions, streams), float)


def _cut(text: str) -> str:
    """A text with spaces between its pieces; where spaces divide them already, as it is."""
    pieces = split(text)
    return text if pieces == text.split() else " ".join(pieces)


def _bleu(counts: Array) -> Statistic:
    def statistic(w: Array) -> Array:
        sums = w @ counts
        length, wanted = sums[:, 0], sums[:, 1]
        right, total = sums[:, 2 : 2 + ORDER], sums[:, 2 + ORDER :]
        # Exponential smoothing: each order without a match counts half as much of one again.
        smoothed = np.where(right > 0, right, 0.5 ** np.cumsum(right == 0, 1))
        precision = np.exp(np.log(ratio(smoothed, total)).mean(1))
        precision[(total == 0).any(1) | (right == 0).all(1)] = 0
        brevity = np.exp(np.minimum(0, 1 - np.nan_to_num(ratio(wanted, length))))
        return 100 * brevity * precision

    return statistic


def _chrf(counts: Array) -> Statistic:
    def statistic(w: Array) -> Array:
        guessed, true, common = (w @ counts).reshape(len(w), CHARACTERS, 3).transpose(2, 0, 1)
        both = (guessed > 0) & (true > 0)
        precision, recall = (
            weighted.nanmean(np.where(both, ratio(common, side), np.nan))
            for side in (guessed, true)
        )
        found = (1 + BETA**2) * ratio(precision * recall, BETA**2 * precision + recall)
        return 100 * np.nan_to_num(found)

    return statistic


def _ngrams(text: Words, n: int) -> zip[tuple[str, ...]]:
    return zip(*(text[i:] for i in range(n)), strict=False)


def _matrix(
    counted: Sequence[Counter[tuple[str, ...]]], codes: dict[tuple[str, ...], int]
) -> csr_array:
    """`(texts, n-grams)` occurrences."""
    from scipy.sparse import csr_array

    ends = np.cumsum([0, *(len(one) for one in counted)])
    columns = [codes[ngram] for one in counted for ngram in one]
    values = [float(count) for one in counted for count in one.values()]
    return csr_array((values, columns, ends), shape=(len(counted), len(codes)))
