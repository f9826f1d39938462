"""Words in every script."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.base import words

TEXTS = st.text(st.sampled_from("ab é,。 很好กำไรक्षि한！\u200b\u3000\n😀-5+"), max_size=20)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Don't, he said.", ["Don't,", "he", "said."]),
        ("我爱iPhone15，很!", ["我", "爱", "iPhone15", "，", "很", "!"]),
        ("กำไร ดี", ["กำ", "ไ", "ร", "ดี"]),
        ("ខ្មែរ", ["ខ្មែ", "រ"]),
        ("コーヒー\u3000です。", ["コ", "ー", "ヒ", "ー", "で", "す", "。"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("한국어 문장", ["한국어", "문장"]),
        (" \n", []),
    ],
)
def test_pieces_that_can_be_labelled(text: str, pieces: list[str]) -> None:
    assert words.split(text) == pieces


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The cat's mat, 3.5 m_2!", ["the", "cat", "s", "mat", "3", "5", "m", "2"]),
        ("我爱iPhone。", ["我", "爱", "iphone"]),
        ("हिन्दी", ["हिन्दी"]),
        ("می‌خواهم", ["می‌خواهم"]),
        ("I 😀 👍🏿 🇩🇪 €5", ["i", "😀", "👍🏿", "🇩🇪", "€", "5"]),
        ("e\u0301té co\u00adop", ["été", "coop"]),
        ("«Да», سلام؟", ["да", "سلام"]),
    ],
)
def test_words_that_are_compared(text: str, found: list[str]) -> None:
    assert words.words(text) == found


def test_marks_are_words_where_they_are_asked_for() -> None:
    assert words.words("No!! :-) <3 a_b (x)", marks=True) == ["no", "!!", ":-)", "<3", "a_b", "x"]
    assert words.words("很好！ :-)", marks=True) == ["很", "好", "!", ":-)"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("C++, or C#?", ["c++", "c#"]),
        ("-5 − 7 (−5)", ["-5", "-5"]),
        ("A- is nice- or -well", ["a-"]),
        ("50% of $9.99 at 12:30", ["50%", "$9.99", "12:30"]),
        ("很冷-5度<7", ["-5", "<7"]),
        ("Plain words, don't (really).", []),
        ("~ ~~ ~5", ["~5"]),
        ("https://example.org/a/very/long/address?x=1", []),
    ],
)
def test_pieces_whose_signs_say_something(text: str, found: list[str]) -> None:
    assert words.signed(text) == found


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 0),
        ("one two", 2),
        ("北京", 1),
        ("这个手机的电池用了三天就坏了", 7),
        ("กรุงเทพมหานคร", 3),
        ("サッカー", 1),
        ("iPhone手机", 2),
        ("。", 1),
    ],
)
def test_about_how_many_words(text: str, number: int) -> None:
    assert words.count(text) == number


@given(TEXTS)
def test_pieces_are_replaced_where_they_stand(text: str) -> None:
    pieces = words.split(text)
    assert words.replaced(text, pieces) == text
    assert words.replaced(text, ["x"] * len(pieces)).count("x") == len(pieces)


@pytest.mark.parametrize("text", ["Don't stop.", "我爱iPhone，很 good!", "กำไร ok ok"])
def test_pieces_are_a_line_again(text: str) -> None:
    line = words.joined(words.split(text))
    assert words.split(line) == words.split(text) and len(line) <= len(text)


@given(TEXTS)
def test_how_a_text_is_composed_does_not_matter(text: str) -> None:
    apart, whole = (unicodedata.normalize(form, text) for form in ("NFD", "NFC"))
    assert words.words(apart, marks=True) == words.words(whole, marks=True)
    assert words.signed(apart) == words.signed(whole)
    assert len(words.split(apart)) == len(words.split(whole))


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_texts_fall_into_the_words_of_every_text(text: str) -> None:
    for marks in (False, True):
        # A letter beyond ASCII takes the other way.
        assert [*words.words(text, marks=marks), "é"] == words.words(f"{text} é", marks=marks)
