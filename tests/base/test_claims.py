"""What is not ours is neither replaced nor removed, and one at a time writes a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from polymodal.base.claims import LOCK, locked, refuse_input, refuse_others
from polymodal.base.errors import UserError


@pytest.mark.parametrize("how", ["same", "dots", "link", "hard link", "glob"])
def test_what_is_read_is_not_written(how: str, tmp_path: Path) -> None:
    data = tmp_path / "t.csv"
    data.write_text("a\n1\n")
    out = {"dots": tmp_path / "x" / ".." / "t.csv", "link": tmp_path / "l"}.get(how, data)
    (tmp_path / "x").mkdir()
    if how == "link":
        out.symlink_to(data)
    if how == "hard link":
        out = tmp_path / "h"
        os.link(data, out)
    source = str(tmp_path / "*.csv") if how == "glob" else str(data)
    with pytest.raises(UserError, match="is the table that is read"):
        refuse_input(out, None, source)
    refuse_input(tmp_path / "other.csv", source, {"a": [1]})


def test_results_of_others_are_not_replaced(tmp_path: Path) -> None:
    def check() -> None:
        refuse_others(tmp_path, ["m.json", "r.html"], "m.json", ["rows"])

    check()
    (tmp_path / "r.html").write_text("mine")
    with pytest.raises(UserError, match=r"r\.html, which would be replaced"):
        check()
    for content in ("", "[]", "mine", '{"a": 1}', "[" * 100_000):
        (tmp_path / "m.json").write_text(content)
        with pytest.raises(UserError, match="would be replaced"):
            check()
    (tmp_path / "m.json").write_text('{"rows": 1}')
    check()


def test_a_folder_is_one_writers_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path):
        with pytest.raises(UserError, match="Another fit"), locked(tmp_path):
            pass
        code = f"from polymodal.base.claims import *\nwith locked(Path({str(tmp_path)!r})): pass"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "Another fit is writing" in found.stderr
    assert os.listdir(tmp_path) == []
    (tmp_path / LOCK).touch()  # of a process that was killed
    with locked(tmp_path):
        pass
    assert os.listdir(tmp_path) == []
