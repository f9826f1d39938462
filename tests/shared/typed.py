"""A command as somebody types it, and what it answers; for the tests of any room."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from polymodal.cli import main as cli


def polymodal(*words: str) -> int:
    """The exit code of a command, run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["polymodal", *words])
        try:
            cli.main()
        except SystemExit as stopped:
            return int(stopped.code or 0)
    return 0


def files(folder: Path) -> list[str]:
    """What lies in a folder, but for the cache."""
    found = (path.relative_to(folder) for path in folder.rglob("*"))
    return sorted(str(path) for path in found if path.parts[0] != "cache")


def one_error(shown: str, says: str) -> str:
    """The one error on a screen, from its first line on; it says what it should."""
    assert "Traceback" not in shown
    starts = [i for i, line in enumerate(shown.splitlines()) if line.startswith("Error: ")]
    assert len(starts) == 1, shown
    error = "\n".join(shown.splitlines()[starts[0] :])
    assert says.lower() in " ".join(error.lower().split()), shown
    return error
