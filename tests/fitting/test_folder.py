"""An interrupted fit is resumed with what is done, and only that fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Member, Modality, Recipe
from polymodal.fitting import fit as fitting
from polymodal.fitting import plan
from polymodal.fitting.folder import checkpoints, claimed, mark, resumed, spend, spent, unmark
from polymodal.models.experts.linear import Linear
from polymodal.train.interrupt import Interrupted
from polymodal.train.loop import Loop

pytestmark = pytest.mark.whole

REQUEST = {"recipe": {"seed": 0}, "code": {}, "data": "0"}
EXPERT = Member(name="expert", learner="linear", modalities={"table": Modality()})
NETWORK = Member(name="network", modalities={"table": Modality()}, width=8)


def test_a_plan_is_kept_for_the_same_budget(tmp_path: Path) -> None:
    assert resumed(tmp_path, REQUEST, 60.0, False) is None
    mark(tmp_path, REQUEST, 60.0, [EXPERT, NETWORK], False)
    assert resumed(tmp_path, REQUEST, 60.0, False) == [EXPERT, NETWORK]
    assert resumed(tmp_path, REQUEST, 60.0, True) == [EXPERT, NETWORK]
    assert resumed(tmp_path, REQUEST, 600.0, False) is None
    assert resumed(tmp_path, REQUEST, None, False) is None
    unmark(tmp_path)
    assert resumed(tmp_path, REQUEST, 60.0, False) is None


@pytest.mark.parametrize("budget", [60.0, 600.0, None])
def test_another_budget_restarts_what_a_budget_decides(tmp_path: Path, budget: float) -> None:
    mark(tmp_path, REQUEST, 60.0, [EXPERT, NETWORK], False)
    expert = checkpoints(tmp_path, EXPERT) / "0" / "member.safetensors"
    network = checkpoints(tmp_path, NETWORK) / "0" / "member.safetensors"
    for file in (expert, network, network.parent / "plan.json"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    mark(tmp_path, REQUEST, budget, [EXPERT, NETWORK], True)
    assert expert.exists()
    assert network.exists() == (budget == 60.0)


def test_something_else_is_refused_or_replaced(tmp_path: Path) -> None:
    other = {**REQUEST, "data": "1"}
    mark(tmp_path, REQUEST, None, [EXPERT], False)
    checkpoints(tmp_path, EXPERT).mkdir(parents=True)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UserError, match="something else"):
        resumed(tmp_path, other, None, False)
    assert resumed(tmp_path, other, None, True) is None
    mark(tmp_path, other, None, [NETWORK], True)
    assert not checkpoints(tmp_path, EXPERT).exists()
    assert (tmp_path / "mine.txt").exists()
    assert resumed(tmp_path, other, None, False) == [NETWORK]


def test_only_an_equal_description_shares_checkpoints(tmp_path: Path) -> None:
    same = Member.model_validate(NETWORK.model_dump())
    wider = NETWORK.model_copy(update={"width": 16})
    assert checkpoints(tmp_path, same) == checkpoints(tmp_path, NETWORK)
    assert len({checkpoints(tmp_path, m) for m in (EXPERT, NETWORK, wider)}) == 3


TRAINING = {
    "epochs": 2,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    number = np.random.default_rng(0).normal(size=80)
    return pd.DataFrame({"level": number, "label": np.where(number > 0, "up", "down")})


def recipe(folds: int = 0) -> Recipe:
    table = {"table": {}}
    networks = [
        {"name": name, "modalities": table, "width": width, "training": TRAINING}
        for name, width in (("narrow", 8), ("wide", 12))
    ]
    expert = {"name": "expert", "learner": "linear", "modalities": table}
    return Recipe.model_validate({"models": [expert, *networks], "data": {"folds": folds}})


def board(run: pm.Run) -> list[dict[str, object]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in run.leaderboard]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("folds", [0, 2])
def test_a_resumed_fit_trains_nothing_twice(
    folds: int,
    overwrite: bool,
    data: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Even where the plan would come out shorter and in another order now."""
    whole = pm.fit(data, "label", recipe=recipe(folds), out=tmp_path / "whole")
    steps: list[Path] = []
    before, last = Loop._step, 11 if folds else 6  # in the midst of the second network

    def counted(loop: Loop, rows: np.ndarray) -> float:
        if len(steps) == last:
            raise Interrupted("stop")
        steps.append(loop.folder)
        return before(loop, rows)

    out = tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_step", counted)
        with pytest.raises(Interrupted):
            pm.fit(data, "label", recipe=recipe(folds), out=out, overwrite=overwrite)
    done = set(steps) - {steps[-1]}
    assert done

    def refused(*_: object) -> None:
        raise AssertionError("trained again")

    def other(loop: Loop, rows: np.ndarray) -> float:
        assert loop.folder not in done
        return before(loop, rows)

    turned = plan.members
    monkeypatch.setattr(Linear, "fit", refused)
    monkeypatch.setattr(Loop, "_step", other)
    monkeypatch.setattr(fitting.plan, "members", lambda *given: turned(*given)[1::-1])
    resumed_ = pm.fit(data, "label", recipe=recipe(folds), out=out, overwrite=overwrite)
    assert board(resumed_) == board(whole)
    assert not (out / "checkpoints").exists() and not (out / "fit.json").exists()


