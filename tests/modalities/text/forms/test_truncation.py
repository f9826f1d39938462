"""A text form says it cut a text exactly when a longer limit would have kept more of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.contract.form import Form
from polymodal.modalities.text.forms.ngrams import Ngrams
from polymodal.modalities.text.forms.pretrained import Pretrained
from polymodal.modalities.text.forms.words import Words

Tuned = partial(Pretrained, tune=True)

WORDS = st.lists(st.sampled_from(["fox", "the-dog", "!", "a", "…", "über"]), max_size=9)


@given(words=WORDS, joined=st.booleans())
@pytest.mark.parametrize("form", [Ngrams, Words])
def test_cut_exactly_when_more_would_have_been_kept(
    form: Callable[..., Form], words: list[str], joined: bool
) -> None:
    cell = " ".join(words) if joined else words
    short, long = form(limit=4), form(limit=1000)
    kept_all = np.array_equal(short.encode(cell), long.encode(cell))
    assert short.was_truncated(cell) is not kept_all
    assert not long.was_truncated(cell)


@given(words=WORDS)
def test_pieces_are_counted_with_the_tokenizers_marks(bert_path: str, words: list[str]) -> None:
    short, long = (
        Tuned(path=bert_path, limit=8),
        Tuned(path=bert_path),
    )
    assert short.was_truncated(words) is (len(long.encode(words)) > 8)


def test_a_frozen_text_is_cut_at_what_its_model_takes(bert_path: str) -> None:
    form = Pretrained(path=bert_path)  # 64 positions, two of them for the tokenizer's marks
    assert not form.was_truncated("fox " * 62)
    assert form.was_truncated("fox " * 63)
    assert Pretrained(path=bert_path, limit=10).was_truncated("fox " * 9)
