"""Edit distance against the plain table; error rates against worked examples."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from polymodal.base.words import words
from polymodal.metrics.edits import characters, distance, errors

few = st.text("abc", max_size=9)


def table(a: str, b: str) -> int:
    """Wagner and Fischer's."""
    row = list(range(len(b) + 1))
    for i, one in enumerate(a, 1):
        before, row = row, [i]
        for j, other in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (one != other)))
    return row[-1]


@given(few, few)
def test_it_is_what_the_table_says(a, b):
    assert distance(a, b) == table(a, b) == distance(b, a)


def test_long_sequences_of_words():
    a, b = ["x", "y"] * 200, ["y", "x"] * 200
    assert distance(a, b) == 2 and distance(a, []) == distance([], a) == 400


def test_error_rates_of_worked_examples():
    """One word of three replaced; the nearest reference counts; capitals and marks do not."""
    given = [["the cat sat"], ["a b", "hello, World!"], ["one"]]
    wrong, length = errors(["The cat sits.", "hello world", ""], given, words)
    assert wrong.tolist() == [1, 0, 1] and length.tolist() == [3, 2, 1]
    wrong, length = errors(["The cat sits."], [["the cat sat"]], characters)
    assert wrong.tolist() == [2] and length.tolist() == [11]
