"""Every example of the README and of docs/ runs, in order, page by page.

A block whose first line is a comment with a file name is written to that file; other Python blocks
are executed, and lines of bash blocks that call polymodal are run. Text blocks are not run.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from polymodal.data.builtin import scenes

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(bash|python|yaml)\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"^# (\S+\.(?:py|yaml|csv))\b")
LINK = re.compile(r"\]\((?!https?://)([^)#]+)")


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages' reader is supposed to have: train.csv, test.csv, new.csv and media."""
    folder = tmp_path_factory.mktemp("docs")
    paths = scenes.write(folder, rows=160, seed=1)
    for name, path in paths.items():
        assert Path(path) == folder / f"{name}.csv"
    frame = pd.read_csv(folder / "test.csv")
    frame.drop(columns="answer").head(5).to_csv(folder / "new.csv", index=False)
    picture = folder / str(frame["picture"][0])
    shutil.copy(picture, picture.with_name("new.png"))
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_examples_run(
    page: Path, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "reader"
    shutil.copytree(tables, folder)
    monkeypatch.setenv("POLYMODAL_CACHE", str(tables.parent / "cache"))
    monkeypatch.chdir(folder)
    script: list[str] = []
    for language, code in BLOCK.findall(page.read_text(encoding="utf-8")):
        named = FILE.match(code)
        if named:
            Path(named[1]).write_text(code)
        elif language == "python":
            script.append(code)
        elif language == "bash":
            for line in code.replace("\\\n", " ").splitlines():
                if line.startswith("polymodal "):
                    run([sys.executable, "-m", "polymodal", *shlex.split(line, True)[1:]])
    if script:
        run([sys.executable, "-c", "\n".join(script)])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
