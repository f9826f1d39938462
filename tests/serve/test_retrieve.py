"""A run that compares modalities: rows of an index, vectors of rows, and no explanation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe
from polymodal.report.console import Show
from polymodal.serve.model import Model

pytestmark = [pytest.mark.whole, pytest.mark.anyio]

TRAINING = {"epochs": 2, "batch_size": 16, "precision": "fp32", "threads": 1}
INDEX = {
    "note": [f"{colour} thing {i}" for i, colour in enumerate(["red", "blue", "green"] * 16)],
    "across": [float(i % 3) for i in range(48)],
    "down": [float(i % 5) for i in range(48)],
}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> pm.Run:
    network = {
        "name": "net",
        "fusion": "sum",
        "width": 8,
        "modalities": {"note": {"encoder": "ngrams"}, "table": {}},
        "training": TRAINING,
    }
    folder: Path = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(folder / "cache"))
        recipe = Recipe.model_validate({"models": [network], "data": {"kinds": {"note": "text"}}})
        return pm.pretrain(INDEX, recipe=recipe, out=folder / "run", show=Show.silent())


async def test_rows_are_found_as_the_command_finds_them(
    compared: pm.Run, serve: Any, here: Any
) -> None:
    worker = type(here)(Model(compared, INDEX))
    async with serve({"first": worker}) as client:
        (told,) = (await client.get("/runs")).json()["runs"]
        assert set(told["can"]) == {"predict", "embed", "retrieve"}
        asked = {"row": {"note": "red thing"}, "from": "note", "to": "table", "k": 5}
        found = (await client.post("/retrieve", json=asked)).json()["rows"]
        wanted = pm.retrieve(compared, INDEX, query="red thing", source="note", to="table", k=5)
        assert [one["row"] for one in found] == wanted["row"]
        assert [one["similarity"] for one in found] == pytest.approx(wanted["similarity"], abs=1e-5)
        assert [one["across"] for one in found] == wanted["across"]
        formed = await client.post(
            "/retrieve?from=note&to=table&k=2", files={"note": (None, "red")}
        )
        assert len(formed.json()["rows"]) == 2
        for wrong in ({"to": "smell"}, {"k": 0}, {"k": "3"}, {"from": None}):
            answer = await client.post("/retrieve", json=asked | wrong)
            assert answer.status_code == 400, wrong


def test_an_index_is_for_runs_that_compare(model: Model) -> None:
    with pytest.raises(UserError, match="compares no modalities"):
        Model(model.run, INDEX)
