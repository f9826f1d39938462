"""Names of others move, colour and compute nothing: on a screen, in a CSV file."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.base.files import write_csv
from polymodal.base.say import say
from polymodal.base.spelling import inert
from polymodal.report.console import Show

ACTIVE = [
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b2J",
    "a\rb",
    "a\x08b",
    "\u202eright to left",
    "\u2066isolated",
    "half \ud800 a character",
    "\x7f",
    "\u2028",
]


@pytest.mark.parametrize("name", ACTIVE)
def test_nothing_active_reaches_a_screen(name: str) -> None:
    stream = io.StringIO()
    say(f"Column '{name}'", stream)
    Show(stream).console.print(f"Column '{name}'", markup=False)
    found = stream.getvalue()
    assert name not in found and found.isascii() and "\\u" in found
    assert all(c.isprintable() or c == "\n" for c in found)


def test_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    Show(stream).console.print("[bold red]name[/] [link=x]", markup=False)
    assert stream.getvalue().strip() == "[bold red]name[/] [link=x]"


@given(st.text())
def test_a_quoted_text_says_the_same(text: str) -> None:
    quoted = json.dumps(text, ensure_ascii=False)
    assert json.loads(inert(quoted)) == text
    assert inert(inert(text)) == inert(text)


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert inert(text) == text


FORMULAS = ["=1+1", "+cmd|x", "-2+3", "@SUM(A1)", " =1", "\t=1", "\r=1", "\n=1", "=", "＝1", "-a"]
PLAIN = ["-5", "+1.5", "-1e-3", "1,5", "-.5", "-12 %", "a=b", "", "no", 5, -5.0, None, "-1,234.5"]


def test_no_cell_of_a_csv_is_a_formula(tmp_path: Path) -> None:
    cells = [*FORMULAS, *PLAIN]
    write_csv(tmp_path / "p.csv", {"=HYPERLINK(1)": cells, "row": range(len(cells))})
    with open(tmp_path / "p.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["'=HYPERLINK(1)", "row"]
    assert [row[0] for row in rows[1:]] == [
        *(f"'{cell}" for cell in FORMULAS),
        *("" if cell is None else str(cell) for cell in PLAIN),
    ]
