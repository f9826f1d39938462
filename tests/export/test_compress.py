"""Compression: what is small is counted, what it costs is measured, and no gain is refused."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typed import polymodal

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.export import compress as module
from polymodal.export.compress import REPORT, compress
from polymodal.export.package.model import Model
from polymodal.export.pruned import fewer
from polymodal.report.console import Show
from polymodal.run.run import Run
from polymodal.run.saved import save
from polymodal.tasks.regress import Regress

pytestmark = pytest.mark.whole

ROWS = 90
SLOW = {"distilled": 9.0}


@pytest.fixture(scope="module")
def folder(
    mixed: Run,
    orders: Path,
    exported: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("compressed") / "int8"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "export", exported)
        patch.setattr(module, "_best", lambda runners: dict.fromkeys(runners, 0.5))
        compress(mixed, orders, out, train=orders, force=True)
    return out


def test_products_are_in_eight_bits_and_answers_hardly_change(folder, mixed, orders):
    import onnx

    kinds = [
        node.op_type
        for path in (folder / "polymodal_model" / "graphs").glob("*.onnx")
        for node in onnx.load(path).graph.node
    ]
    report = json.loads((folder / REPORT).read_text())
    assert report["counts"][0] == kinds.count("MatMulInteger") > 0
    rows = [{"note": "poor and late", "price": "€ 12.00", "city": "Rome"}]
    found = Model(folder / "polymodal_model").predict(rows)
    wanted = mixed.predict([{**rows[0], "photo": None, "extras": None, "day": None}])
    assert abs(found["returned=yes"][0] - wanted["returned=yes"][0]) < 0.05
    assert found["amount"][0] == pytest.approx(wanted["amount"][0], abs=300)


def test_what_it_costs_is_said_of_all_and_of_each_modality(folder, mixed, orders):
    report = json.loads((folder / REPORT).read_text())
    assert set(report["quality"]) == {"returned", "amount", "marks"}
    assert set(report["alone"]) == {"photo", "note", "table"}
    true = [str(cell) for cell in mixed.pipeline.table(orders).cells("returned")]
    right = np.mean([a == b for a, b in zip(mixed.predict(orders)["returned"], true, strict=True)])
    full = {one["name"]: one["value"] for one in report["quality"]["returned"]["models"]}["fp32"]
    assert full == pytest.approx(right)


def test_a_slower_model_is_refused(linear, orders, tmp_path, monkeypatch):
    seconds = {"pytorch": 1.0, "bf16": 3.0, "fp32": 1.5, "int8": 2.0}
    monkeypatch.setattr(module, "_best", lambda runners: {who: seconds[who] for who in runners})
    monkeypatch.setattr(module, "_quality", lambda *args: {})
    monkeypatch.setattr(module, "TIMED", 90)
    with pytest.raises(UserError, match="45 rows a second, PyTorch 90"):
        compress(linear, orders, tmp_path / "out", train=orders)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def timeless(monkeypatch: pytest.MonkeyPatch, exported: Callable[..., str]) -> None:
    """What is small is three times as fast, whatever this machine is doing."""
    monkeypatch.setattr(module, "export", exported)
    fast = {"pruned", "distilled"}
    monkeypatch.setattr(
        module, "_best", lambda runners: {who: 1.0 if who in fast else 3.0 for who in runners}
    )


def test_a_distilled_run_is_a_network_that_is_exported_and_goes_on(
    fitted, orders, tmp_path, timeless, monkeypatch
):
    expert = {"name": "lin", "learner": "linear", "modalities": {"note": {}, "table": {}}}
    kinds = {"note": "text", "extras": "set", "city": "category", "marks": "set"}
    expert = fitted(orders, {"models": [expert]}, ["returned", "amount"], kinds)
    save(expert, tmp_path / "teacher")
    light = {"note": {"encoder": "embedding"}, "table": {"encoder": "mlp"}}
    model = {"modalities": light, "fusion": "sum", "width": 8, "training": {"epochs": 2}}
    model |= {"teacher": {"run": "none", "share": 0.4}, "seed": 3}
    run = pm.load(tmp_path / "teacher")
    out = tmp_path / "small"
    (tmp_path / "light.yaml").write_text(json.dumps(model))
    options = {"recipe": tmp_path / "light.yaml", "show": Show.silent(), "train": orders}
    with monkeypatch.context() as patch:
        patch.setattr(module, "_best", lambda runners: dict.fromkeys(runners, 1.0) | SLOW)
        with pytest.raises(UserError, match="its network is kept in"):
            compress(run, orders, out, "distilled", **options)
    (kept,) = tmp_path.glob("small.student-*")
    made = (kept / "run.json").read_bytes()
    # What is there is not fitted again.
    found = compress(run, orders, out, "distilled", force=True, **options)
    assert (out / "run" / "run.json").read_bytes() == made
    student = pm.load(out / "run")
    assert student.recipe.teacher.share == 0.4 and student.recipe.seed == 3
    assert student.origin["teacher"]["run"] == str((tmp_path / "teacher").resolve())
    assert found.counts == (1, 1)
    rows = [{"note": "poor and late", "price": "€ 12.00", "city": "Rome"}]
    there = Model(out / "polymodal_model").predict(rows)
    here = student.predict([{**rows[0], "extras": None, "day": None}])
    assert there["returned=yes"][0] == pytest.approx(here["returned=yes"][0], abs=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["light.yaml", "small", "teacher"]
    unsaved = replace(expert, folder=None)
    with pytest.raises(UserError, match="not saved cannot be a teacher"):
        compress(unsaved, orders, tmp_path / "two", "distilled", train=orders)
    with pytest.raises(UserError, match="of what is distilled, not of 'int8'"):
        compress(run, orders, tmp_path / "two", budget=3.0)
    assert not (tmp_path / "two").exists()


def test_a_pruned_run_has_no_models_that_are_not_missed(mixed, orders, tmp_path, timeless):
    assert {len(own) for own in mixed.weights["fused"].values()} == {3}
    found = compress(mixed, orders, tmp_path / "small", "pruned", train=orders, force=True)
    described = json.loads((tmp_path / "small/polymodal_model/model.json").read_text())
    left = {name for own in described["weights"].values() for name in own}
    assert left <= set(mixed.members)
    assert min(map(len, described["weights"].values())) < 3
    for own in described["weights"].values():
        assert sum(own.values()) == pytest.approx(1)
    # Half of the rows choose, and the others measure.
    assert found.quality["returned"]["rows"] == ROWS / 2


def test_sigterm_leaves_nothing_half_written(linear, orders, tmp_path, monkeypatch):
    def ended(run: Run, out: Path, **how: object) -> None:
        out.mkdir()
        signal.raise_signal(signal.SIGTERM)

    save(linear, tmp_path / "run")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(module, "export", ended)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    words = ("compress", tmp_path / "run", "--data", orders, "--out", tmp_path / "small")
    assert polymodal(*map(str, words)) == 143
    left = [path for path in tmp_path.rglob("*") if "run" not in path.parts]
    assert left == [tmp_path / "temporary"]


def test_a_single_model_cannot_be_pruned(linear, orders, tmp_path):
    with pytest.raises(UserError, match="nothing to prune"):
        compress(linear, orders, tmp_path / "out", "pruned", train=orders)


def test_members_leave_while_losses_stay_within_a_standard_error():
    task = Regress("y")
    true = np.linspace(-1, 1, 200)
    task.fit(list(true))
    rng = np.random.default_rng(0)
    same = [np.array([v]) for v in true + rng.normal(size=200) * 0.1]
    far = [np.array([v]) for v in -true]
    targets = task.encode(list(true))
    answers = {"good": same, "twin": same, "bad": far}
    alike = dict.fromkeys(answers, 1 / 3)
    ((name, share),) = fewer(task, alike, answers, targets).items()
    assert name in ("good", "twin") and share == pytest.approx(1)
    # Errors of one are the other's turned round: neither can go.
    noise = rng.normal(size=200)
    pair = {"up": true + noise, "down": true - noise}
    both = {name: [np.array([v]) for v in own] for name, own in pair.items()}
    half = {"up": 0.5, "down": 0.5}
    assert fewer(task, half, both, targets) == half
