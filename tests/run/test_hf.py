"""A run as transformers has a model: saved, loaded, sent to the hub, and told of in its card."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from transformers import AutoConfig, AutoModel

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe
from polymodal.nn import checkpoint
from polymodal.report.card import Card
from polymodal.run.config import PolymodalConfig

TRAINING = {
    "epochs": 1,
    "batch_size": 32,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}
ROWS = 80


def table(rows: int = ROWS) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 2, rows)
    return pd.DataFrame(
        {
            "note|x": [f"{'calm' if k else 'dark'} sea on day {i}" for i, k in enumerate(kinds)],
            "a_b": rng.normal(size=rows) + kinds,
            "label": np.where(kinds == 1, "<yes>", "no"),
            "rare": np.where(np.arange(rows) < rows - 5, "often", "seldom"),
            "owner": ["Ada Lovelace"] * rows,
            "ticket": [f"T-{1000 + i * i}" for i in range(rows)],
        }
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cached(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(cache))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, cache: Path, bert_path: str) -> pm.Run:
    """A network on a frozen model and on cells, and its rivals; saved, with an evaluation.

    Nothing else reads the text: whichever model another processor's rounding makes the better
    one, one on the frozen model is kept.
    """
    folder = tmp_path_factory.mktemp("runs")
    table().to_csv(folder / "train.csv", index=False)
    modalities = {"note|x": {"pretrained": bert_path}, "table": {}}
    recipe = {
        "train": str(folder / "train.csv"),
        "targets": {"label": None, "rare": None},
        "models": [
            {"name": "both", "modalities": modalities, "width": 8, "training": TRAINING},
        ],
        "rivals": True,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(cache))
        found = pm.fit(recipe=Recipe.model_validate(recipe), out=folder / "run")
        pm.evaluate(found, table(40), explain=0).save(folder / "run" / "test")
    return found


@pytest.fixture(scope="module")
def saved(run: pm.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "saved"
    assert run.folder is not None
    pm.PolymodalModel.from_run(run).save_pretrained(
        folder, metrics=run.folder / "test", license="apache-2.0"
    )
    return folder


def test_what_is_saved_answers_what_the_run_answers_and_is_a_run(
    run: pm.Run, saved: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    given = table(30)
    wanted = run.predict(given)
    for found in (
        AutoModel.from_pretrained(saved),
        pm.PolymodalModel.from_pretrained(str(saved)),
        pm.PolymodalModel.from_pretrained(run.folder),
    ):
        assert isinstance(found, pm.PolymodalModel) and not found.training
        pd.testing.assert_frame_equal(found(given), wanted)
        np.testing.assert_array_equal(found.run.embed(given), run.embed(given))
    pd.testing.assert_frame_equal(pm.load(saved).predict(given), wanted)
    # Nothing says where it all lay: tables, models, the run itself; nor what is in unread cells.
    names = ("config.json", "README.md", "recipe.yaml", "run.json")
    told = "".join((saved / name).read_text() for name in names)
    assert str(tmp_path_factory.getbasetemp()) not in told
    assert "Lovelace" not in told and "T-1000" not in told and "80 different codes" not in told
    assert "| owner | not read | constant |" in told and "| ticket | not read | an id |" in told
    assert {run.schema.skipped["owner"], run.schema.skipped["ticket"]} == {
        "constant: always 'Ada Lovelace'",
        "an id: 80 different codes in 80 cells, such as 'T-1000'",
    }
    assert run.folder is not None and run.folder.name == "run"


def test_the_configuration_tells_what_it_reads_and_predicts(run: pm.Run, saved: Path) -> None:
    found = AutoConfig.from_pretrained(saved)
    assert isinstance(found, PolymodalConfig)
    described = json.loads((saved / "config.json").read_text())
    assert described["model_type"] == "polymodal"
    assert found.inputs == {"note|x": "text", "a_b": "number"}
    assert found.targets == {"label": "classify", "rare": "classify"}
    assert found.models == list(run.members)
    model = pm.PolymodalModel.from_pretrained(saved, config=found)
    count = sum(v.numel() for one in model.members for v in one.state_dict().values())
    assert found.parameters == count
    assert model.device.type == "cpu" and model.dtype == torch.float32
    with pytest.raises(UserError, match="of its configuration alone"):
        AutoModel.from_config(found)


def test_what_was_saved_is_saved_again_the_same(run: pm.Run, saved: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert run.folder is not None
    model = AutoModel.from_pretrained(saved)
    model.save_pretrained(again, metrics=run.folder / "test", license="apache-2.0")
    for name in ("README.md", "config.json", "recipe.yaml", "run.json", "model.safetensors"):
        assert (again / name).read_bytes() == (saved / name).read_bytes(), name


def test_no_pickle_and_no_code_is_among_the_files(saved: Path) -> None:
    names = {path.name for path in saved.iterdir()}
    backbones = {name for name in names if name.startswith("pretrained-")}
    files = {"README.md", "config.json", "model.safetensors", "recipe.yaml", "run.json"}
    assert backbones and names - backbones == files
    assert {path.suffix for path in saved.rglob("*") if path.is_file()} <= {
        ".json",
        ".md",
        ".safetensors",
        ".yaml",
    }


def test_the_card_tells_the_facts(run: pm.Run, saved: Path) -> None:
    text = (saved / "README.md").read_text()
    card = huggingface_hub.ModelCard.load(saved / "README.md")
    assert card.data.license == "apache-2.0" and card.data.library_name == "polymodal"
    assert {"multimodal", "text", "number"} <= set(card.data.tags)
    assert run.folder is not None
    measured = json.loads((run.folder / "test" / "metrics.json").read_text())
    results = [r for r in card.data.eval_results if r.dataset_split == "test"]
    told = {(r.task_name, r.metric_type): (r.metric_value, r.metric_args) for r in results}
    for target, metrics in measured["targets"].items():
        for name, one in metrics.items():
            args = {"low": one["low"], "high": one["high"]}
            if one["value"] is not None:
                assert told[target, name] == (one["value"], args)
    line = next(x for x in run.leaderboard if x["role"] == "fused" and x["target"] == "label")
    assert f"| fused | {line['metric']} | {line['value']:.4f} |" in text
    # Names mean nothing to Markdown or a browser.
    assert "note\\|x (text)" in text and "&lt;yes&gt;" in text and "<yes>" not in text
    assert "fewer than 20 rows have seldom" in text
    assert "80 rows of train.csv" in text and "40 rows" in text
    assert "Weights of others" in text and "## Parent" not in text
    for title in ("How to load it", "Columns", "Data", "Figures", "Limits"):
        assert f"## {title}\n" in text


def test_a_card_without_an_evaluation_says_so_and_one_with_a_parent_names_it(run: pm.Run) -> None:
    parent = {
        "run": "/home/somebody/runs/first",
        "hash": "abc",
        "started": {"note|x": "text"},
        "left": {"table": "the parent has no such column"},
    }
    child = replace(run, origin={**run.origin, "parent": parent})
    text = Card(child).text()
    assert "measured on no further rows" in text and "license" not in text
    assert "started from first (hash abc), with what that had learned of note\\|x as text" in text
    assert "not taken over: table: the parent has no such column" in text
    assert "somebody" not in text
    head = yaml.safe_load(text.split("---\n")[1])
    splits = {one["dataset"]["split"] for one in head["model-index"][0]["results"]}
    assert splits == {"validation"}


def test_it_is_sent_to_the_hub_whole(
    run: pm.Run, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[str, Any] = {}

    class Hub:
        def __init__(self, token: str | None = None) -> None:
            sent["token"] = token

        def create_repo(self, repo_id: str, **options: Any) -> Any:
            sent["repo"] = {"repo_id": repo_id, **options}
            return huggingface_hub.RepoUrl(f"https://huggingface.co/somebody/{repo_id}")

        def create_branch(self, repo_id: str, **options: Any) -> None:
            sent["branch"] = options["branch"]

        def upload_folder(self, *, folder_path: Path, **options: Any) -> Any:
            files = [path for path in folder_path.rglob("*") if path.is_file()]
            sent["files"] = {str(p.relative_to(folder_path)): p.read_bytes() for p in files}
            sent["upload"] = options
            return type("Done", (), {"commit_url": "https://huggingface.co/commit/1"})()

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    model = pm.PolymodalModel.from_run(run)
    assert run.folder is not None
    address = model.push_to_hub(
        "first",
        metrics=run.folder / "test" / "metrics.json",
        license="apache-2.0",
        private=True,
        token="t",
        revision="next",
    )
    assert address == "https://huggingface.co/commit/1" and sent["token"] == "t"
    assert sent["repo"] == {"repo_id": "first", "private": True, "exist_ok": True}
    assert sent["upload"]["repo_id"] == "somebody/first" and sent["branch"] == "next"
    assert sent["upload"]["revision"] == "next"
    paths = [path for path in saved.rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(saved)): path.read_bytes() for path in paths}
    assert sent["files"] == wanted


def test_a_run_on_the_hub_is_found_by_its_name(
    run: pm.Run, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def snapshot(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        return str(saved.parent)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    found = pm.PolymodalModel.from_pretrained(
        "somebody/first", revision="next", token=None, subfolder="saved"
    )
    assert asked == {"name": "somebody/first", "revision": "next"}
    pd.testing.assert_frame_equal(found(table(10)), run.predict(table(10)))


LOADED = """
import sys
{first}
assert "torch" not in sys.modules or "transformers" in {first!r}
assert "polymodal.run.hf" not in sys.modules
import polymodal
from transformers import AutoModel
model = AutoModel.from_pretrained(sys.argv[1])
print(type(model).__name__, len(model([{{"a_b": 1.0}}])["label"]))
"""


@pytest.mark.whole
@pytest.mark.parametrize("first", ["import polymodal", "from transformers import AutoModel"])
def test_auto_classes_open_it_whichever_is_imported_first(first: str, saved: Path) -> None:
    command = [sys.executable, "-c", LOADED.format(first=first), str(saved)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "PolymodalModel 1\n", done.stderr


# -- bad input -----------------------------------------------------------------------------------


def test_a_folder_that_holds_something_is_left_alone(run: pm.Run, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    model = pm.PolymodalModel.from_run(run)
    with pytest.raises(UserError, match="a new or empty folder"):
        model.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_save_that_fails_leaves_nothing(
    run: pm.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError("no room")

    monkeypatch.setattr(checkpoint, "copy", full)
    with pytest.raises(UserError, match="no room"):
        pm.PolymodalModel.from_run(run).save_pretrained(tmp_path / "saved")
    assert not list(tmp_path.iterdir())


def test_the_metrics_of_another_run_are_no_figures_of_this_one(run: pm.Run, tmp_path: Path) -> None:
    model = pm.PolymodalModel.from_run(run)
    assert run.folder is not None
    found = json.loads((run.folder / "test" / "metrics.json").read_text())
    # A run of the same table that came out otherwise.
    twin = pm.load(run.folder)
    for member in twin.members.values():
        next(v for v in member.module.state_dict().values() if v.is_floating_point()).add_(0.01)
    pm.evaluate(twin, table(40), explain=0).save(tmp_path / "twin")
    other = json.loads((tmp_path / "twin" / "metrics.json").read_text())
    for i, document in enumerate((other, {**found, "targets": {}}, {"rows": 1}, [])):
        (tmp_path / f"{i}.json").write_text(json.dumps(document))
        with pytest.raises(UserError, match="no evaluation of this run"):
            model.save_pretrained(tmp_path / "saved", metrics=tmp_path / f"{i}.json")
    with pytest.raises(UserError, match="missing or damaged"):
        model.save_pretrained(tmp_path / "saved", metrics=tmp_path / "none")
    assert not (tmp_path / "saved").exists()


def test_a_run_with_code_of_its_own_is_not_sent_anywhere(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from polymodal.fusion.sum import Sum\nclass Mine(Sum): pass\n"
    )
    recipe = {
        "targets": {"label": None},
        "modalities": {"table": {}},
        "fusion": f"{tmp_path}/mine.py:Mine",
        "width": 8,
        "training": TRAINING,
    }
    run = pm.fit(table().drop(columns="rare"), recipe=Recipe.model_validate(recipe))
    with pytest.raises(UserError, match="brings Python code of its own"):
        pm.PolymodalModel.from_run(run).save_pretrained(tmp_path / "saved")


@pytest.mark.parametrize("given", [{"dtype": "float16"}, {"device_map": "auto"}])
def test_what_would_change_its_answers_is_refused(saved: Path, given: dict[str, str]) -> None:
    with pytest.raises(UserError, match="loaded as it was validated"):
        AutoModel.from_pretrained(saved, **given)


def test_it_is_moved_and_stays_in_its_precision(run: pm.Run, saved: Path) -> None:
    model = pm.PolymodalModel.from_pretrained(saved)
    for cast in (model.half, model.bfloat16, model.double, lambda: model.to(torch.float16)):
        with pytest.raises(UserError, match="in float32"):
            cast()
    assert model.to("cpu").float() is model
    pd.testing.assert_frame_equal(model(table(10)), run.predict(table(10)))


def test_what_is_damaged_or_no_run_is_told(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a finished run"):
        pm.PolymodalModel.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes((saved / "config.json").read_bytes())
    with pytest.raises(UserError, match="not a finished run"):
        AutoModel.from_pretrained(tmp_path)
    with pytest.raises(UserError, match="There is no folder 'no/such/run'"):
        pm.PolymodalModel.from_pretrained("no/such/run")
