"""An exported folder answers raw rows as the run does, without PyTorch and without this package."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from polymodal.base.errors import UserError
from polymodal.export import bundle, parity
from polymodal.export.export import HEAVY, export
from polymodal.export.package import by_onnx
from polymodal.export.package.model import Model
from polymodal.run.run import Run

pytestmark = pytest.mark.whole

SMALL = {"width": 16, "training": {"epochs": 1}}
ALONE = """
import runpy, sys
sys.modules.update(dict.fromkeys({gone!r}))
sys.argv = ["predict.py", *{arguments!r}]
sys.path.insert(0, {folder!r})
runpy.run_path({folder!r} + "/predict.py", run_name="__main__")
"""


def predicted(folder: Path, source: Path, out: Path, gone: tuple[str, ...]) -> list[dict]:
    """What `predict.py` writes in a process in which some packages cannot be imported."""
    code = ALONE.format(gone=gone, arguments=[str(source), str(out)], folder=str(folder))
    done = subprocess.run([sys.executable, "-IB", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with open(out, newline="") as file:
        return list(csv.DictReader(file))


def assert_alike(found: list[dict], wanted: dict[str, list], scales: dict[str, float]) -> None:
    assert list(found[0]) == list(wanted)
    for name, values in wanted.items():
        column = [row[name] for row in found]
        if isinstance(values[0], float):
            limit = 1e-4 * scales.get(name, 1.0)
            np.testing.assert_allclose(np.array(column, float), values, atol=limit, rtol=0)
        else:
            assert column == [str(value) for value in values], name


@pytest.fixture(scope="module")
def folder(
    mixed: Run,
    orders: Path,
    exported: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("exported") / "orders"
    said = exported(mixed, out, data=orders)
    assert "lin, trees, net" in said and "with every set of modalities missing" in said
    return out


def test_raw_rows_are_answered_where_nothing_heavy_is(folder, mixed, orders, tmp_path):
    gone = (*HEAVY, "polymodal")
    found = predicted(folder, orders, tmp_path / "predictions.csv", gone)
    wanted = mixed.predict(orders)
    assert any(wanted["missing"])
    assert_alike(found, wanted, {"amount": mixed.tasks["amount"].scale})


def test_all_that_is_needed_is_named(folder):
    lines = (folder / "requirements.txt").read_text().splitlines()
    names = [line.partition("==")[0] for line in lines]
    assert names == ["av", "numpy", "onnxruntime", "pillow", "regex"]
    assert not list(folder.rglob("__pycache__"))


def test_programs_of_pytorch_answer_too(linear, orders, tmp_path):
    export(linear, tmp_path / "programs", "torch", orders, rows=12)
    found = predicted(
        tmp_path / "programs",
        orders,
        tmp_path / "predictions.csv",
        tuple(name for name in (*HEAVY, "polymodal", "onnxruntime") if name != "torch"),
    )
    assert_alike(found, linear.predict(orders), {"amount": linear.tasks["amount"].scale})


def test_a_graph_that_answers_otherwise_is_not_written(linear, orders, tmp_path, monkeypatch):
    honest = by_onnx.Graph.__call__

    def wrong(self, given):
        found = honest(self, given)
        return {name: a + 2e-4 * (name == "returned.answer") for name, a in found.items()}

    monkeypatch.setattr(by_onnx.Graph, "__call__", wrong)
    with pytest.raises(UserError, match=r"graph of 'lin' does not answer .*\n.*\n.*0\.0002"):
        export(linear, tmp_path / "out", data=orders, rows=8)
    assert not list(tmp_path.iterdir())


def test_what_only_a_rival_reads_is_missing_all_the_same(folder, mixed, tmp_path):
    """Of a run of which the trees, that see no photo, answer alone."""
    shares = {target: {"trees": 1.0} for target in mixed.tasks}
    run = replace(mixed, pipeline=replace(mixed.pipeline, weights={"fused": shares}, partial={}))
    shutil.copytree(folder / bundle.COPY, tmp_path / "out")
    described = json.loads((tmp_path / "out" / "model.json").read_text())
    described |= {"members": {"trees": described["members"]["trees"]}}
    described |= {"weights": shares, "partial": []}
    (tmp_path / "out" / "model.json").write_text(json.dumps(described))
    row = {"note": "late", "price": 3}
    there, here = Model(tmp_path / "out").predict([row]), run.predict([row])
    assert there["missing"] == here["missing"] == ["photo"]


def test_what_is_there_already_is_not_replaced(mixed, orders, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is there already"):
        export(mixed, tmp_path, data=orders)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_pretrained_models_go_along(
    fitted: Callable[..., Run], orders: Path, checkpoint: Callable[[str], str], tmp_path: Path
):
    from transformers import AutoModel

    def shallow(name: str) -> str:
        """Of one layer, for speed: `test_frozen.py` exports deeper ones."""
        place = shutil.copytree(checkpoint(name), tmp_path / name)
        AutoModel.from_pretrained(place, num_hidden_layers=1).save_pretrained(place)
        return str(place)

    note = {"pretrained": shallow("bert")}
    read = {"note": note, "photo": {"pretrained": shallow("vit")}}
    tuned = {"note": {**note, "tune": True}, "table": {"encoder": "mlp"}}
    run = fitted(
        orders,
        {
            "models": [
                {"name": "lin", "learner": "linear", "modalities": {**read, "table": {}}},
                {"name": "net", "modalities": tuned, "fusion": "sum", **SMALL},
            ],
        },
        ["returned"],
        {"extras": "set", "note": "text", "city": "category"},
    )
    export(run, tmp_path / "out", rows=20)
    lines = (tmp_path / "out" / "requirements.txt").read_text()
    assert "tokenizers==" in lines and "torch" not in lines and "transformers" not in lines
    gone = (*HEAVY, "polymodal")
    found = predicted(tmp_path / "out", orders, tmp_path / "predictions.csv", gone)
    assert_alike(found, run.predict(orders), {})


def test_a_run_for_transformers_is_opened_by_it(linear, orders, tmp_path):
    from transformers import AutoModel

    assert "AutoModel" in export(linear, tmp_path / "hf", "hf")
    opened = AutoModel.from_pretrained(tmp_path / "hf")
    wanted = linear.predict(orders)["amount"]
    assert opened(orders)["amount"] == pytest.approx(wanted)
    with pytest.raises(UserError, match="no rows prove it"):
        export(linear, tmp_path / "other", "hf", orders)
    with pytest.raises(UserError, match="is there already"):
        export(linear, tmp_path / "hf", "hf")


def test_tags_of_words_are_answered_as_the_training_cells_are_written(
    fitted: Callable[..., Run], tmp_path: Path
):
    rng = np.random.default_rng(0)
    with open(tmp_path / "words.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["words", "size", "labels"])
        for _ in range(60):
            words = rng.choice(["Anna", "sees", "London", "a", "house"], rng.integers(1, 7))
            tags = ["S-X" if word in ("Anna", "London") else "O" for word in words]
            writer.writerow([" ".join(words), rng.integers(0, 9), " ".join(tags)])
    source = tmp_path / "words.csv"
    run = fitted(
        source,
        {
            "models": [
                {
                    "name": "net",
                    "modalities": {"words": {"encoder": "embedding"}, "table": {"encoder": "mlp"}},
                    "fusion": "sum",
                    **SMALL,
                }
            ],
        },
        ["labels"],
        {"labels": "tags", "words": "text", "size": "number"},
    )
    export(run, tmp_path / "out", rows=40)
    gone = (*HEAVY, "polymodal")
    found = predicted(tmp_path / "out", source, tmp_path / "predictions.csv", gone)
    assert_alike(found, run.predict(source), {})


def test_sets_of_missing_modalities():
    assert len(parity.absences(["a", "b", "c"])) == 8
    assert len(parity.absences(list("abcdefgh"))) == 1 + 8 + 8 + 1
