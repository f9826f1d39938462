"""Pairs are tested as the verdict tests its one, on the same rows or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.cli import main as cli
from polymodal.contract.recipe import Recipe
from polymodal.evaluation import judge
from polymodal.evaluation.compare import ranked
from polymodal.fitting import trials
from polymodal.fitting.clock import RESERVE
from polymodal.metrics.statistics import holm
from polymodal.table.named import Named
from polymodal.tasks.classify import Classify
from polymodal.tasks.regress import Regress
from polymodal.tasks.tag import Tag

pytestmark = pytest.mark.whole

ROWS = 120


# -- the statistics ----------------------------------------------------------------------------


def classes(rights: dict[str, np.ndarray], task: Classify) -> dict[str, list[np.ndarray]]:
    """Scores of models that are right on given rows, whose true class is the first."""
    sides = np.array([[0.3, 0.7], [0.9, 0.1]], np.float32)
    return {who: list(sides[right.astype(int)]) for who, right in rights.items()}


def pair(found: dict[str, Any], first: str, second: str) -> dict[str, Any]:
    (one,) = [p for p in found["pairs"] if {p["first"], p["second"]} == {first, second}]
    return one


@pytest.fixture
def answered() -> tuple[Classify, dict[str, list[np.ndarray]], list[np.ndarray]]:
    """Three models: "good" and "fair" differ on 10 + 2 rows, "poor" loses 40 more."""
    rights = {who: np.ones(300, bool) for who in ("poor", "good", "fair")}
    rights["good"][:2] = rights["fair"][2:12] = False
    rights["poor"][2:52] = False
    task = Classify("y")
    task.fit(["a", "b"])
    return task, classes(rights, task), task.encode(["a"] * 300)


def test_known_answers(answered: Any) -> None:
    task, scores, targets = answered
    found = ranked(task, scores, targets, None)
    assert (found["metric"], found["test"], found["rows"]) == ("accuracy", "McNemar's mid-p", 300)
    assert [m["name"] for m in found["models"]] == ["good", "fair", "poor"]
    assert [m["value"] for m in found["models"]] == pytest.approx([298 / 300, 290 / 300, 250 / 300])
    close = pair(found, "good", "fair")
    assert close["raw"] == pytest.approx(0.0225, abs=5e-5)  # b = 10, c = 2
    # The largest of three keeps its p-value; the smallest is tripled, the next at least doubled.
    assert close["p"] == close["raw"]
    assert pair(found, "fair", "poor")["raw"] == pytest.approx(0.5**40, rel=1e-9)  # b = 40, c = 0
    assert pair(found, "fair", "poor")["p"] == pytest.approx(3 * 0.5**40, rel=1e-9)
    n, k = 52, 2
    mid_p = 2 * stats.binom.cdf(k, n, 0.5) - stats.binom.pmf(k, n, 0.5)
    assert pair(found, "good", "poor")["raw"] == pytest.approx(mid_p, rel=1e-9)
    assert pair(found, "good", "poor")["p"] == pytest.approx(2 * mid_p, rel=1e-9)
    assert found["undistinguished"] == []


def test_every_pair_is_the_verdicts(answered: Any) -> None:
    task, scores, targets = answered
    for clusters in (None, np.arange(300) // 10):
        found = ranked(task, scores, targets, clusters)
        for one in found["pairs"]:
            ahead, behind = scores[one["first"]], {"": scores[one["second"]]}
            told = judge.verdict(task, ahead, behind, "", "single", targets, clusters)
            assert one["difference"] == pytest.approx(
                {"value": told["gain"], "low": told["low"], "high": told["high"]}, abs=1e-12
            )
            assert one["raw"] == told["p"] and found["test"] == told["test"]
        assert [p["p"] for p in found["pairs"]] == holm([p["raw"] for p in found["pairs"]])
        for model in found["models"][1:]:
            one = pair(found, found["models"][0]["name"], model["name"])
            ahead = one["difference"]
            behind = {"value": -ahead["value"], "low": -ahead["high"], "high": -ahead["low"]}
            assert (model["difference"], model["p"]) == (behind, one["p"])


def test_errors_are_better_below_and_randomised() -> None:
    rng = np.random.default_rng(0)
    cells = rng.normal(50, 10, 80)
    task = Regress("y")
    task.fit(list(cells))
    noise = rng.normal(size=80)
    scores = {who: list((cells + size * noise)[:, None]) for who, size in (("b", 3), ("a", 2))}
    scores["c"] = list((cells + 2 * rng.normal(size=80))[:, None])
    found = ranked(task, scores, task.encode(list(cells)), None)
    assert found["test"] == "approximate randomisation" and not found["greater_is_better"]
    values = {m["name"]: m["value"] for m in found["models"]}
    assert list(values) == sorted(values, key=values.__getitem__)
    for model in found["models"][1:]:
        best = found["models"][0]["value"]
        assert model["difference"]["value"] == pytest.approx(best - model["value"])
    errors = {w: np.stack(own)[:, 0] - cells for w, own in scores.items()}
    for one, two in combinations(scores, 2):
        result = stats.permutation_test(
            (errors[one], errors[two]),
            lambda x, y, axis: np.sqrt((x**2).mean(axis)) - np.sqrt((y**2).mean(axis)),
            permutation_type="samples",
            n_resamples=9999,
            rng=1,
        )
        assert pair(found, one, two)["raw"] == pytest.approx(result.pvalue, abs=0.035)


def test_many_pairs_can_still_be_told_apart() -> None:
    """Of 120 pairs the one that differs must be able to pass Holm's correction."""
    rng = np.random.default_rng(0)
    cells = list(rng.normal(size=60))
    task = Regress("y")
    task.fit(cells)
    own = np.array(cells)[:, None] + 0.1 * rng.normal(size=(60, 1))
    scores = {f"m{i}": list(own + 1e-4 * rng.normal(size=(60, 1))) for i in range(15)}
    scores["far"] = list(np.zeros((60, 1)))
    found = ranked(task, scores, task.encode(cells), None)
    assert len(found["pairs"]) == 120
    assert found["models"][-1]["name"] == "far" and found["models"][-1]["p"] <= 0.05
    assert len(found["undistinguished"]) == 14


