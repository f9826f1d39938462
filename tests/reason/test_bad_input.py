"""Bad input of `reason` and `rationales`: one clear error, exit code 2, and nothing is left."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typed import files, one_error, polymodal

import polymodal as pm
from polymodal.contract.recipe import Recipe
from polymodal.reason import http

AWAY = "http://127.0.0.1:9/v1"
RUN = ["reason", "run", "--data", "test.csv", "--out", "out"]
SERVER = ["reason", "--endpoint", AWAY, "--data", "plain.csv", "--out", "out"]
ASKED = [*SERVER, "--model", "m", "--target", "answer"]
RATIONALES = ["rationales", "run", "--data", "train.csv", "--out"]

CASES: dict[str, tuple[list[str], str]] = {
    "a strategy that is none": ([*RUN, "--strategy", "chian"], "did you mean 'chain'?"),
    "a strategy twice": ([*RUN, "--strategy", "chain", "--strategy", "chain"], "named twice"),
    "a run that is none": (["reason", "nowhere", *RUN[2:]], "nowhere"),
    "a run that writes nothing": (["reason", "classes", *RUN[2:]], "does not write anything"),
    "a target that is none": ([*RUN, "--target", "anwser"], "does not write 'anwser'"),
    "a question that is none": ([*RUN, "--question", "qestion"], "did you mean 'question'?"),
    "a column of slices that is none": ([*RUN, "--by", "stesp"], "did you mean 'steps'?"),
    "samples of what draws none": ([*RUN, "--samples", "3"], "draw chains"),
    "two stages with one run": ([*RUN, "--strategy", "two_stage"], "has no second model"),
    "a second run that reads no reasons": (
        [*RUN, "--strategy", "two_stage", "--second", "run"],
        "does not read the rationale",
    ),
    "rows without the answers": ([*RUN[:3], "new.csv", *RUN[4:]], "lacks 'answer'"),
    "rows without an input": ([*RUN[:3], "poor.csv", *RUN[4:]], "lacks 'sensor'"),
    "rows without any answer": ([*RUN[:3], "empty.csv", *RUN[4:]], "'answer' has no values"),
    "no such table": ([*RUN[:3], "tset.csv", *RUN[4:]], "does not exist"),
    "a run and a server": ([*RUN, "--endpoint", AWAY], "Both a run and a server"),
    "neither run nor server": (["reason", *RUN[2:]], "nothing to ask"),
    "columns to drop of a run": ([*RUN, "--drop", "weight"], "is of servers"),
    "a server without a model": ([*SERVER, "--target", "answer"], "told the model"),
    "a server without a target": ([*SERVER, "--model", "m"], "told the target"),
    "a server that is away": (ASKED, "does not answer"),
    "an address that is none": ([*ASKED[:2], "localhost", *ASKED[3:]], "no address of a server"),
    "reasons that a server would be sent": (
        [*ASKED[:4], "test.csv", *ASKED[5:], "--drop", "sensor"],
        "drop rationale",
    ),
    "a series that a server would be sent": (
        [*ASKED[:4], "test.csv", *ASKED[5:], "--drop", "rationale"],
        "--drop sensor",
    ),
    "a folder of somebody else's": ([*RUN[:5], "taken"], "would be replaced"),
    "reasons of a run without any": (["rationales", "classes", *RATIONALES[2:], "o.csv"], "write"),
    "reasons in a table of another format": ([*RATIONALES, "o.xlsx"], "ends in .csv"),
    "reasons over the table that is read": ([*RATIONALES, "train.csv"], "would be replaced"),
    "reasons over a file": ([*RATIONALES, "plain.csv"], "is there already"),
    "new rows with the rationale": (
        ["predict", "run", "--data", "told.csv", "--out", "p.csv"],
        "has the column 'rationale'",
    ),
}


@pytest.fixture(scope="module")
def folder(fitted: Any, data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, one of classes, and tables."""
    here = tmp_path_factory.mktemp("bad") / "here"
    shutil.copytree(data["train"].parent, here)
    shutil.copytree(fitted.folder, here / "run")
    table = pd.read_csv(data["test"])
    classes = {
        "targets": {"answer": "classify"},
        "models": [{"name": "m", "learner": "linear"}],
        "data": {"drop": ["picture", "sensor", "rationale"], "valid": 0.3},
    }
    pm.fit(table, recipe=Recipe.model_validate(classes), out=here / "classes")
    table.drop(columns=["answer", "rationale"]).to_csv(here / "new.csv", index=False)
    table.drop(columns="answer").to_csv(here / "told.csv", index=False)
    table.drop(columns="sensor").to_csv(here / "poor.csv", index=False)
    table.assign(answer=None).to_csv(here / "empty.csv", index=False)
    table[["question", "weight", "answer"]].to_csv(here / "plain.csv", index=False)
    (here / "taken").mkdir()
    (here / "taken" / "answers.csv").write_text("mine")
    return here


@pytest.mark.parametrize("name", CASES)
def test_bad_input(
    name: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(http, "pause", lambda seconds: None)
    words, says = CASES[name]
    before = files(folder)
    assert polymodal(*words) == 2
    one_error(capsys.readouterr().err, says)
    assert files(folder) == before


def test_the_command_answers_measures_and_writes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    asked = [*RUN[:5], "found", "--question", "question", "--by", "steps", "--samples", "2"]
    for strategy in ("direct", "chain", "self_consistency"):
        asked += ["--strategy", strategy]
    assert polymodal(*asked) == 0
    shown = capsys.readouterr().out
    assert "self_consistency" in shown and "steps = 3: 16 rows" in shown and "swap" in shown
    assert sorted(path.name for path in (folder / "found").iterdir()) == [
        "answers.csv",
        "reason.json",
    ]
    assert len(pd.read_csv(folder / "found" / "answers.csv")) == 48
    assert polymodal(*RATIONALES, "mine.csv") == 0
    staged = pd.read_csv(folder / "mine.csv")
    assert list(staged) == list(pd.read_csv(folder / "train.csv"))
    shutil.rmtree(folder / "found")
    (folder / "mine.csv").unlink()


def test_a_table_without_the_rationale_is_not_fitted(
    folder: Path, recipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    pd.read_csv("train.csv").drop(columns="rationale").to_csv("bare.csv", index=False)
    with pytest.raises(pm.UserError, match="no column 'rationale', which the task 'answer' reads"):
        pm.fit("bare.csv", recipe=recipe({"name": "reason"}), out="never")
    assert not Path("never").exists()
    Path("bare.csv").unlink()
