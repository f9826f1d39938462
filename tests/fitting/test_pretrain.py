"""Pretraining without labels, what starts from it, and what is found with it."""

from __future__ import annotations

import csv
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.beside import ENCODER, frozen
from polymodal.contract.recipe import Parent, Recipe
from polymodal.fitting.parent import origin
from polymodal.models import build
from polymodal.models.model import Model
from polymodal.prepared.prepare import Prepared

pytestmark = pytest.mark.whole

SHAPES = ["red square", "blue circle", "green cross", "grey ring", "pink star", "black dot"]
TRAINING = {
    "epochs": 12,
    "batch_size": 32,
    "lr": 0.01,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}


def columns(rows: int, seed: int = 0) -> dict[str, list[Any]]:
    """Two numbers say what the note says; the label is the first of them rounded."""
    rng = random.Random(seed)
    kinds = [rng.randrange(6) for _ in range(rows)]
    return {
        "note": [f"{SHAPES[k]} {rng.randrange(10**6)}" for k in kinds],
        "across": [k % 3 + rng.gauss(0, 0.05) for k in kinds],
        "down": [k // 3 + rng.gauss(0, 0.05) for k in kinds],
        "label": [f"c{k % 3}" for k in kinds],
    }


def recipe(**more: Any) -> Recipe:
    network = {
        "name": "net",
        "fusion": "sum",
        "width": 16,
        "modalities": {"note": {"encoder": "ngrams"}, "table": {}},
        "training": TRAINING,
    }
    return Recipe.model_validate({"models": [network], **more})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run that was pretrained on rows of which none says its label."""
    out = tmp_path_factory.mktemp("pretrained") / "run"
    data = columns(160)
    data["note"][3] = data["across"][7] = data["down"][7] = None
    pm.pretrain(data, recipe=recipe(), drop=["label"], out=out, show=pm_silent())
    return out


def pm_silent() -> Any:
    from polymodal.report.console import Show

    return Show.silent()


def test_it_is_a_run_that_is_measured_and_embeds(folder: Path) -> None:
    run = pm.load(folder)
    (name,) = run.tasks
    assert [c.name for c in run.schema.targets] == []
    assert run.origin["rows"] == 160
    line = next(line for line in run.leaderboard if line["role"] == "fused")
    assert line["metric"] == "recall_at_1" and line["low"] <= line["value"] <= line["high"]
    data = columns(40, seed=1)
    found = pm.evaluate(run, data).targets[name]
    for way in ("note to table", "table to note"):
        wanted = {f"{way}: recall_at_{k}" for k in (1, 5, 10)} | {f"{way}: median_rank"}
        assert wanted <= set(found)
    # Six kinds of rows: to find one's own kind is to be among some seven of forty.
    assert found["note to table: median_rank"]["value"] < 10
    vectors = run.embed(data)
    assert vectors.shape == (40, 128)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    alike = run.predict(data)[name]
    wrong = run.predict({**data, "note": data["note"][1:] + data["note"][:1]})[name]
    assert np.mean(alike) > np.mean(wrong) + 0.1


def test_a_fit_starts_from_it_and_says_so(folder: Path, tmp_path: Path) -> None:
    told = pm_silent()
    data = {name: cells[:48] for name, cells in columns(200, seed=2).items()}
    run = pm.fit(data, "label", recipe=recipe(), parent=folder, out=tmp_path / "run", show=told)
    lineage = json.loads((tmp_path / "run" / "run.json").read_text())["origin"]["parent"]
    assert lineage["started"] == {"note": "note", "table": "table"} and lineage["left"] == {}
    assert lineage["run"] == str(folder) and len(lineage["hash"]) == 32
    assert run.recipe.parent is not None and run.recipe.parent.run == str(folder)
    parent = pm.load(folder)
    # Not only weights: what cells are read as comes from the parent too.
    assert [f.state for f in run.forms] == [f.state for f in parent.forms]
    assert pm.load(tmp_path / "run").predict(data)["label"] == run.predict(data)["label"]


def test_weights_go_over_by_name_or_by_mapping_whole_or_not_at_all(folder: Path) -> None:
    parent = pm.load(folder)
    theirs = parent.members["net"].module
    renamed = {"text": columns(30)["note"], **{n: columns(30)[n] for n in ("across", "down")}}
    schema = _schema(renamed)
    found = origin(Parent(run=str(folder), columns={"text": "note"}), schema)
    assert dict(found.old) == {"text": "note", "table": "table"}
    member = recipe().models[0]  # type: ignore[index]
    read = {"text": member.modalities["note"], "table": member.modalities["table"]}
    member = member.model_copy(update={"modalities": read})
    module = build.module(member, schema, found.forms, parent.tasks | _renamed(parent))
    assert isinstance(module, Model)
    assert found.start(module) == {"text": "", "table": ""}
    for mine, old in zip(module.encoders, theirs.encoders, strict=True):
        state = old.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in mine.state_dict().items())
    narrow = build.module(
        member.model_copy(update={"width": 8}), schema, found.forms, _renamed(parent)
    )
    assert isinstance(narrow, Model)
    before = {key: value.clone() for key, value in narrow.state_dict().items()}
    assert all("width" in why for why in found.start(narrow).values())
    assert all(torch.equal(value, before[key]) for key, value in narrow.state_dict().items())
    by_name = origin(Parent(run=str(folder)), schema)
    assert dict(by_name.old) == {"table": "table"} and "note" in by_name.unused()


def _schema(data: dict[str, list[Any]]) -> Any:
    from polymodal.table.infer import infer
    from polymodal.table.read import read

    return infer(read(data), [], {}, [], None)


def _renamed(parent: Any) -> dict[str, Any]:
    from polymodal.tasks.contrastive import Contrastive

    return {"contrastive": Contrastive("contrastive", modalities=["text", "table"])}


def test_experts_read_what_the_parent_made_of_rows_without_labels(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    parent, data = pm.load(folder), columns(40, seed=2)
    found = origin(Parent(run=str(folder)), _schema(data))
    # Cells of a table have no form that a frozen model's outputs stand beside.
    (name, path), *others = found.vectors().items()
    assert name == "note" and not others and found.vectors() == {name: path}
    form, net = frozen("text", path), parent.members["net"].module
    notes = [*data["note"], ""]
    alone = np.stack([form.encode(note)[0] for note in notes])
    cells = found.forms["note"].encode_many(notes)
    field = Prepared.of(cells, found.forms["note"], cells[0].shape[1:]).gather(np.arange(41))
    with torch.inference_mode():
        wanted = net.eval().encoders[0](field).mean().numpy()
    np.testing.assert_allclose(alone, wanted, atol=1e-5)
    together = [one[0] for one in form.encode_many(notes)]
    np.testing.assert_allclose(np.stack(together), alone, atol=1e-5)
    # A run brings along what its experts read with.
    expert = {"learner": "linear", "modalities": {"note": {"pretrained": path}}}
    few = {n: cells[:12] for n, cells in data.items() if n in ("note", "label")}
    made = Recipe.model_validate({"models": [{"name": "one", **expert}], "data": {"valid": 0.25}})
    run = pm.fit(few, "label", recipe=made, out=tmp_path / "run", show=pm_silent())
    again = pm.load(tmp_path / "run")
    shutil.rmtree(tmp_path / "cache")
    assert again.predict(few)["label"] == run.predict(few)["label"]
    # A parent that knows labels may know those of the rows that are held out.
    told = pm.fit(data, "label", recipe=recipe(), out=tmp_path / "told", show=pm_silent())
    assert "note" in told.members["net"].spec.modalities
    assert origin(Parent(run=str(tmp_path / "told")), _schema(data)).vectors() == {}


def test_an_encoder_that_is_none_is_one_clear_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    path = Path(origin(Parent(run=str(folder)), _schema(columns(8))).vectors()["note"])
    whole = json.loads((path / ENCODER).read_text())
    evil = tmp_path / "evil.py"
    evil.write_text("raise SystemExit('executed')")

    def refused() -> None:
        with pytest.raises(UserError, match="is missing or damaged"):
            frozen("text", str(path)).encode("red square")

    for wrong in (
        {**whole, "kind": "image"},
        {**whole, "encoder": {"name": f"{evil}:Evil"}},
        {**whole, "form": None},
        {key: value for key, value in whole.items() if key != "align"},
        {**whole, "encoder": {"name": "lstm"}},
    ):
        (path / ENCODER).write_text(json.dumps(wrong))
        refused()
    (path / ENCODER).write_text(json.dumps(whole))
    frozen("text", str(path)).encode("red square")
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    refused()


def test_rows_are_found_by_another_modality(folder: Path, tmp_path: Path) -> None:
    run, index = pm.load(folder), columns(60, seed=3)
    index["note"][5] = None
    found = pm.retrieve(run, index, query="red square", source="note", to="table", k=7)
    assert found["query"] == [0] * 7 and found["rank"] == list(range(1, 8))
    assert found["similarity"] == sorted(found["similarity"], reverse=True)
    assert found["across"] == [index["across"][row] for row in found["row"]]
    numbers = {name: index[name][:3] for name in ("across", "down")}
    back = pm.retrieve(
        run, {"note": index["note"]}, queries=numbers, source="table", to="note", k=99
    )
    assert [back["query"].count(i) for i in range(3)] == [59] * 3 and 5 not in back["row"]
    # Nearest to a note is that note, or one of the same words.
    whole = pm.retrieve(run, index, queries=index, source="note", to="note", k=1)
    assert whole["query"] == [i for i in range(60) if i != 5]
    said = [index["note"][i].rpartition(" ")[0] for i in whole["query"]]
    assert [note.rpartition(" ")[0] for note in whole["note"]] == said
    np.testing.assert_allclose(whole["similarity"], 1, rtol=1e-5)


def test_what_is_found_is_told_of_a_column_that_is_called_query_too() -> None:
    data = {{"note": "query"}.get(name, name): cells for name, cells in columns(60).items()}
    modalities = {"query": {"encoder": "ngrams"}, "table": {}}
    network = {"name": "net", "modalities": modalities, "training": {**TRAINING, "epochs": 1}}
    quick = Recipe.model_validate({"models": [network]})
    run = pm.pretrain(data, recipe=quick, drop=["label"], show=pm_silent())
    found = pm.retrieve(run, data, query="red square 1", source="query", to="query", k=2)
    assert found["query"] == [0, 0]
    assert found["query.found"] == [data["query"][row] for row in found["row"]]


def test_tasks_are_learned_side_by_side_and_in_chunks(tmp_path: Path) -> None:
    tasks = [{"name": "contrastive", "chunk": 20}, "matching"]
    data = columns(90)
    data["across"][4] = data["down"][4] = data["note"][8] = None
    run = pm.pretrain(
        data, task=tasks, recipe=recipe(), drop=["label"], out=tmp_path / "run", show=pm_silent()
    )
    assert [run.tasks["contrastive"].chunk, list(run.tasks)] == [20, ["contrastive", "matching"]]
    found = pm.evaluate(pm.load(tmp_path / "run"), columns(30, seed=1), explain=1)
    assert {"accuracy", "preferred", "log_loss"} <= set(found.targets["matching"])
    assert 0 <= found.targets["contrastive"]["recall_at_1"]["value"] <= 1
    assert {one["why"] for one in found.unjudged.values()} == {"unlabelled"}
    assert 0 <= run.predict_row({"note": "red square 1", "across": 0, "down": 0})["matching"] <= 1
    assert len(run.embed(columns(5))) == 5


def test_a_fusion_takes_the_place_of_the_recipes(tmp_path: Path) -> None:
    data = {name: cells for name, cells in columns(60).items() if name != "label"}
    quick = recipe()
    quick.models[0].training.epochs = 1
    run = pm.pretrain(data, recipe=quick, fusion="gated", show=pm_silent())
    assert [member.spec.fusion for member in run.members.values()] == ["gated"]
    several = Recipe.model_validate({"models": [{"name": "a"}, {"name": "b"}]})
    with pytest.raises(UserError, match="beside a recipe of several models"):
        pm.pretrain(data, recipe=several, fusion="gated", show=pm_silent())


def test_what_does_not_fit_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    data = columns(60)
    alone = {"note": data["note"]}
    with pytest.raises(UserError, match="cannot be pretrained on this table"):
        pm.pretrain(alone, task="contrastive", show=pm_silent())
    with pytest.raises(UserError, match="it is fitted, not pretrained"):
        pm.pretrain(data, task="classify", show=pm_silent())
    with pytest.raises(UserError, match="There is no tasks called"):
        pm.pretrain(data, task="contrast", show=pm_silent())
    with pytest.raises(UserError, match="There is no column 'nota' to learn from"):
        pm.pretrain(data, columns=["nota"], show=pm_silent())
    with pytest.raises(UserError, match="There is no column 'nota' to learn from"):
        pm.pretrain(data, columns="nota", show=pm_silent())
    # A lone name to leave out is no list of letters either: nothing is left to learn from.
    with pytest.raises(UserError, match="no column left to learn from"):
        pm.pretrain(alone, drop="note", show=pm_silent())
    strange = {"words": data["note"], "y": data["label"]}
    with pytest.raises(UserError, match="fits this table"):
        pm.fit(strange, "y", parent=folder, show=pm_silent())
    mapped = {"run": str(folder), "columns": {"words": "sound"}}
    with pytest.raises(UserError, match="has no column 'sound'"):
        pm.fit(strange, "y", parent=mapped, show=pm_silent())
    with pytest.raises(UserError, match="has no column 'sounds' to start"):
        pm.fit(strange, "y", parent={**mapped, "columns": {"sounds": "note"}}, show=pm_silent())
    with pytest.raises(UserError, match="is not a finished run"):
        pm.fit(strange, "y", parent=tmp_path / "none", show=pm_silent())
    expert = Recipe.model_validate({"models": [{"name": "one", "learner": "linear"}]})
    pm.fit(data, "label", recipe=expert, out=tmp_path / "expert", show=pm_silent())
    with pytest.raises(UserError, match="is no parent"):
        pm.fit(data, "label", parent=tmp_path / "expert", show=pm_silent())
    with pytest.raises(UserError, match="Nothing starts from the parent"):
        pm.fit(data, "label", recipe=expert, parent=folder, show=pm_silent())
    run = pm.load(folder)
    for wrong, words in (
        ({"query": "a", "queries": data}, "Both a query"),
        ({}, "Nothing to search for"),
        ({"query": "a", "k": 0}, "asks for no row"),
        ({"query": "a", "to": "sound"}, "does not compare 'sound'"),
        ({"query": "a", "engine": "fast"}, "no way to search"),
        ({"queries": {"text": ["a"]}}, "has no column 'note' to compare"),
    ):
        given = {"source": "note", "to": "table", **wrong}
        with pytest.raises(UserError, match=words):
            pm.retrieve(run, data, **given)
    with pytest.raises(UserError, match="compares no modalities"):
        pm.retrieve(pm.load(tmp_path / "expert"), data, query="a", source="note", to="table")


def test_from_the_command_line(folder: Path, tmp_path: Path) -> None:
    from polymodal.cli.main import app

    with (tmp_path / "index.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        data = columns(20, seed=4)
        writer.writerow(data)
        writer.writerows(zip(*data.values(), strict=True))
    runner, table = CliRunner(), str(tmp_path / "index.csv")
    search = ["retrieve", str(folder), "--index", table, "--from", "note", "--to", "table"]
    one = runner.invoke(app, [*search, "--query", "pink star", "--k", "2"])
    assert one.exit_code == 0, one.output
    assert [line["rank"] for line in json.loads(one.stdout)] == [1, 2]
    out = tmp_path / "found.csv"
    many = runner.invoke(app, [*search, "--queries", table, "--k", "3", "--out", str(out)])
    assert many.exit_code == 0, many.output
    with out.open() as file:
        assert len(list(csv.DictReader(file))) == 60
    for command, words in (
        (["fit", table, "--target", "label", "--match", "a=b"], "goes with --from"),
        (["fit", table, "--target", "label", "--from", str(folder), "--match", "a"], "two columns"),
        (["pretrain", table, "--task", "classify"], "cannot be pretrained"),
        ([*search, "--queries", table], "No output file"),
    ):
        result = runner.invoke(app, command)
        assert isinstance(result.exception, UserError) and words in str(result.exception), command
