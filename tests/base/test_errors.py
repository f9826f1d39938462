"""What an error says suits whoever reads it: a function was called, or a command typed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pandas as pd
import pytest

import polymodal as pm
from polymodal.base.errors import UserError

ROOT = Path(pm.__file__).parent
# These are only ever read by who typed a command.
COMMANDS = {*(ROOT / "cli").glob("*.py"), ROOT / "quickstart.py", ROOT / "doctor.py"}
FLAG = re.compile(r"(?<![\w(-])--[a-z]|\(--[a-z]")


def words(path: Path) -> list[str]:
    """A file's string literals, formatted ones in parts."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and type(n.value) is str]


def test_no_message_below_the_command_line_names_a_flag() -> None:
    assert any(FLAG.search(word) for path in COMMANDS for word in words(path))
    files = set(ROOT.rglob("*.py")) - COMMANDS
    # A custom property of CSS is no flag, and pip's flags are not ours.
    found = {(path.name, word) for path in files for word in words(path) if FLAG.search(word)}
    ours = {one for one in found if not re.search(r'style="|^pip install|^--no-deps $', one[1])}
    assert ours == set()


def test_an_argument_is_named_as_it_is_written() -> None:
    table = pd.DataFrame({"note": ["x", "y"] * 10, "label": ["a", "b"] * 10})
    with pytest.raises(UserError, match=r"no column 'person' \(group\)"):
        pm.fit(table, "label", group="person")
    with pytest.raises(UserError, match="name it: target='COLUMN'"):
        pm.fit(table)


def test_no_error_is_a_book() -> None:
    error = UserError("x" * 10**6, expected="y" * 10**6, got="z" * 10**6, do="w")
    assert len(str(error)) < 7000 and error.got.endswith("z") and "..." in error.got
