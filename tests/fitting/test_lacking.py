"""Rows that lack modalities are answered by what was validated for that, and say what they lack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import polymodal as pm
from polymodal.contract.recipe import Recipe
from polymodal.evaluation.part import Part
from polymodal.metrics.contribution import subsets
from polymodal.run.saved import save
from polymodal.table.ledger import Ledger

pytestmark = pytest.mark.whole

LINEAR: dict[str, Any] = {"learner": "linear"}


def frame(rows: int, seed: int) -> pd.DataFrame:
    """Two signs that a fusion needs together: the label is their AND, each is there in .7."""
    rng = np.random.default_rng(seed)
    up, good = rng.random((2, rows)) < 0.7
    return pd.DataFrame(
        {
            "signal": [list((1 if u else -1) * np.arange(5.0) + rng.normal(0, 0.2, 5)) for u in up],
            "note": [f"note {i}: it is {'good' if g else 'bad'}" for i, g in enumerate(good)],
            "x": rng.normal(size=rows),
            "label": np.where(up & good, "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pm.Run:
    """By folds, each of which is asked for its own rows."""
    every: dict[str, Any] = {name: {} for name in ("signal", "note", "table")}
    models = [{"name": "all", "modalities": every, **LINEAR}]
    models += [{"name": f"only {n}", "modalities": {n: {}}, **LINEAR} for n in every]
    data = {"kinds": {"note": "text"}, "folds": 2}
    recipe = Recipe.model_validate({"models": models, "data": data})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        return pm.fit(frame(400, 0), "label", recipe=recipe)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))


def test_no_set_of_modalities_is_worse_than_the_constant(run: pm.Run) -> None:
    table = run.table(frame(400, 1))
    prepared, rows = run.prepare(table, Ledger()), np.arange(len(table))
    names = list(run.schema.modalities())
    part = Part(run.tasks["label"], run.targets(table)["label"], None)
    for team in subsets(names):
        gone = frozenset(names) - team
        present = run.present(table, prepared, gone)
        answers = run.combine(run.scores(prepared, rows, gone), present=present)["label"]
        constant = part.task.constant(answers)
        bar = part.task.criterion(constant, part.targets) + 0.02
        assert part.task.criterion(answers, part.targets) <= bar, team


def test_a_row_is_as_sure_as_what_it_has_allows(run: pm.Run) -> None:
    """With a good note the label is yes in .7 of the rows: not in .996 of them."""
    found = run.predict_row({"note": "note 7: it is good", "x": 0.0})
    assert found["label"] == "yes" and found["label=yes"] == pytest.approx(0.7, abs=0.1)
    found = run.predict_row({"note": "note 7: it is bad"})
    assert found["label=no"] > 0.9
    assert found["missing"] == "signal, table"


def test_nothing_at_all_is_answered_by_the_constant(run: pm.Run) -> None:
    found = run.predict_row({})
    prior = run.tasks["label"].constant([np.zeros(2)])[0]
    assert [found["label=no"], found["label=yes"]] == pytest.approx(prior)
    assert found["missing"] == "signal, note, table"


def test_a_table_says_what_each_row_lacks_and_a_whole_one_nothing(run: pm.Run) -> None:
    whole = frame(6, 2)
    assert "missing" not in run.predict(whole)
    part = whole.astype(object)
    part.loc[1, "note"] = None
    part.loc[4, ["signal", "x"]] = None
    found = run.predict(part)
    assert list(found["missing"]) == ["", "note", "", "", "signal, table", ""]
    alone = [
        run.predict_row(row)["label=yes"] for row in part.drop(columns="label").to_dict("records")
    ]
    assert list(found["label=yes"]) == pytest.approx(alone, abs=1e-5)
    ignored = run.predict(whole, absent="note")
    assert list(ignored["missing"]) == ["note"] * 6


def test_what_answers_is_saved_and_measured(run: pm.Run, tmp_path: Path) -> None:
    save(run, tmp_path / "run")
    again, part = pm.load(tmp_path / "run"), frame(40, 3).astype(object)
    part.loc[:19, "note"] = None
    predicted = run.predict(part)
    assert list(again.predict(part)["label=yes"]) == list(predicted["label=yes"])
    found = pm.evaluate(run, part, explain=1)
    right = np.mean(np.asarray(predicted["label"]) == part["label"])
    assert found.targets["label"]["accuracy"]["value"] == pytest.approx(right)
    values = found.contributions["label"]["values"]
    assert values["note+signal+table"]["value"] == pytest.approx(right)


def test_rows_that_were_learned_from_are_counted(run: pm.Run, tmp_path: Path) -> None:
    """Trained or validated on: by folds, all of them."""
    save(run, tmp_path / "run")
    mixed = pd.concat([frame(60, 5), frame(400, 0)[10:17]])
    for one in (run, pm.load(tmp_path / "run")):
        found = pm.evaluate(one, mixed, contributions="none", explain=0)
        assert "7 of 67 rows" in found.warnings[0] and "row 60, 61, 62, ..." in found.warnings[0]
        assert found.text().startswith("warning: 7 of 67 rows")
        assert found.to_json()["warnings"] == found.warnings
    assert not pm.evaluate(run, frame(60, 5), contributions="none", explain=0).warnings
    assert "7 of 67 rows" in pm.compare(run, mixed).text()
