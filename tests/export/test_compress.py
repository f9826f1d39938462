"""Compression: what is small is counted, what it costs is measured, and no gain is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from polymodal.base.errors import UserError
from polymodal.export import compress as module
from polymodal.export.compress import REPORT, compress
from polymodal.export.package.model import Model
from polymodal.run.run import Run

pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def folder(mixed: Run, orders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("compressed") / "int8"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_best", lambda runners: dict.fromkeys(runners, 0.5))
        compress(mixed, orders, out, proof=orders, force=True)
    return out


def test_products_are_in_eight_bits_and_answers_hardly_change(folder, mixed, orders):
    import onnx

    kinds = [
        node.op_type
        for path in (folder / "polymodal_model" / "graphs").glob("*.onnx")
        for node in onnx.load(path).graph.node
    ]
    report = json.loads((folder / REPORT).read_text())
    assert report["products"][0] == kinds.count("MatMulInteger") > 0
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
        compress(linear, orders, tmp_path / "out", proof=orders)
    assert not list(tmp_path.iterdir())
