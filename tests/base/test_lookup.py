"""Names of components: what is one, and which files they may have executed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from polymodal.base import lookup
from polymodal.base.errors import UserError

EVIL = "raise SystemExit('executed')\n"
# Names that no component has, whatever files there are.
NAMES = [
    "evil.py:",
    "evil.py:1",
    "evil.py:a b",
    "evil.py:X\n",
    "\nevil.py:X",
    "ev\nil.py:X",
    "evil.PY:X",
    "evil.txt:X",
    "evil:X",
    ":X",
    ".py:X",
    "..py:X",
    "evil.py:X.Y",
    "evil.py::X",
    "evil.py:X:Y",
    "evil.pyc:X",
    "evil.so:X",
    "evil.py\0:X",
    "evil.py/:X",
    "../gated",
    "gated.py",
    "Gated",
    "os",
    "__init__",
    "_parts",
    "",
]


def test_every_built_in_name_is_one() -> None:
    for folder, name, _ in lookup.catalogue():
        assert lookup.BUILTIN.fullmatch(name) and lookup.own(name) is None, folder


@pytest.mark.parametrize("name", ["a.py:X", "/b/my file.py:Évil", "../a.py:X_1", "a:b.py:X"])
def test_a_file_and_a_class(name: str) -> None:
    assert lookup.own(name) == tuple(name.rsplit(":", 1))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_name_executes_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("evil.py", "evil.PY", "evil.txt", "evil", "evil.pyc", "ev\nil.py", "\nevil.py"):
        Path(file).write_text(EVIL)
    with pytest.raises(UserError, match="There is no fusion called"):
        lookup.find("fusion", name)


@pytest.mark.parametrize("folder", ["../../tmp", "fusion/..", "fusion//x", "modalities/a.b", ""])
def test_what_is_no_folder_is_not_listed(folder: str) -> None:
    with pytest.raises(UserError, match="no folder of components"):
        lookup.find(folder, "gated")


def test_only_what_is_allowed_is_executed(tmp_path: Path) -> None:
    inner, evil = tmp_path / "code", tmp_path / "evil.py"
    inner.mkdir()
    evil.write_text(EVIL)
    (inner / "good.py").write_text("class X: pass")
    (inner / "link.py").symlink_to(evil)
    with lookup.only_in(inner):
        assert lookup.find("fusion", f"{inner}/good.py:X").__name__ == "X"
        for name in (f"{evil}:X", f"{inner}/../evil.py:X", f"{inner}/link.py:X"):
            with pytest.raises(UserError, match="may not be executed here"):
                lookup.find("fusion", name)
    with lookup.only_in(), pytest.raises(UserError, match="may not be executed here"):
        lookup.find("fusion", f"{inner}/good.py:X")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("class X(:", r"SyntaxError.*line"),
        ("import nothing_like_it", r"ModuleNotFoundError.*line 1"),
        ("\n\n1 / 0", r"ZeroDivisionError.*line 3"),
        ("x = '\\ud800'.encode()", r"UnicodeEncodeError"),
        ("\0", r"null bytes"),
    ],
)
def test_a_file_that_fails_is_an_error_with_its_line(
    source: str, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(source)
    with pytest.raises(UserError, match=rf"(?s)cannot be executed.*{words}"):
        lookup.find("fusion", f"{file}:X")


@pytest.mark.parametrize(
    "source",
    [
        "def __init__(self): pass",
        "def __init__(self, names, width, depth): pass",
        "def __init__(self, names, width): self.a = names[99]",
        "def __new__(cls, *a): raise KeyError('a')",
    ],
)
def test_a_class_that_cannot_be_built_is_an_error(source: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"class X:\n    {source}\n")
    with warnings.catch_warnings(), pytest.raises(UserError, match=r"(?s)cannot be built.*takes"):
        lookup.build("fusion", f"{file}:X", ["a", "b"], 8)


@pytest.mark.parametrize(
    ("folder", "spec", "option"),
    [
        ("tuning", "encoder", "names"),
        ("tuning", {"name": "mixed", "decay": 0.5}, "rates"),
        ("tasks", {"name": "masked_text", "share": 0.2}, "modality"),
    ],
)
def test_an_option_that_must_be_given_is_asked_for(folder: str, spec: Any, option: str) -> None:
    context = ["y"] if folder == "tasks" else []
    with pytest.raises(UserError, match=f"(?s)not told its option '{option}'.*{option}: ..."):
        lookup.build(folder, spec, *context)


def test_what_fails_in_a_component_of_ones_own_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("class X:\n    def forward(self):\n        return {}['a']\n")
    own = lookup.find("fusion", f"{file}:X")()
    for act, words in (
        (own.forward, r"KeyError: 'a' \(line 3\)"),
        (lambda: own.forward(1), "takes 1 positional argument but 2 were given"),
        (lambda: own.backward(), "no attribute 'backward'"),
    ):
        with pytest.raises(UserError, match=words), lookup.blaming(lambda: ["a", f"{file}:X"]):
            act()
        with pytest.raises((KeyError, TypeError, AttributeError)), lookup.blaming(lambda: ["a"]):
            act()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("returnd", "returned"),
        ("Returned", "returned"),
        ("unit-price", "unit_price"),
        ("UnitPrice", "unit_price"),
        ("notes", "note"),
        ("city", None),
        ("preis", None),
        ("note of the customer", None),
        ("", None),
        ("??", None),
    ],
)
def test_only_names_that_are_nearly_alike_are_meant(name: str, near: str | None) -> None:
    assert lookup.nearest(name, ["returned", "unit_price", "note", "date"]) == near
