"""Captions: parity with sacrebleu, frozen values of other packages, and cases worked by hand."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF

from polymodal.base.errors import UserError
from polymodal.metrics import captions, statistics

GUESSES = ["a man rides a horse", "two dogs play in the snow", "a red bus", "the the the cat"]
GIVEN = [
    ["A man is riding a brown horse.", "a man rides a horse on the beach"],
    ["Two dogs run in the snow"],
    ["a red double-decker bus drives down the street", "a bus"],
    ["the cat sat on the mat", "a cat"],
]
CIDER_D = [4.169977828446057, 4.125, 1.4787128903778315, 2.0701968574692113]
ROUGE_L = [10 / 13, 5 / 6, 4 / 5, 2 / 5]
WORDS = ["a", "man", "dog", "rides", "the", "red", "horse", "on", "beach", "near", "two", "play"]


def case(seed: int, rows: int = 12) -> tuple[list[str], list[list[str]]]:
    """Texts of 1 to 9 words with 1 to 3 references each; one is empty, one right, one strange."""
    rng = random.Random(seed)

    def text() -> str:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 9)))

    given = [[text() for _ in range(rng.randint(1, 3))] for _ in range(rows)]
    guesses = [text() for _ in given]
    guesses[:3] = ["", given[1][0], "zebra"]
    return guesses, given


def values(found: captions.Captions, weights: np.ndarray | None = None) -> dict[str, float]:
    w = np.ones(len(found.rouge_l)) if weights is None else weights
    return {name: float(m.statistic(w[None])[0]) for name, m in found.metrics().items()}


def streams(given: list[list[str]]) -> list[list[str | None]]:
    most = max(map(len, given))
    return [[row[i] if i < len(row) else None for row in given] for i in range(most)]


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(3, 12))
def test_bleu_and_chrf_equal_sacrebleu(seed, rows):
    guesses, given = case(seed, rows)
    found = values(captions.captions(guesses, given))
    assert found["bleu"] == pytest.approx(BLEU().corpus_score(guesses, streams(given)).score)
    assert found["chrf"] == pytest.approx(CHRF().corpus_score(guesses, streams(given)).score)


@pytest.mark.parametrize(
    "guesses", [[""] * 3, ["zebra"] * 3, ["horse"] * 3, ["the red horse", "", "a man rides on"]]
)
def test_bleu_and_chrf_equal_sacrebleu_at_the_edges(guesses):
    given = [["the red horse"], ["a man"], ["a man rides on the beach", "a dog"]]
    found = values(captions.captions(guesses, given))
    assert found["bleu"] == pytest.approx(BLEU().corpus_score(guesses, streams(given)).score)
    assert found["chrf"] == pytest.approx(CHRF().corpus_score(guesses, streams(given)).score)


def test_a_resample_without_four_words_in_a_row_has_no_bleu_as_sacrebleu_has_it():
    guesses = ["a red horse", "a dog", "a red bus", "a man rides on"]
    found = captions.captions(guesses, [[one] for one in guesses]).metrics()["bleu"]
    for rows in ([0, 1, 2, 3], [0, 1, 2, 2]):
        texts, counts = [guesses[i] for i in rows], np.bincount(rows, minlength=4)
        wanted = BLEU(force=True).corpus_score(texts, [texts]).score
        assert found.statistic(counts[None].astype(float))[0] == pytest.approx(wanted)
    span = statistics.interval(found, 4)
    assert (span.value, span.low, span.high) == pytest.approx((100, 0, 100))


SCRIPTS = {
    "Chinese": ("一个男人在骑马。", "一个男人在骑马！", "他们在雪地里踢足球"),
    "Japanese": ("犬が雪の中で遊んでいる", "犬が雪の中で遊んでいた", "赤いバスが来た"),
    "Thai": ("ผู้ชายกำลังขี่ม้า", "ผู้ชายคนหนึ่งกำลังขี่ม้า", "รถเมล์สีแดง"),
    "Hindi": ("एक आदमी घोड़े पर है।", "एक आदमी घोड़े पर है", "लाल बस सड़क पर चलती"),
    "Lao": ("ຜູ້ຊາຍຂີ່ມ້າ", "ຜູ້ຊາຍຂີ່ມ້າຢູ່", "ລົດເມສີແດງ"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_near_identical_captions_are_near_in_every_script(script):
    guess, near, far = SCRIPTS[script]
    both = values(captions.captions([guess, far], [[near], [far]]))
    apart = values(captions.captions([guess, far], [[far], [near]]))
    assert both["rouge_l"] > 0.85 and both["cider_d"] > 6 and both["bleu"] > 65
    assert apart["rouge_l"] < 0.45 and apart["cider_d"] < 1


def test_bleu_of_chinese_equals_sacrebleus_own():
    guesses = ["一个男人在骑马。", "我用iPhone拍照, 很好"]
    given = [["一个男人骑着马。"], ["我用iPhone 拍照，很好"]]
    found = values(captions.captions(guesses, given))
    wanted = BLEU(tokenize="zh").corpus_score(guesses, streams(given)).score
    assert found["bleu"] == pytest.approx(wanted)


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_whole_weights_equal_repeated_rows(seed):
    guesses, given = case(seed)
    found = captions.captions(guesses, given)
    counts = np.random.default_rng(seed).integers(0, 3, len(guesses))
    counts[3] = 1
    again = np.repeat(np.arange(len(guesses)), counts)
    texts, wanted = [guesses[i] for i in again], [given[i] for i in again]
    weighted = values(found, counts.astype(float))
    assert weighted["bleu"] == pytest.approx(BLEU().corpus_score(texts, streams(wanted)).score)
    assert weighted["chrf"] == pytest.approx(CHRF().corpus_score(texts, streams(wanted)).score)
    assert weighted["rouge_l"] == pytest.approx(captions.rouge_l(texts, wanted).mean())
    # The references' statistics are of the rows themselves, whichever are drawn.
    assert weighted["cider_d"] == pytest.approx(found.cider_d[again].mean())


def test_two_systems_rows_stand_one_after_the_other():
    guesses, given = case(0)
    one = captions.captions(guesses, given)
    two = captions.captions(guesses[::-1], given)
    both, rows = one.followed_by(two), len(guesses)
    for half, alone in ((np.repeat([1.0, 0.0], rows), one), (np.repeat([0.0, 1.0], rows), two)):
        assert values(both, half) == pytest.approx(values(alone))


def test_cider_d_of_an_identical_caption():
    guesses = ["a man rides a horse", "two dogs play in snow"]
    found = captions.cider_d(guesses, [["A man rides a horse!"], ["a red bus"]])
    assert found == pytest.approx([10, 0])
    # Three words have no 4-gram, whatever they are.
    assert captions.cider_d(["one two three", "x"], [["one two three"], ["y"]])[0] == 7.5


def test_cider_d_length_penalty_and_clipping_by_hand():
    # Of three rows: only row 0 has "cat", so log(3) is its weight; "cat cat" has no other 1-gram.
    # cat cat cat against cat cat: min(3, 2) * 2 / (3 * 2) for n = 1; the bigram cat cat occurs
    # twice and once, min(2, 1) * 1 / (2 * 1); the penalty is of one word.
    others = [["red bus"], ["blue sky"]]
    found = captions.cider_d(["cat cat cat", "", ""], [["cat cat"], *others])
    assert found[0] == pytest.approx(10 / 4 * math.exp(-1 / 72) * (4 / 6 + 1 / 2))
    # Seven words against one, of which one is shared and six are unknown to all references.
    found = captions.cider_d(["cat b c d e f g", "", ""], [["cat"], *others])
    assert found[0] == pytest.approx(10 / 4 * math.exp(-36 / 72) / math.sqrt(7))
    # Two references count half each.
    found = captions.cider_d(["cat cat", "", ""], [["cat cat", "dog dog"], *others])
    assert found[0] == pytest.approx(10 / 4 * (1 + 1) / 2)


def test_cider_d_counts_rows_that_have_an_n_gram():
    # "a" is in every row's references and weighs nothing; "cat" is in two of three, one twice.
    given = [["a cat", "cat a"], ["a cat cat"], ["a dog"]]
    found = captions.cider_d(["a", "cat", "dog"], given)
    assert found[0] == 0
    assert found[1] == pytest.approx(10 / 4 * math.exp(-4 / 72))
    assert found[2] == pytest.approx(10 / 4 * math.exp(-1 / 72))


def test_one_row_has_no_rare_n_grams():
    found = captions.captions(["a cat"], [["a cat"]])
    assert set(found.metrics()) == {"bleu", "chrf", "rouge_l"}


def test_frozen_values_of_other_packages():
    # CIDEr-D: from an adaptation of the COCO caption evaluation, given the same words.
    found = captions.captions(GUESSES, GIVEN)
    assert found.cider_d == pytest.approx(CIDER_D, abs=1e-9)
    # ROUGE-L: rouge-score 0.1.2, score_multi without stemming.
    assert found.rouge_l == pytest.approx(ROUGE_L, abs=1e-9)


@given(st.lists(st.sampled_from("abc"), max_size=9), st.lists(st.sampled_from("abc"), max_size=9))
def test_longest_common_subsequence_by_its_table(one, other):
    table = np.zeros((len(one) + 1, len(other) + 1), int)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            best = max(table[i, j + 1], table[i + 1, j])
            table[i + 1, j + 1] = table[i, j] + 1 if a == b else best
    assert captions.common_words(one, other) == table[-1, -1]


def test_words_of_any_script():
    assert captions.rouge_l(["हिन्दी भाषा"], [["हिन्दी भाषा।"]])[0] == 1
    assert captions.rouge_l(["Straße, naïve"], [["straße naïve"]])[0] == 1
    assert captions.rouge_l([""], [["a"]])[0] == 0


def test_a_book_is_no_caption() -> None:
    book = "word " * 200_000
    for guesses, golds in (([book], [["a"]]), (["a"], [["b", book]])):
        with pytest.raises(UserError, match=r"row 0 is too long[\s\S]*1,000,000 characters"):
            captions.captions(guesses, golds)
