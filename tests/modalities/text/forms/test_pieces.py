"""A tokenizer of one's own: text in, text out, whatever the script."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.base.errors import UserError
from polymodal.modalities.text.forms.pieces import CLS, LONGEST, MARKS, MASK, PAD, SEP, UNK, Pieces

SCRIPTS = [
    "The quick brown fox doesn't jump over the lazy dog!",
    "Der schnelle Fuchs springt über den faulen Hund; l’été, ça va.",
    "नमस्ते दुनिया, यह एक परीक्षण है",
    "你好世界,这是一个测试。",
    "こんにちは、世界。カタカナ",
    "สวัสดีชาวโลก",
    "مرحبا بالعالم، هذا اختبار",
    "שלום עולם",
    "안녕하세요 세계",
    "Ελληνικά ΟΔΟΣ, кириллица",
    "👩‍👩‍👧 ❤️ 🇪🇺 1️⃣",
    "3.5 € -12 % C++ a_b <br/> x²",
]


@pytest.fixture(scope="module")
def form() -> Pieces:
    made = Pieces(limit=64)
    made.fit(SCRIPTS * 2)
    return made


@pytest.mark.parametrize("text", [*SCRIPTS, "", " ", "  two  blanks \n\t", "Unseen Ωords! 東京"])
def test_a_text_is_given_back_to_the_letter(form: Pieces, text: str) -> None:
    array = form.encode(text)
    assert form.decode(array) == text
    assert form.decode(array[:, 0]) == text
    assert array[0].tolist() == [CLS, 0] and array[-1].tolist() == [SEP, 0]
    assert array[:, 1].max() == len(text.split())
    assert not set(array[:, 0].tolist()) & {PAD, UNK, MASK}


@given(text=st.text(max_size=15))
def test_so_is_any_text(form: Pieces, text: str) -> None:
    assert form.decode(form.encode(text)) == text.encode("utf-8", "replace").decode()


def test_marks_in_a_text_are_letters(form: Pieces) -> None:
    array = form.encode(" ".join(MARKS))
    assert (array[1:-1, 0] >= len(MARKS)).all() and form.decode(array) == " ".join(MARKS)


def test_a_word_is_the_same_pieces_wherever_it_stands(form: Pieces) -> None:
    first, last = form.encode("lazy brown"), form.encode("brown lazy")
    assert first[first[:, 1] == 1, 0].tolist() == last[last[:, 1] == 2, 0].tolist()


def test_what_comes_often_is_one_piece() -> None:
    form = Pieces()
    form.fit(["the cat sat"] * 3 + ["the dog"])
    assert len(form.encode("the cat sat")) == 2 + 3
    # "dog" comes once: bytes, and the blank.
    assert len(form.encode("dog")) == 2 + 4


def test_it_is_no_larger_than_asked() -> None:
    form = Pieces(vocabulary=300)
    form.fit(SCRIPTS * 5)
    assert form.count == 300 == len(set(form.names))
    assert form.names[:5] == list(MARKS)
    smallest = Pieces(vocabulary=261)
    smallest.fit(SCRIPTS)
    assert smallest.count == 261 and smallest.decode(smallest.encode("größer")) == "größer"
    with pytest.raises(UserError, match="vocabulary=260 is too small"):
        Pieces(vocabulary=260)


def test_order_of_rows_and_process_do_not_matter(form: Pieces) -> None:
    turned = Pieces(limit=64)
    turned.fit(SCRIPTS[::-1] * 2)
    assert turned.state == form.state
    code = (
        "import json, sys; from polymodal.modalities.text.forms.pieces import Pieces;"
        "form = Pieces(limit=64); form.fit(json.loads(sys.argv[1]) * 2); print(form.fingerprint)"
    )
    run = [sys.executable, "-c", code, json.dumps(SCRIPTS)]
    other = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    assert other == form.fingerprint


def test_state_is_all_there_is_to_know(form: Pieces) -> None:
    other = Pieces(**form.settings)
    assert other.fingerprint != form.fingerprint
    other.state = json.loads(json.dumps(form.state))
    assert other.fingerprint == form.fingerprint and other.names == form.names
    for text in SCRIPTS:
        np.testing.assert_array_equal(other.encode(text), form.encode(text))


def test_long_texts_are_cut_and_closed() -> None:
    form = Pieces(vocabulary=261, limit=10)
    array = form.encode("abcdefghijkl")
    assert len(array) == 10 and array[-1, 0] == SEP
    # A blank stands before the first word.
    assert form.decode(array) == "abcdefg"
    assert form.was_truncated("abcdefghijkl") and form.was_truncated("abcdefgh")
    assert not form.was_truncated("abcdefg")
    assert form.was_truncated(["ab"] * 9) and not form.was_truncated(["ab", "cd"])


def test_a_text_without_end_takes_no_longer() -> None:
    form = Pieces(limit=10)
    form.fit(["ab" * 5_000_000])
    assert form.was_truncated("ab" * 5_000_000)
    assert len(form.encode("ab" * 5_000_000)) == 10
    assert max(map(len, form.names)) <= LONGEST
    assert len(form.encode(["ab"] * 5000)) == 10


def test_words_of_a_list_have_pieces_each(form: Pieces) -> None:
    words = ["the", "", "a b", "\x1c", "fox"]
    array = form.encode(words)
    assert set(array[1:-1, 1].tolist()) == {1, 2, 3, 4, 5}
    assert array[array[:, 1] == 2, 0].tolist() == [UNK]
    assert form.decode(form.encode(["the", "fox"])) == "the fox"


def test_halves_of_characters_are_question_marks(form: Pieces) -> None:
    assert form.decode(form.encode("a \ud800")) == "a ?"


def test_lower() -> None:
    form = Pieces(lower=True)
    form.fit(["The Fox", "the fox"])
    np.testing.assert_array_equal(form.encode("THE FOX"), form.encode("the fox"))
    assert form.decode(form.encode("The İ")) == "the i̇"
    assert form.encode("The İ x")[:, 1].max() == 3


def test_without_a_row_there_are_bytes() -> None:
    form = Pieces()
    form.fit([])
    assert form.count == 261
