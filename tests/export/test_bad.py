"""Bad input to `export` and `compress`: one clear error, exit code 2, nothing left."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typed import files, one_error, polymodal

from polymodal.run.run import Run
from polymodal.run.saved import save

pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def saved(linear: Run, orders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run in `run`, rows in `rows.csv`, and others that do not suit it."""
    folder = tmp_path_factory.mktemp("saved")
    (folder / "run").mkdir()
    save(linear, folder / "run")
    lines = orders.read_text().splitlines()
    (folder / "rows.csv").write_text("\n".join(lines[:5]).replace(".png", ".gone") + "\n")
    (folder / "unlabelled.csv").write_text("note,price\nlate,3\n")
    (folder / "other.csv").write_text("a,b\n1,2\n")
    (folder / "taken").mkdir()
    (folder / "taken" / "mine.txt").write_text("mine")
    return folder


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("export none --out out", "none"),
        ("export run --out taken", "is there already"),
        ("export run --to pickle --out out", "no export to 'pickle'"),
        ("export run --data gone.csv --out out", "gone.csv"),
        ("export run --data other.csv --out out", "other.csv"),
        ("export run --data rows.csv --out out", "No row can be read"),
        ("export run --to hf --data rows.csv --out out", "no rows prove it"),
        ("export run --rows 0 --out out", "--rows"),
        ("compress run --data gone.csv --out out", "gone.csv"),
        ("compress run --data unlabelled.csv --out out", "returned"),
        ("compress run --data rows.csv --to int4 --out out", "no compression to 'int4'"),
        ("compress run --data rows.csv --out taken", "is there already"),
    ],
)
def test_it_is_said_and_nothing_is_left(
    words: str,
    says: str,
    saved: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    here = tmp_path / "here"
    shutil.copytree(saved, here)
    monkeypatch.chdir(here)
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    before = files(here)
    assert polymodal(*words.split()) == 2
    one_error(capsys.readouterr().err, says)
    assert files(here) == before
