"""A new kind of modality is one folder: `toys/modalities/colour`, found beside the package's."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import polymodal as pm
from polymodal import modalities
from polymodal.base.errors import UserError
from polymodal.contract import kind
from polymodal.contract.resolve import validate
from polymodal.evaluation.evaluate import evaluate
from polymodal.evaluation.stress import stress
from polymodal.table.infer import infer
from polymodal.table.media import kind_of_name
from polymodal.table.read import read
from polymodal.table.schema import Column

pytestmark = pytest.mark.whole

TOYS = Path(__file__).parent / "toys" / "modalities"


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modalities, "__path__", [*modalities.__path__, str(TOYS)])


def columns(rows: int, seed: int = 0) -> dict[str, list[Any]]:
    """Whether a paint is warm: by its colour, more red than blue."""
    rng = random.Random(seed)
    codes = ["#" + rng.randbytes(3).hex() for _ in range(rows)]
    warm = ["yes" if code[1:3] > code[5:7] else "no" for code in codes]
    return {
        "paint": [None if rng.random() < 0.05 else code for code in codes],
        "price": [round(rng.uniform(1, 9), 2) for _ in range(rows)],
        "warm": warm,
    }


def test_without_it_there_is_none() -> None:
    with pytest.raises(UserError, match="unknown kind 'colour'"):
        Column("paint", "colour")


@pytest.mark.usefixtures("toys")
def test_its_columns_are_recognised_and_checked() -> None:
    schema = infer(read(columns(40)), ["warm"])
    assert {c.name: c.kind for c in schema.inputs} == {"paint": "colour", "price": "number"}
    assert "different colours" in schema.column("paint").reason
    assert list(schema.modalities()) == ["paint", "table"]
    wrong = columns(40)
    wrong["paint"][3] = "red"
    with pytest.raises(UserError, match="not of kind colour") as caught:
        infer(read(wrong), ["warm"], {"paint": "colour"})
    assert caught.value.expected == "colours such as #a1b2c3"
    assert "'red' in row 3, which is no colour" in caught.value.got


@pytest.mark.usefixtures("toys")
def test_it_is_fitted_measured_explained_and_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    alone = {"paint": {}}
    models = [
        {"name": "network", "modalities": {**alone, "table": {}}, "training": {"epochs": 12}},
        {"name": "line", "modalities": alone, "learner": "linear"},
        {"name": "forest", "modalities": {**alone, "table": {}}, "learner": "trees"},
    ]
    recipe = validate({"models": models, "data": {"valid": 0.25}}, "the test")
    pm.fit(columns(240), "warm", recipe=recipe, out=tmp_path / "run")
    run = pm.load(tmp_path / "run")
    test = columns(120, seed=1)
    # The worst rows are those that lack the colour.
    found = evaluate(run, test, explain=20)
    assert found.targets["warm"]["accuracy"]["value"] > 0.8
    found.save(tmp_path / "test")
    page = (tmp_path / "test" / "report.html").read_text(encoding="utf-8")
    assert '<rect fill="#' in page and "shades" in page
    told = pm.explain(run, test, [0])["warm"]["rows"][0]["parts"]
    assert [part["labels"] for part in told if part["modality"] == "paint"] == [
        ["red", "green", "blue"]
    ]
    curves = stress(run, read(test), rows=60)["warm"]["corruptions"]["paint"]
    assert curves["fade"]["fused"][-1] < curves["fade"]["fused"][0]
    rows = {name: cells[:3] for name, cells in test.items() if name != "warm"}
    assert run.predict(rows)["row"] == [0, 1, 2]


@pytest.mark.usefixtures("toys")
def test_what_nobody_says_of_it_is_a_default() -> None:
    colour = kind.of("colour")
    assert not colour.media and not colour.joint
    assert colour.offered() == () and not colour.opens(b"#ff8800" * 3)
    assert kind_of_name("red.colour") is None
    assert colour.key("colour", "#FF8800 ") == colour.key("colour", "#ff8800")
