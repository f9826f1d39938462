"""Answers: VQA accuracy's known values, what counts as the same answer, and what is no answer."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.base.errors import UserError
from polymodal.metrics import answers


def value(found: dict, name: str, weights: list[float]) -> float:
    return float(found[name].statistic(np.array([weights]))[0])


@pytest.mark.parametrize(
    ("matches", "wanted"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)]
)
def test_vqa_accuracy_known_answers(matches, wanted):
    assert answers.vqa_accuracy(matches, 10) == pytest.approx(wanted, abs=1e-12)
    given = ["red"] * matches + ["blue"] * (10 - matches)
    assert value(answers.answers(["Red."], [given]), "vqa_accuracy", [1]) == pytest.approx(wanted)


@given(st.integers(4, 12), st.data())
def test_vqa_accuracy_by_leaving_each_annotator_out(annotators, data):
    matches = data.draw(st.integers(0, annotators))
    right = [True] * matches + [False] * (annotators - matches)
    sets = [right[:i] + right[i + 1 :] for i in range(annotators)]
    wanted = np.mean([min(1, sum(one) / 3) for one in sets])
    assert answers.vqa_accuracy(matches, annotators) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The Dog.", "dog"),
        ("an umbrella", "Umbrella!"),
        ("Two", "2"),
        ("none", "0"),
        ("dont", "don't"),
        ("don’t know", "dont know"),
        ("what's up", "whats up"),
        ("couldn't've", "couldntve"),
        ("t-shirt", "T shirt"),
        ("1,000", "1000"),
        ("\N{MINUS SIGN}5", "-5"),
        ("u.s.", "US"),
        ("'yes'", "yes"),
        ("red,blue", "red, blue"),
        (" black   and white ", "black and white"),
        ("snake_case", "snake case"),
        ("红色。", "红 色"),
        ("「はい」", "はい"),
        ("ใช่ ครับ", "ใช่ครับ"),
        ("cafe\u0301", "Café"),
        ("≥ 5", "≥ 5."),
    ],
)
def test_the_same_answer(one, other):
    assert answers.normalised(one) == answers.normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3.5", "35"),
        ("-5", "5"),
        ("\N{MINUS SIGN}5", "5"),
        ("10:30", "1030"),
        ("$5", "5"),
        ("50%", "50"),
        ("dog's", "dogs"),
        ("a", "the"),
        ("?", "!"),
        ("ten thousand", "1000"),
        ("theme", "me"),
        ("C++", "++"),
        ("C++", "C"),
        ("A+", "A"),
        ("<5", ">5"),
        ("很 😀", "很 😡"),
        ("红色", "红"),
        ("हिन्दी", "हनद"),
    ],
)
def test_not_the_same_answer(one, other):
    assert answers.normalised(one) != answers.normalised(other)


def test_weights_are_repeated_rows_and_nothing_said_is_wrong():
    given = [["yes"] * 10, ["no"] * 2 + ["yes"] * 8, ["blue"] * 10]
    found = answers.answers(["yes", "no", None], given)
    assert value(found, "vqa_accuracy", [1, 1, 1]) == pytest.approx(1.6 / 3)
    assert value(found, "vqa_accuracy", [2, 0, 1]) == pytest.approx(2 / 3)
    assert value(found, "exact_match", [1, 1, 1]) == pytest.approx(2 / 3)


def test_too_few_annotators_for_vqa_accuracy():
    found = answers.answers(["cat", "cat"], [["a cat", "dog"], ["dog"]])
    assert set(found) == {"exact_match"}
    assert value(found, "exact_match", [1, 1]) == 0.5


@pytest.mark.parametrize(
    ("pattern", "text", "wanted"),
    [
        ("marked", "We add them. Answer: 3.5.", "3.5"),
        ("marked", "**Answer:** a red bus\nBecause it is.", "a red bus"),
        ("marked", "So the answer is 42", "42"),
        ("marked", r"thus \boxed{17}, and not 18", "17"),
        ("marked", "<think>answer: 1</think><answer> two </answer>", "two"),
        ("marked", "4 + 4 = 8\n#### 8", "8"),
        ("marked", "Answer: 3. No, wait. Answer: 4.", None),
        ("marked", "Answer: 3.\nAgain: the answer is 3", "3"),
        ("marked", "Answer: 10 a.m.", "10 a.m."),
        ("marked", "The answer is St. John.", "St. John"),
        ("marked", "**Answer: U.S. Navy.**\nThey sail.", "U.S. Navy"),
        ("marked", "I cannot see that.", None),
        ("marked", "Answer:", None),
        ("choice", "B", "B"),
        ("choice", "(C) a dog", "C"),
        ("choice", "B. a cat", "B"),
        ("choice", "The answer is (B), because (A) is too small.", "B"),
        ("choice", "Answer: **D**", "D"),
        ("choice", "Answer: A cat", None),
        ("choice", "I think it is a cat", None),
        ("choice", "either (A) or (B)", None),
        ("choice", "A cat", None),
        ("choice", "The answer is A because\nB. is not a dog", None),
        ("choice", "The correct answer is B since (A) is too small", None),
        ("choice", "The answer is not (A).", None),
        ("choice", "The answer isn't (A).", None),
        ("choice", "The answer is (A) or (B).", None),
        ("choice", "Answer: A, B and C", None),
        ("choice", "The answer is B, I think", "B"),
        ("choice", "The answer is option (B)", "B"),
        ("choice", r"The answer is $\boxed{B}$.", "B"),
        ("choice", "A) or (B)", None),
        ("choice", "A: a cat\nB: a dog", None),
        ("choice", "painted by J. Smith", None),
        ("number", "there are 12 of them", "12"),
        ("number", "about -3.5 degrees", "-3.5"),
        ("number", "1,250 in all, that is 1250", "1,250"),
        ("number", "2 or 3", None),
        ("number", "many", None),
        ("number", "3.5%", None),
        ("number", "1,234%", None),
        ("number", "12 percent", None),
        ("number", "10.5kg", None),
        ("number", "3.5e6", None),
        ("number", "3.5e-6", None),
        ("number", "3.5 million", None),
        ("number", "5-5", None),
        ("number", "5 + 5", None),
        ("number", "1/2", None),
        ("number", "10:30", None),
        ("number", "1,2345", None),
        ("number", "12,5", None),
        ("number", "3.5% in 2 years", None),
        ("number", "the 2nd of 12.", "12"),
        ("number", "\N{MINUS SIGN}5", "-5"),
        ("yesno", "Yes, it is.", "Yes"),
        ("yesno", "yes. YES!", "yes"),
        ("yesno", "There is no cat, so yes.", None),
        ("yesno", "nothing", None),
        (r"final=(\w+)", "draft=1 final=2", "2"),
        (r"final=(\w+)", "draft=1", None),
    ],
)
def test_answers_are_extracted_and_never_guessed(pattern, text, wanted):
    assert answers.extractor(pattern)(text) == wanted


@pytest.mark.parametrize(
    ("pattern", "word"),
    [("chioce", "did you mean 'choice'"), ("(a)(b)", "2 groups"), ("(", "unterminated")],
)
def test_what_is_no_pattern(pattern, word):
    with pytest.raises(UserError, match=word):
        answers.extractor(pattern)


@pytest.mark.parametrize("pattern", [r"(a|aa)+$", r"((?:a|aa)+)c", r"((?:a+)+)$", r"(.*a){20}$"])
def test_no_pattern_is_waited_for(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "SECONDS", 0.05)
    start = time.process_time()
    try:
        assert answers.extractor(pattern)("a" * 60 + "b") is None
    except UserError as error:
        assert pattern in error.what and "seconds in one text" in error.what  # noqa: PT017
    assert time.process_time() - start < 2
    with pytest.raises(UserError, match=r"seconds in one text[\s\S]*overlap"):
        answers.extractor(r"(a|aa)+$")("a" * 60 + "b")
