"""Types of options in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest

from polymodal.base.hints import called, example


@pytest.mark.parametrize(
    ("hint", "words", "such"),
    [
        (int, "a whole number", 3),
        (float | None, "a finite number or none", 0.5),
        (bool, "true or false", True),
        (Sequence[str], "a list of texts", ["given", "another"]),
        (list[int] | None, "a list of whole numbers or none", [3]),
        (Sequence[Mapping[str, str]], "a list", [{"type": "object"}]),
        (str | dict[str, Any], "a text or a mapping", "another"),
        (Mapping[str, Any] | None, "a mapping or none", {"type": "object"}),
        (Literal["all", "few"], "'all' or 'few'", "all"),
    ],
)
def test_a_type_is_called_in_words_and_has_an_example(hint: Any, words: str, such: Any) -> None:
    assert called(hint) == words
    assert example(hint, "given") == such