def test_a_metric_that_the_rows_do_not_define() -> None:
    task = Tag("tags")
    task.fit([["B-x", "I-x", "O"]])
    outside = [np.eye(3)[[task.classes.index("O")] * 2]] * 4
    with pytest.raises(UserError, match="entity_f1 of 'a' is not defined"):
        ranked(task, {"a": outside, "b": outside}, task.encode([["O", "O"]] * 4), None)


# -- runs --------------------------------------------------------------------------------------


def table(seed: int = 0, rows: int = ROWS) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    wild, high = rng.integers(0, 2, rows), rng.integers(0, 2, rows)
    return pd.DataFrame(
        {
            "note": [f"{('calm', 'wild')[w]} sea {rng.integers(999)}" for w in wild],
            "level": high * 2.0 - 1 + rng.normal(0, 0.2, rows),
            "where": [f"bay {i}" for i in rng.integers(0, 20, rows)],
            "label": np.where(wild ^ high, "odd", "even"),
            "size": np.round(high + wild + rng.normal(0, 0.1, rows), 3),
        }
    )


TRAINING = {
    "epochs": 1,
    "batch_size": 32,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}


def fitted(out: Path, target: Any = "label", data: pd.DataFrame | None = None, **given: Any) -> Any:
    options = {"training": TRAINING, "width": 8, **given.pop("recipe", {})}
    extra = [name for name in ("label", "size") if name not in target]
    return pm.fit(
        table() if data is None else data,
        target,
        recipe=Recipe.model_validate(options),
        drop=[*given.pop("drop", ["where"]), *extra],
        out=out,
        **given,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs of the same rows, and the table "test.csv" to compare them on."""
    folder = tmp_path_factory.mktemp("runs")
    three = table()
    three.loc[:9, "label"] = "other"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(folder / "cache"))
        fitted(folder / "fusions", fusion=["sum", "gated", "late"])
        fitted(folder / "sum", recipe={"fusion": "sum"})
        fitted(folder / "gated", recipe={"fusion": "gated"})
        fitted(folder / "grouped", recipe={"fusion": "sum"}, group="where", drop=[])
        fitted(folder / "by level", recipe={"fusion": "sum"}, group="level", drop=["where"])
        fitted(folder / "both", ["label", "size"])
        fitted(folder / "as classes", "size", table().assign(size=lambda t: t["size"].round(0)))
        fitted(folder / "sizes", "size")
        fitted(folder / "three classes", data=three)
    table(7, 80).to_csv(folder / "test.csv", index=False)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))


def polymodal(*words: str) -> str:
    done = CliRunner().invoke(cli.app, words, catch_exceptions=False, standalone_mode=False)
    return done.stdout


def test_two_runs_by_the_command_line(runs: Path, tmp_path: Path) -> None:
    names = [str(runs / name) for name in ("sum", "gated")]
    data = ["--data", str(runs / "test.csv")]
    printed = polymodal("compare", *names, *data, "--out", str(tmp_path / "found"))
    written = json.loads((tmp_path / "found" / "compare.json").read_text())
    assert written["rows"] == 80 and written["ledger"]["used"] == {"measured": 80}
    found = written["targets"]["label"]
    assert {model["name"] for model in found["models"]} == set(names)
    for model in found["models"]:
        line = next(line for line in printed.splitlines() if f" {model['name']} " in line)
        assert f"{model['value']:.4f}" in line
        # Names this long leave no room for it beside the value.
        assert f"[{model['low']:.4f}, {model['high']:.4f}]" in printed
        assert f"{model['cost']['parameters']:,}" in printed
        own = pm.load(model["name"])
        measured = pm.evaluate(own, str(runs / "test.csv"), contributions="none", explain=0)
        assert measured.targets["label"]["accuracy"]["value"] == model["value"]
        assert model["cost"]["parameters"] > 0 and model["cost"]["latency_ms"] > 0
    # As many as evaluate's predictions say: b and c counted from them, row by row.
    truth = table(7, 80)["label"]
    right = [np.array(pm.load(n).predict(str(runs / "test.csv"))["label"]) == truth for n in names]
    b, c = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    test = stats.binom(b + c, 0.5)
    mid_p = min(1.0, 2 * test.cdf(min(b, c)) - test.pmf(min(b, c)))
    assert found["pairs"][0]["p"] == found["pairs"][0]["raw"] == pytest.approx(mid_p)
    assert "corrected for 1 pair (Holm)" in printed


def test_one_runs_own_models(runs: Path) -> None:
    found = pm.compare(runs / "fusions", runs / "test.csv").targets["label"]
    run = pm.load(runs / "fusions")
    assert set(run.members) == {"sum", "gated", "late", "note", "table"}
    names = [model["name"] for model in found["models"]]
    # What is all of the fused model is shown once, as that.
    plain = {name.removeprefix("fused = ").removeprefix("only ") for name in names}
    assert {"sum", "gated", "late", "note", "table"} <= plain
    members = [model["members"] for model in found["models"]]
    assert all(one not in members[:i] for i, one in enumerate(members))
    assert len(found["pairs"]) == len(names) * (len(names) - 1) / 2 >= 10
    fused = next(model for model in found["models"] if "fused" in model["name"])
    assert fused["members"] == run.weights["fused"]["label"]
    whole = pm.evaluate(run, runs / "test.csv", contributions="none", explain=0)
    assert fused["value"] == whole.targets["label"]["accuracy"]["value"]
    note = next(model for model in found["models"] if model["name"] == "only note")
    assert note["value"] == whole.rivals["note"]["label"]["accuracy"]["value"]


def test_groups_are_drawn_whole_where_a_run_has_one(runs: Path) -> None:
    names = [runs / "grouped", runs / "sum"]
    by_itself = pm.compare(names, runs / "test.csv").targets["label"]
    asked = pm.compare([runs / "gated", runs / "sum"], runs / "test.csv", group="where")
    assert by_itself["test"] == asked.targets["label"]["test"] == "approximate randomisation"
    alone = pm.compare([runs / "gated", runs / "sum"], runs / "test.csv").targets["label"]
    assert alone["test"] == "McNemar's mid-p"


def test_on_one_target_of_several(runs: Path) -> None:
    names = [runs / "both", runs / "sizes"]
    assert list(pm.compare(names, runs / "test.csv", target="size").targets) == ["size"]
    with pytest.raises(UserError, match="do not predict the same targets"):
        pm.compare(names, runs / "test.csv")
    with pytest.raises(UserError, match="does not predict 'label'"):
        pm.compare(names, runs / "test.csv", target="label")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["sum", "three classes"], "only '.*three classes' knows other"),
        (["sizes", "as classes"], "not measured by the same metric on 'size'"),
        (["sum", "sizes"], "do not predict the same targets"),
        (["sum", "sum"], "is given twice"),
        (["sum"], "only one model of 'label'"),
        (["grouped", "by level"], "different groups"),
        ([], "No run was given"),
    ],
)
def test_what_cannot_be_compared(names: list[str], message: str, runs: Path) -> None:
    with pytest.raises(UserError, match=message):
        pm.compare([runs / name for name in names], runs / "test.csv")


def test_an_evaluation_is_not_a_run(runs: Path, tmp_path: Path) -> None:
    measured = pm.evaluate(
        pm.load(runs / "sum"), runs / "test.csv", contributions="none", explain=0
    )
    measured.save(tmp_path / "measured")
    with pytest.raises(UserError, match="is the evaluation of a run"):
        pm.compare([runs / "sum", tmp_path / "measured"], runs / "test.csv")


def test_rows_without_a_target_are_left_out_of_both(runs: Path) -> None:
    data = table(7, 80)
    data.loc[:9, "label"] = None
    found = pm.compare([runs / "sum", runs / "gated"], data)
    assert found.targets["label"]["rows"] == 70
    assert found.ledger["skipped"] == {"no value in target 'label'": 10}


# -- fusions under one budget ------------------------------------------------------------------


def test_fusions_have_the_same_time_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, float] = {}
    learn = trials.learn.learn

    def learned(job: Any, member: Any, *rest: Any, **options: Any) -> Any:
        given[member.name] = rest[3]
        return learn(job, member, *rest, **options)

    monkeypatch.setattr(trials.learn, "learn", learned)
    fitted(tmp_path / "run", fusion=["sum", "gated", "late"], budget=1000)
    assert given["sum"] == given["gated"] == given["late"]
    # Rivals have the steps of the fastest fusion: what they take is measured.
    assert given["note"] > 0 and given["table"] > 0
    assert 900 < sum(given.values()) < 1000 * (1 - RESERVE)


def test_fusions_differ_in_nothing_else(runs: Path) -> None:
    members = pm.load(runs / "fusions").recipe.models
    assert members is not None
    three = [m.model_dump(exclude={"name", "fusion"}) for m in members[2:]]
    assert three[0] == three[1] == three[2]
    assert [m.fusion for m in members[2:]] == ["sum", "gated", "late"]


def test_fusions_by_the_command_line(tmp_path: Path) -> None:
    table().drop(columns=["where", "size"]).to_csv(tmp_path / "train.csv", index=False)
    table(7, 40).to_csv(tmp_path / "test.csv", index=False)
    described = {"train": "train.csv", "target": "label", "training": TRAINING, "width": 8}
    recipe, out = tmp_path / "recipe.yaml", str(tmp_path / "run")
    recipe.write_text(json.dumps(described))
    told = polymodal("fit", str(recipe), "--fusion", "sum", "--fusion", "gated", "--out", out)
    assert f"polymodal compare {out} --data TEST.csv" in told
    printed = polymodal("compare", out, "--data", f"{tmp_path}/test.csv").splitlines()
    names = {line[2:].split("  ")[0].removeprefix("fused = ") for line in printed[2:-1]}
    assert {"sum", "gated", "note", "table"} <= {name.removeprefix("only ") for name in names}
    assert " best" in printed[2] and printed[-1].startswith("Not distinguishable from the best:")
    one = polymodal("fit", str(recipe), "--fusion", "gated", "--out", f"{out} of one")
    assert "polymodal compare" not in one
    assert pm.load(f"{out} of one").recipe.models[0].fusion == "gated"


def test_fusions_by_a_recipe() -> None:
    two = [{"name": "moe", "experts": 2}, {"name": "moe", "experts": 4}]
    data = table().drop(columns=["where", "size"])
    described = {"fusion": two, "width": 8, "training": TRAINING}
    run = pm.fit(data, "label", recipe=Recipe.model_validate(described))
    assert list(run.members) == ["moe (experts=2)", "moe (experts=4)"]
    with pytest.raises(ValueError, match="listed twice"):
        Recipe(fusion=["sum", "gated", {"name": "sum"}])
    with pytest.raises(ValueError):
        Recipe(fusion=[])


def test_a_fusion_called_like_a_column() -> None:
    data = table().drop(columns=["where", "size"]).rename(columns={"note": "sum"})
    described = {"width": 8, "training": TRAINING}
    run = pm.fit(data, "label", fusion=["sum", "gated"], recipe=Recipe.model_validate(described))
    assert list(run.members) == ["sum", "table", "sum fusion", "gated"]


def test_a_fusion_that_was_not_trained_is_named(runs: Path) -> None:
    run = pm.load(runs / "fusions")
    run.attempts.append({"name": "early", "modalities": ["note", "table"], "skipped": "too late"})
    found = pm.compare(run, runs / "test.csv")
    assert found.skipped == {"early": "too late"}
    assert found.text().endswith("Not trained, and not compared: early (too late).")


def test_each_run_reads_the_table_by_its_own_encoding(runs: Path, tmp_path: Path) -> None:
    """Evaluated, predicted, embedded or compared; from the command line with addresses too."""
    path = tmp_path / "later.csv"
    frame = table(7, 80)
    frame = frame.assign(note=frame["note"] + " é")
    frame.to_csv(path, index=False, encoding="cp1252")

    def run(name: str, encoding: str | None) -> pm.Run:
        found = pm.load(runs / name)
        data = found.recipe.data.model_copy(update={"encoding": encoding})
        return replace(found, recipe=found.recipe.model_copy(update={"data": data}))

    western, other = run("sum", "cp1252"), run("gated", "cp1252")
    for source in (str(path), Named(str(path), allow_urls=True)):
        wanted = western.predict(frame)["label"].tolist()
        assert western.predict(source)["label"] == wanted
        assert len(western.embed(source)) == 80
        assert pm.evaluate(western, source, contributions="none", explain=0).rows == 80
        assert pm.compare([western, other], source).rows == 80
        with pytest.raises(UserError, match="is not UTF-8"):
            run("sum", None).predict(source)
        with pytest.raises(UserError, match="is not UTF-8"):
            pm.compare([western, run("gated", None)], source)
    frame.assign(note="calm sea").to_csv(path, index=False)
    assert pm.compare([western, run("gated", None)], str(path)).rows == 80
