"""A run in use: what counts as one row, what predictions are filed under, how models are ranked."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.base.files import write_csv
from polymodal.contract.recipe import Recipe
from polymodal.fitting.combine import best_first
from polymodal.nn.weights import fill
from polymodal.report.console import Show, leaderboard

pytestmark = pytest.mark.whole


def frame(rows: int = 60) -> pd.DataFrame:
    """Bright pictures with rising series, dark ones with falling."""
    rng = np.random.default_rng(0)
    bright = rng.integers(0, 2, rows)
    light = [rng.integers(0, 100, (8, 8, 3)) + 150 * b for b in bright]
    slope = 2 * bright - 1
    return pd.DataFrame(
        {
            "sample": [f"S{i:05d}" for i in rng.permutation(90_000)[:rows]],
            "where": "here",
            "remark": [f"remark {i} of {rows}" for i in range(rows)],
            "box": [f"box {i % 12}" for i in range(rows)],
            "picture": [x.astype(np.uint8) for x in light],
            "signal": [list(s * np.arange(5) + rng.normal(0, 0.1, 5)) for s in slope],
            "label": np.where(bright, "day", "night"),
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pm.Run:
    member = {
        "learner": "linear",
        "modalities": {"picture": {"form": {}}, "signal": {}},
    }
    both = {"name": "both", **member}
    alone = [
        {**member, "name": f"only {name}", "modalities": {name: {}}}
        for name in ("picture", "signal")
    ]
    recipe = Recipe.model_validate({"models": [both, *alone], "data": {"drop": ["remark"]}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        return pm.fit(frame(), "label", recipe=recipe, group="box")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))


def test_a_row_is_answered_as_in_a_table(run: pm.Run) -> None:
    whole = run.predict(frame())
    for i in range(4):
        row = {name: frame()[name][i] for name in ("picture", "signal")}
        found = run.predict_row(row)
        assert list(found) == ["label", "label=day", "label=night"]
        assert found["label=day"] == pytest.approx(whole["label=day"][i], abs=1e-6)
    assert run.predict_row({"picture": frame()["picture"][0]})["label"] in ("day", "night")
    assert run.predict_row({"signal": [0.0, 1, 2, 3, 4]})["label"] in ("day", "night")


def test_a_mapping_is_a_table_of_columns(run: pm.Run) -> None:
    columns = {name: list(frame()[name]) for name in ("picture", "signal")}
    assert run.predict(columns)["label"] == list(run.predict(frame())["label"])
    with pytest.raises(UserError, match=r"(?s)column 'remark' is no list .* `predict_row`"):
        run.predict({**columns, "remark": "a row's"})


def test_predictions_are_filed_under_what_names_their_row(run: pm.Run, tmp_path: Path) -> None:
    assert set(run.schema.skipped) == {"sample", "where", "remark", "box"}
    columns = ["row", "sample", "box", "label", "label=day", "label=night"]
    write_csv(tmp_path / "p.csv", run.predict(frame().to_dict("records")))
    pm.evaluate(run, frame()).save(tmp_path)
    for path in (tmp_path / "p.csv", tmp_path / "predictions.csv"):
        written = pd.read_csv(path)
        assert list(written) == columns
        assert list(written["sample"]) == list(frame()["sample"])
        assert list(written["row"]) == list(range(60))
    assert list(run.predict(frame())) == columns


def test_a_name_of_rows_hides_no_prediction_and_no_row_number(run: pm.Run) -> None:
    schema = replace(run.schema, identifiers=("row", "sample", "label=day"))
    skipped = dict.fromkeys(schema.identifiers, "")
    model = replace(run.pipeline, schema=replace(schema, skipped=skipped))
    other = replace(run, pipeline=model)
    with pytest.warns(UserWarning, match="are ignored"):
        found = other.predict(frame().assign(**{"row": "mine", "label=day": "mine"}))
    assert list(found) == ["row", "sample", "label", "label=day", "label=night"]
    assert list(found["row"]) == list(range(60)) and "mine" not in found["label=day"]


def test_the_leaderboard_is_the_model_its_rivals_and_the_members(run: pm.Run) -> None:
    roles = [line["role"] for line in run.leaderboard]
    assert roles == ["fused"] + ["rival"] * 2 + ["constant"] + ["member"] * 3
    always = run.leaderboard[3]
    assert (always["members"], always["parameters"]) == ({}, 0)
    assert always["value"] == pytest.approx(0.5, abs=0.2)
    assert run.leaderboard[0]["value"] == 1


def test_the_leaderboard_shows_each_model_once(run: pm.Run) -> None:
    """A combination of one member is shown with its name, and that member not again."""
    alone = {"fused": {"both": 1.0}, "picture": {"only picture": 1.0}}
    mixed = {"signal": {"only signal": 0.5, "both": 0.5}}
    lines = [
        {**line, "members": {**alone, **mixed}.get(line["name"], line["members"])}
        for line in run.leaderboard
    ]
    stream = io.StringIO()
    Show(stream).done(replace(run, leaderboard=lines), 1.0)
    shown = stream.getvalue()
    first = [line.split("│")[1].strip() for line in shown.splitlines() if line.startswith("│")]
    rivals = ["only picture", "only signal"]
    assert first[0] == "fused = both" and sorted(first[1:3]) == rivals
    assert first[3:] == ["always the same answer", "only signal"]
    assert "The fused model is" in shown


def test_a_name_is_broken_between_its_modalities(run: pm.Run) -> None:
    name = "product_photographs+customer_reviews"
    lines = [{**line, "name": name, "members": {}} for line in run.leaderboard[-1:]]
    stream = io.StringIO()
    Show(stream).console.print(leaderboard(replace(run, leaderboard=lines)))
    shown = stream.getvalue()
    assert "product_photographs +" in shown and "customer_reviews" in shown


@pytest.mark.parametrize(("steps", "words"), [(1, "1 step in"), (2, "2 steps in")])
def test_one_is_not_many(steps: int, words: str) -> None:
    stream = io.StringIO()
    Show(stream).trained("both", {"seconds": 1.0, "steps": steps, "precision": "fp32"})
    assert words in stream.getvalue()


@pytest.mark.parametrize(("greater", "names"), [(True, "fbacd"), (False, "fabdc")])
def test_best_first(greater: bool, names: str) -> None:
    given = [("a", "rival", 1), ("d", "member", 1), ("b", "rival", 2), ("c", "member", 2)]
    nothing = ("e", "member", float("nan"))
    lines = [
        {"name": name, "role": role, "value": value, "greater_is_better": greater}
        for name, role, value in [nothing, *given, ("f", "fused", 0)]
    ]
    assert "".join(line["name"] for line in best_first(lines)) == names + "e"


def test_modalities_to_ignore_are_the_runs_own(run: pm.Run) -> None:
    new = frame(20).drop(columns="label")
    whole, without = (run.predict(new, absent=names) for names in ([], ["signal"]))
    assert (whole["label=day"] != without["label=day"]).any()
    assert run.predict(new, absent="signal").equals(without)
    with pytest.raises(UserError, match="no modality 'sinal'"):
        run.predict(new, absent=["sinal"])


def test_only_embeddings_and_buffers_take_the_length_that_is_loaded() -> None:
    words = nn.Embedding(9, 4)
    fill(words, {"weight": torch.ones(3, 4)})
    assert words(torch.tensor([2])).tolist() == [[1.0] * 4]
    words.weight.requires_grad_(False)
    fill(words, {"weight": torch.ones(5, 4)})
    assert not words.weight.requires_grad
    for module, shape in ((nn.Embedding(9, 4), (3, 5)), (nn.Linear(4, 2), (1, 4))):
        tensors = {**module.state_dict(), "weight": torch.ones(shape)}
        with pytest.raises(RuntimeError, match="size mismatch"):
            fill(module, tensors)


def test_a_frame_is_answered_by_a_frame_with_its_index(run: pm.Run) -> None:
    rows = frame()[7:12]
    found = run.predict(rows)
    assert isinstance(found, pd.DataFrame) and list(found.index) == [7, 8, 9, 10, 11]
    assert found["label=day"].tolist() == run.predict(rows.to_dict("list"))["label=day"]


def test_in_a_list_of_rows_columns_may_be_left_out(run: pm.Run) -> None:
    rows = [{"picture": frame()["picture"][0]}, {"signal": frame()["signal"][1]}, {}]
    found = run.predict(rows)
    assert [found["label"][i] for i in range(3)] == [run.predict_row(row)["label"] for row in rows]
    assert found["missing"] == [run.predict_row(row)["missing"] for row in rows]
    with pytest.raises(UserError, match="no input column 'pictrue'"):
        run.predict([{"pictrue": None}])


def test_a_run_says_in_a_line_what_it_is(run: pm.Run) -> None:
    said = r"<Run: label \(validated at accuracy 1\) from picture, signal.*, 60 rows; not saved>"
    assert re.fullmatch(said, repr(run))
    assert run._repr_html_().count("<tr>") == 1 + len(run.leaderboard)
