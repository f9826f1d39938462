"""Words to hashes: what is told apart, what is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.base.errors import UserError
from polymodal.base.words import split
from polymodal.modalities.text.forms.words import Words
from polymodal.modalities.text.hashing import SHAPES, SPACE

GOLD = [
    [2907784, 213, 501591, 296348, 2821205, 3779219],
    [2874753, 943, 2411279, 2258241, 0, 0],
]


def row(word: str, **options: int) -> np.ndarray:
    encoded = Words(**options).encode([word])
    assert len(encoded) == 1
    return encoded[0]


def test_a_string_is_cut_at_white_space() -> None:
    form = Words()
    np.testing.assert_array_equal(
        form.encode("  Anna\tsees \n Bob "), form.encode(["Anna", "sees", "Bob"])
    )
    assert form.encode("Anna sees Bob").shape == (3, 14)


def test_no_words_give_no_rows() -> None:
    for empty in ("", "  \n", []):
        encoded = Words(subwords=5).encode(empty)
        assert encoded.shape == (0, 7) and encoded.dtype == np.int32


def test_case_is_in_the_shape_only() -> None:
    lower, upper = row("london"), row("London")
    assert lower[1] != upper[1]
    np.testing.assert_array_equal(np.delete(lower, 1), np.delete(upper, 1))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("London", "Xerox", True),
        ("USA", "NATO", True),
        ("I", "USA", False),
        ("10", "2024", True),
        ("10", "10th", False),
        ("#fun", "#day", True),
        ("#fun", "@fun", False),
        ("http://a.de", "https://example.com/long/Path?q=1", True),
        ("iPhone", "phone", False),
        ("!", ".", False),
        ("Ärger", "Zorn", True),
    ],
)
def test_shapes(one: str, other: str, same: bool) -> None:
    assert (row(one)[1].item() == row(other)[1].item()) is same


def test_links_and_names_of_users_are_one_word_each() -> None:
    np.testing.assert_array_equal(row("http://a.de"), row("www.example.com/x"))
    np.testing.assert_array_equal(row("@anna"), row("@bob"))
    assert row("@anna")[0] != row("anna")[0]
    assert (row("@anna")[2:] == 0).all()


def test_related_words_share_parts() -> None:
    def parts(word: str) -> set[int]:
        return set(row(word, subwords=12)[2:].tolist()) - {0}

    assert len(parts("running") & parts("runner")) >= 3
    assert len(parts("running") & parts("sitting")) >= 3
    assert not parts("running") & parts("cat")
    # The beginning "in" is another part than the ending "in".
    assert len(parts("in")) == 4


def test_subwords_only_cut_the_list_of_parts() -> None:
    np.testing.assert_array_equal(row("extraordinary", subwords=4), row("extraordinary")[:6])
    assert row("extraordinary", subwords=0).shape == (2,)


def test_limit_keeps_the_first_words() -> None:
    text = "a b c d e"
    np.testing.assert_array_equal(Words(limit=3).encode(text), Words().encode(text)[:3])


@given(st.text())
def test_any_text_has_ids_in_range(text: str) -> None:
    encoded = Words(limit=10_000).encode(text)
    assert len(encoded) == len(split(text))
    assert ((encoded >= 0) & (encoded < SPACE)).all()
    assert ((encoded[:, 1] >= 1) & (encoded[:, 1] < SHAPES)).all()
    assert (encoded[:, 0] >= 1).all()


def test_lone_surrogates_are_taken() -> None:
    assert Words().encode("\ud800 fine").shape == (2, 14)


def test_hashes_are_the_same_everywhere() -> None:
    # Written down once: another process, machine or version must give the same.
    assert Words(subwords=4).encode("Anna 7").tolist() == GOLD


@pytest.mark.parametrize("cell", [3.5, None, ["a", 2], {"a": 1}])
def test_what_is_no_text_is_refused(cell: object) -> None:
    with pytest.raises(UserError, match="not text"):
        Words().encode(cell)


@pytest.mark.parametrize("options", [{"limit": 0}, {"subwords": -1}])
def test_impossible_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UserError, match="too small"):
        Words(**options)


def test_fingerprint_follows_the_options() -> None:
    assert Words().fingerprint == Words().fingerprint
    assert (
        len({Words(limit=1).fingerprint, Words(subwords=1).fingerprint, Words().fingerprint}) == 3
    )
