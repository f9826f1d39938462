"""Pieces, against calling the tokenizer directly."""

from __future__ import annotations

import pickle
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polymodal.base.errors import UserError
from polymodal.modalities.text.forms.pretrained import Pretrained
from polymodal.modalities.text.forms.words import Words
from polymodal.nn import processors

Tuned = partial(Pretrained, tune=True)

TEXTS = ["The quick, brown fox!", "Anna's house  in LONDON", "a", "http://example.com @anna"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_string_is_cut_as_the_tokenizer_cuts_it(
    text: str, bert_path: str, gpt2_path: str
) -> None:
    for path in (bert_path, gpt2_path):
        ids = Tuned(path=path).encode(text)[:, 0].tolist()
        assert ids == processors.tokenizer(path)(text)["input_ids"]


def test_words_are_those_of_the_tokenizer(bert_path: str) -> None:
    words = ["The", "quick,", "Foxes", "in", "London!!"]
    encoded = Tuned(path=bert_path).encode(words)
    theirs = processors.tokenizer(bert_path)(words, is_split_into_words=True)
    assert encoded[:, 0].tolist() == theirs["input_ids"]
    numbers = [0 if number is None else number + 1 for number in theirs.word_ids()]
    assert encoded[:, 1].tolist() == numbers


def test_a_piece_with_a_space_belongs_to_the_word_after_it(gpt2_path: str) -> None:
    form = Tuned(path=gpt2_path)
    encoded = form.encode(["the", "quick", "fox"])
    assert encoded[0, 1] == 1 and encoded[-1, 1] == 3
    assert (np.diff(encoded[:, 1]) >= 0).all()
    np.testing.assert_array_equal(encoded, form.encode("the quick fox"))


def test_shapes_are_those_of_the_words(bert_path: str) -> None:
    words = ["Anna", "sees", "NATO", "10"]
    encoded = Tuned(path=bert_path).encode(words)
    shapes = Words().encode(words)[:, 1]
    for _, number, shape in encoded.tolist():
        assert shape == (shapes[number - 1] if number else 0)


def test_every_word_has_a_piece(bert_path: str) -> None:
    # The normaliser of BERT drops control characters.
    encoded = Tuned(path=bert_path).encode(["\u0001", "fox", "\u0001", "dog", "\u0001"])
    unknown = processors.tokenizer(bert_path).unk_token_id
    assert set(encoded[:, 1].tolist()) == {0, 1, 2, 3, 4, 5}
    assert encoded[:, 1].tolist() == [*sorted(encoded[:-1, 1].tolist()), 0]
    for number in (1, 3, 5):
        assert encoded[encoded[:, 1] == number, 0].tolist() == [unknown]
    only = Tuned(path=bert_path).encode(["\u0001"])
    assert only[:, 1].tolist() == [0, 1, 0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(words=st.lists(st.text(st.characters(codec=None), min_size=1, max_size=6), max_size=6))
def test_any_list_of_words_keeps_its_count(words: list[str], bert_path: str) -> None:
    numbers = Tuned(path=bert_path).encode(words)[:, 1]
    assert set(numbers.tolist()) - {0} == set(range(1, len(words) + 1))


def test_limit_keeps_the_closing_mark(bert_path: str) -> None:
    whole = Tuned(path=bert_path).encode("the quick brown fox")
    cut = Tuned(path=bert_path, limit=4).encode("the quick brown fox")
    np.testing.assert_array_equal(cut, np.concatenate([whole[:3], whole[-1:]]))
    # The model itself has 64 positions, and the form says so.
    assert Tuned(path=bert_path).limit == 64
    assert len(Tuned(path=bert_path).encode("fox " * 100)) == 64
    with pytest.raises(UserError, match="limit=1 is too small"):
        Tuned(path=bert_path, limit=1)


def test_empty_text(bert_path: str, gpt2_path: str) -> None:
    assert Tuned(path=bert_path).encode("")[:, 1].tolist() == [0, 0]
    assert Tuned(path=gpt2_path).encode("").shape == (0, 3)


def test_fingerprint_goes_by_content(bert_path: str, gpt2_path: str, tmp_path: Path) -> None:
    shutil.copytree(bert_path, tmp_path / "copy")
    here = Tuned(path=bert_path).fingerprint
    assert Tuned(path=str(tmp_path / "copy")).fingerprint == here
    assert Tuned(path=bert_path, limit=9).fingerprint != here
    assert Tuned(path=gpt2_path).fingerprint != here


def test_it_travels_to_other_processes(bert_path: str) -> None:
    form = Tuned(path=bert_path)
    encoded = form.encode("the fox")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(form)).encode("the fox"), encoded)
