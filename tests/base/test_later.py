"""What waits for a module is done once, and only if somebody imports it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from polymodal.base.later import after


def test_it_is_done_when_the_module_is_there_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "waited_for.py").write_text("ready = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    seen: list[bool] = []
    before = list(sys.meta_path)
    after("waited_for", lambda: seen.append(sys.modules["waited_for"].ready))
    importlib.import_module("json.tool")
    assert seen == []
    try:
        importlib.import_module("waited_for")
        assert seen == [True]
        importlib.reload(sys.modules["waited_for"])
        assert seen == [True] and sys.meta_path == before
        after("waited_for", lambda: seen.append(False))
        assert seen == [True, False]
    finally:
        del sys.modules["waited_for"]


def test_a_module_that_is_nowhere_is_still_an_import_error() -> None:
    after("there_is_no_such_module", lambda: pytest.fail("it was called"))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("there_is_no_such_module")
