"""Counts of n-grams, against scikit-learn's."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression

from polymodal.base.errors import UserError
from polymodal.modalities.text.forms.ngrams import Ngrams
from polymodal.modalities.text.forms.words import Words
from polymodal.modalities.text.hashing import SPACE, identity


def counts(text: str | list[str], **options: int) -> dict[int, float]:
    return dict(Ngrams(**options).encode(text).tolist())


def expected(*ngrams: str) -> dict[int, float]:
    return {identity(ngram): float(n) for ngram, n in Counter(ngrams).items()}


def test_words_and_pairs_of_words() -> None:
    assert counts("A cat, a CAT") == expected("a", "cat", "a", "cat", "a cat", "cat a", "a cat")
    assert counts("a cat a", words=1) == expected("a", "a", "cat")


def test_marks_that_say_something_are_tokens() -> None:
    assert counts("No!! :-) <3 (x)", words=1) == expected("no", "!!", ":-)", "<3", "x")


@given(st.text(alphabet="abc deé._", max_size=60))
def test_counts_are_those_of_scikit_learn(text: str) -> None:
    theirs = CountVectorizer(token_pattern=r"(?u)\b\w+\b", ngram_range=(1, 3))
    analysed = Counter(theirs.build_analyzer()(text))
    assert counts(text, words=3) == expected(*analysed.elements())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("C++", "C#"),
        ("C", "C++"),
        ("-5", "5"),
        ("+5", "-5"),
        ("A+", "A-"),
        ("5%", "5"),
        ("$5", "€5"),
        ("<5", ">5"),
        ("1.5", "1 5"),
        ("1/2", "1:2"),
        ("😀", "😡"),
        ("👍🏻", "👍🏿"),
        ("🇫🇷", "🇩🇪"),
        ("❤️", "💔"),
        ("हिन्दी", "हन्दी"),
        ("দিন", "দান"),
        ("நீ", "நே"),
        ("کِتاب", "کُتاب"),
        ("ที่", "ทั้"),
        ("很好", "不好"),
        ("好很", "很好"),
        ("½", "¼"),
    ],
)
def test_different_texts_are_different_arrays(one: str, other: str) -> None:
    assert counts(one) != counts(other) and counts(one) and counts(other)
    assert not np.array_equal(Words().encode(one), Words().encode(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [("e\u0301te\u0301", "été"), ("が", "か\u3099"), ("❤", "❤\ufe0f"), ("很 好", "很好")],
)
def test_the_same_text_written_otherwise_is_the_same_array(one: str, other: str) -> None:
    assert counts(one) == counts(other)
    assert np.array_equal(Words().encode(one)[:, 0], Words().encode(other)[:, 0])


def test_characters_are_words_where_no_spaces_are() -> None:
    runs = ["很", "好", "用", "很 好", "好 用", "很 好 用"]
    assert counts("很好用。") == expected(*runs)
    assert counts("很好 ok 用") == expected("很", "好", "ok", "用", "很 好", "好 ok", "ok 用")


LETTERS = {
    "Chinese": ("的一是在了有和人这中大为上个国我以要他时来用们生到作地于出就分", "不好", "很好"),
    "Japanese": ("あいうえおかきくけこさしすせそたちつてとなにぬねの", "だめ", "よい"),
    "Thai": ("กขคงจฉชซญดตถทธนบปผ", "แย่", "ดี"),
    "Khmer": ("កខគឃងចឆជឈញដឋឌឍណត", "អាក្រក់", "ល្អ"),
}


@pytest.mark.parametrize("script", LETTERS)
def test_a_phrase_tells_reviews_without_spaces(script: str) -> None:
    letters, *phrases = LETTERS[script]
    rng, half = np.random.default_rng(0), 200
    labels = np.arange(2 * half) % 2
    texts = []
    for label in labels:
        noise, at = "".join(rng.choice(list(letters), 30)), int(rng.integers(30))
        texts.append(noise[:at] + phrases[label] + noise[at:])
    found = [{str(i): n for i, n in counts(text).items()} for text in texts]
    table = DictVectorizer().fit(found[:half]).transform(found)
    table = TfidfTransformer(sublinear_tf=True).fit(table[:half]).transform(table)
    model = LogisticRegression(C=10).fit(table[:half], labels[:half])
    assert model.score(table[half:], labels[half:]) >= 0.98


def test_characters_stay_within_words() -> None:
    inner = [f"c:{part}" for part in ("<ab", "abc", "bc>", "<abc", "abc>")]
    assert counts("abc", words=1, chars=4) == expected("abc", *inner)
    two = counts("abc de", words=1, chars=4)
    assert not set(two) - set(counts("abc", words=1, chars=4)) - set(counts("de", words=1, chars=4))


def test_a_list_of_words_is_a_text() -> None:
    assert counts(["A", "cat"]) == counts("A cat")


def test_empty_text_gives_no_ngrams() -> None:
    for empty in ("", "  ", [], "...,"):
        encoded = Ngrams().encode(empty)
        assert encoded.shape == (0, 2) and encoded.dtype == np.float32


def test_limit_counts_words() -> None:
    assert counts("a b c d", limit=2) == counts("a b")


@given(st.text())
def test_ids_are_whole_ascending_and_in_range(text: str) -> None:
    encoded = Ngrams(chars=3).encode(text)
    ids = encoded[:, 0]
    assert (np.diff(ids) > 0).all() and ((ids >= 1) & (ids < SPACE)).all()
    assert (ids == ids.astype(np.int64)).all() and (encoded[:, 1] >= 1).all()


@pytest.mark.parametrize("options", [{"limit": 0}, {"words": 0}, {"chars": 2}])
def test_impossible_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UserError, match="too small"):
        Ngrams(**options)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(UserError, match="not text"):
        Ngrams().encode(5)


def test_longer_runs_than_the_text_cost_nothing() -> None:
    text, most = "the yes one", 10**30
    np.testing.assert_array_equal(
        Ngrams(words=most, chars=most).encode(text), Ngrams(words=3, chars=5).encode(text)
    )
