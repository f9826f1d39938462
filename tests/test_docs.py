"""Every example of the README and of docs/ runs, in order, page by page.

A block whose first line is a comment with a file name is written to that file; other Python blocks
are executed, and lines of bash blocks that call python or polymodal are run. Text blocks are not
run. All pages use the first rows of the tables that the README's script makes, but for the README,
which makes them all. Commands are answered in this process, which has loaded already what each
would load for seconds; the README's fit has one of its own, and the models that are installed. A
page that fits train.csv as an earlier one did has that one's run.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import traced
from typed import polymodal

from polymodal.base.errors import MissingExtra
from polymodal.export import compress

pytestmark = pytest.mark.whole

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(bash|python|yaml)\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"^# (\S+\.(?:py|yaml|csv))\b")
BUDGET = re.compile(r"--budget (\d+)([sm])")
# Rows that are enough for examples to run.
ROWS = {"train": 160, "test": 60}
LINK = re.compile(r"\]\((?!https?://)([^)#]+)")


def shorter(budget: re.Match[str]) -> str:
    """Less time: the examples are to run, and nobody waits for better models."""
    seconds = int(budget[1]) * {"s": 1, "m": 60}[budget[2]]
    return f"--budget {max(5, seconds // 8)}s"


@pytest.fixture(autouse=True)
def examples_are_timed_once_and_export_a_run_once(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """How fast a model is, is no matter here; a page exports the same one in several ways."""
    monkeypatch.setattr(compress, "TIMED", 8)
    monkeypatch.setattr(compress, "ROUNDS", 1)
    with traced.once({}):
        yield


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages' reader has: train.csv, test.csv, new.csv and photos, as the README shows."""
    folder = tmp_path_factory.mktemp("docs")
    page = README.read_text(encoding="utf-8")
    scripts = [code for language, code in BLOCK.findall(page) if language == "python"]
    run([sys.executable, "-c", scripts[0]], folder)
    shown = re.search(r"^```csv\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert shown is not None
    assert (folder / "train.csv").read_text(encoding="utf-8").startswith(shown[1])
    for table, rows in ROWS.items():
        path = folder / f"{table}.csv"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[: 1 + rows]), encoding="utf-8")
        for photo in folder.glob(f"photos/{table}-*.png"):
            if int(photo.stem.split("-")[1]) >= rows:
                photo.unlink()
    return folder


@pytest.fixture(scope="session")
def fitted() -> dict[tuple[str, ...], Path]:
    """The words of a fit of train.csv, but for --out -> its run."""
    return {}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_examples_run(
    page: Path,
    tables: Path,
    fitted: dict[tuple[str, ...], Path],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "reader"
    shutil.copytree(tables, folder)
    monkeypatch.setenv("POLYMODAL_CACHE", str(tables.parent / "cache"))
    monkeypatch.chdir(folder)
    for words in commands(page, folder):
        if page is README and words[:2] == ["polymodal", "fit"]:
            run([sys.executable, "-m", *words], folder)
        elif words[1:3] == ["fit", "train.csv"] and words[-2] == "--out":
            out, asked = folder / words[-1], tuple(words[:-2])
            if asked in fitted:
                shutil.copytree(fitted[asked], out)
            else:
                assert polymodal(*words[1:]) == 0, words
                # What a later page makes of it is its own.
                kept = tmp_path_factory.mktemp("fitted") / out.name
                fitted[asked] = shutil.copytree(out, kept)
        elif words[0] == "polymodal":
            assert polymodal(*words[1:]) == 0, words
        elif words[0] == "-c":
            with warnings.catch_warnings(action="default"):
                exec(compile(words[1], page.name, "exec"), {"__name__": "__main__"})
        else:
            run([sys.executable, *words], folder)


def commands(page: Path, folder: Path) -> Iterator[list[str]]:
    """Write the page's files; its lines of polymodal, of python's arguments, and its script."""
    script: list[str] = []
    for language, code in BLOCK.findall(page.read_text(encoding="utf-8")):
        named = FILE.match(code)
        if named:
            (folder / named[1]).write_text(code, encoding="utf-8")
        elif language == "python":
            script.append(code)
        elif language == "bash":
            for line in code.replace("\\\n", " ").splitlines():
                words = shlex.split(BUDGET.sub(shorter, line), True)
                if words[:1] == ["polymodal"]:
                    yield words
                elif words[:1] == ["python"]:
                    yield words[1:]
    if script:
        yield ["-c", "\n".join(script)]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_extras_are_told_alike_and_found_in_what_is_installed() -> None:
    """The command is right after an install from a folder too: pip keeps what is installed."""
    wanted = []
    for extra in ("minilm", "datasets", "url", "tensorboard", "wandb", "mlflow"):
        *command, asked = shlex.split(MissingExtra("package", extra, "This").do)
        assert f"'{asked}'" in README.read_text(encoding="utf-8")
        wanted.append(asked)
    offline = ["--no-index", "--no-deps", "--dry-run"]
    run([sys.executable, "-m", *command, *wanted, *offline], ROOT.parent)
