"""Counts of n-grams, against scikit-learn's."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from polymodal.base.errors import UserError
from polymodal.modalities.text.forms.ngrams import Ngrams
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


@given(st.text(alphabet="abc deé.,9_", max_size=60))
def test_counts_are_those_of_scikit_learn(text: str) -> None:
    theirs = CountVectorizer(token_pattern=r"(?u)\b\w+\b", ngram_range=(1, 3))
    analysed = Counter(theirs.build_analyzer()(text))
    assert counts(text, words=3) == expected(*analysed.elements())


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
