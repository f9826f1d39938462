"""Columns of figures on a screen."""

from __future__ import annotations

import pytest

from polymodal.report.words import grid


def test_what_fits_is_one_table() -> None:
    assert grid([["", "value"], ["accuracy", "0.9"], ["f1", "0.85"]]) == [
        "          value",
        "accuracy    0.9",
        "f1         0.85",
    ]


@pytest.mark.parametrize("rivals", [1, 4, 12])
@pytest.mark.parametrize("name", ["accuracy", "a" * 300])
def test_no_line_is_wider_than_a_screen_and_no_cell_is_lost(rivals: int, name: str) -> None:
    cells = [f"{i}.0000 [0.0000, 1.0000]" for i in range(rivals)]
    shown = grid([["label", *(f"only rival {i}" for i in range(rivals))], [name, *cells]])
    assert max(map(len, shown)) <= 80
    text = "\n".join(shown)
    assert all(cell in text and f"only rival {i}" in text for i, cell in enumerate(cells))


def test_what_stands_below_is_named_again() -> None:
    shown = grid([["x", "a" * 40, "b" * 40], ["line", "1", "2"]])
    assert [line[:4].strip() for line in shown] == ["x", "line", "", "x", "line"]