def test_a_folder_of_others_is_refused_and_left_as_it_is(
    data: pd.DataFrame, tmp_path: Path
) -> None:
    cases = {
        "checkpoints": [f"{'ab' * 8}/mine.txt"],
        "recipe.yaml": None,
        "model.safetensors": None,
        "check.json": None,
        "run.json": None,
        "fit.json": None,
        "thesis.docx": None,
        "logs": ["mine.txt"],
    }
    for i, (name, inner) in enumerate(cases.items()):
        out = tmp_path / str(i)
        paths = [out / name] if inner is None else [out / name / one for one in inner]
        for path in paths:
            path.parent.mkdir(parents=True)
            path.write_text('{"mine": 1}')
        for overwrite in (False, True):
            with pytest.raises(UserError, match=r"did not make|finished run"):
                pm.fit(data, "label", recipe=recipe(), out=out, overwrite=overwrite)
            assert all(path.read_text() == '{"mine": 1}' for path in paths)
            assert {p.name for p in out.iterdir()} == {name}


def test_what_came_beside_a_run_later_stays(tmp_path: Path) -> None:
    with claimed(tmp_path, False, False):
        mark(tmp_path, REQUEST, None, [EXPERT], False)
        checkpoints(tmp_path, EXPERT).mkdir(parents=True)
    own = [tmp_path / "checkpoints" / "mine.pt", tmp_path / "test" / "metrics.json"]
    for path in own:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with claimed(tmp_path, False, False):
        unmark(tmp_path)
    assert all(path.exists() for path in own) and not checkpoints(tmp_path, EXPERT).exists()
    # No fit claims the folder any more, so that what is left in it is others'.
    with pytest.raises(UserError, match="did not make"), claimed(tmp_path, True, False):
        pass


def test_a_run_claims_its_files_and_no_others(tmp_path: Path) -> None:
    run = {"format": 3, "schema": {}, "forms": [], "members": [], "weights": {}}
    files = {"recipe.yaml": "0", "../outside": "0", "/etc/hosts": "0"}
    (tmp_path / "outside").touch()
    out = tmp_path / "run"
    out.mkdir()
    (out / "run.json").write_text(json.dumps({**run, "files": files, "claims": ["thesis.docx"]}))
    (out / "recipe.yaml").touch()
    (out / "thesis.docx").touch()
    with claimed(out, True, False):
        mark(out, REQUEST, None, [EXPERT], True)
        assert sorted(p.name for p in out.iterdir() if p.name[0] != ".") == [
            "fit.json",
            "thesis.docx",
        ]
    (out / "run.json").write_text(json.dumps({**run, "files": files}))
    (out / "model.safetensors").touch()
    with pytest.raises(UserError, match=r"did not make[\s\S]*model"), claimed(out, True, False):
        pass
    assert (tmp_path / "outside").exists()


def test_two_fits_of_one_folder_at_once_are_one(tmp_path: Path) -> None:
    with claimed(tmp_path / "run", False, False):
        with pytest.raises(UserError, match="Another fit"), claimed(tmp_path / "run", True, False):
            pass
        assert (tmp_path / "run").exists()
    assert not (tmp_path / "run").exists()


def test_a_resumed_fit_has_what_its_budget_has_left(tmp_path: Path) -> None:
    mark(tmp_path, REQUEST, 60.0, [EXPERT], False)
    assert spent(tmp_path, REQUEST, 60.0) == 0
    spend(tmp_path, 45.0)
    assert spent(tmp_path, REQUEST, 60.0) == 45
    assert resumed(tmp_path, REQUEST, 60.0, False) == [EXPERT]
    assert spent(tmp_path, REQUEST, 600.0) == spent(tmp_path, {**REQUEST, "data": "1"}, 60.0) == 0


def test_the_clock_of_a_resumed_fit_goes_on(
    data: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[float] = []

    def stopped(job: object, members: object, division: object, clock: Any, *_: object) -> None:
        left.append(clock.left())
        (tmp_path / "run" / "checkpoints").mkdir(exist_ok=True)
        raise Interrupted("stop")

    monkeypatch.setattr(fitting.trials, "train", stopped)
    # As if it took so long.
    monkeypatch.setattr(fitting, "spend", lambda out, seconds: spend(out, seconds + 1000))
    for _ in range(2):
        with pytest.raises(Interrupted):
            pm.fit(data, "label", recipe=recipe(), out=tmp_path / "run", budget=10_000)
    assert left[0] > 9000 > left[1] > 8000


def test_what_cannot_be_read_is_replaced_where_that_is_asked(tmp_path: Path) -> None:
    (tmp_path / "fit.json").write_text('{"request": {}')
    with pytest.raises(UserError, match="damaged"):
        resumed(tmp_path, REQUEST, 60.0, False)
    assert resumed(tmp_path, REQUEST, 60.0, True) is None
