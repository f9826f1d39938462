"""What a server of a run answers to requests that are right."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polymodal as pm
from polymodal.serve.model import Model

pytestmark = [pytest.mark.whole, pytest.mark.anyio]


async def test_predictions_are_the_runs_own(serve: Any, make: Any, made: Path) -> None:
    run = pm.load(made)
    async with serve() as client:
        answer = await client.post("/predict", json={"rows": [make.row(0), make.row(1)]})
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert told["model"] == "first" and told["warnings"] == []
        for i, line in enumerate(told["rows"]):
            own = make.row(i)
            cells = own | {n: base64.b64decode(own[n]) for n in ("photo", "clip")}
            wanted = run.predict_row(cells)
            assert line["missing"] == []
            assert line["answers"]["kept"]["value"] == wanted["kept"]
            shares = line["answers"]["kept"]["probabilities"]
            assert shares["yes"] == pytest.approx(wanted["kept=yes"], abs=1e-5)
            assert sum(shares.values()) == pytest.approx(1)
            assert line["answers"]["hours"]["value"] == pytest.approx(wanted["hours"], abs=1e-4)
        alone = await client.post("/runs/first/predict", json={"row": make.row(1)})
        assert (
            alone.json()["rows"][0]["answers"]["kept"]["value"] == line["answers"]["kept"]["value"]
        )


async def test_a_form_with_files_is_the_same_row(serve: Any, make: Any) -> None:
    own = make.row(1)
    async with serve() as client:
        wanted = (await client.post("/predict", json={"row": own})).json()
        files = {"photo": ("any/../name.exe", make.png(1)), "clip": ("c", make.sound(1))}
        fields = {
            "note": own["note"],
            "price": str(own["price"]),
            "colour": own["colour"],
            "tags": own["tags"],
            "signal": json.dumps(own["signal"]),
        }
        found = await client.post("/predict", data=fields, files=files)
        assert found.status_code == 200, found.text
        for name, answer in wanted["rows"][0]["answers"].items():
            other = found.json()["rows"][0]["answers"][name]
            assert other["value"] == pytest.approx(answer["value"]), name
        gone = await client.post("/predict?absent=note&absent=photo", data=fields, files=files)
        assert gone.status_code == 200, gone.text
        assert sorted(gone.json()["rows"][0]["missing"]) == ["note", "photo"]
        empty = files | {"photo": ("", b"")}
        assert (await client.post("/predict", data=fields, files=empty)).json()["rows"][0][
            "missing"
        ] == ["photo"]


async def test_data_urls_and_files_of_series(serve: Any, make: Any) -> None:
    own = make.row(0)
    async with serve() as client:
        wanted = (await client.post("/predict", json={"row": own})).json()
        other = own | {
            "photo": f"data:image/png;base64,{own['photo']}",
            "signal": make.coded("\n".join(map(str, own["signal"])).encode()),
        }
        found = (await client.post("/predict", json={"row": other})).json()
        assert found == wanted


async def test_what_lacks_is_told_and_what_is_to_be_ignored(serve: Any, make: Any) -> None:
    async with serve() as client:
        found = (await client.post("/predict", json={"row": {"note": "good"}})).json()
        assert set(found["rows"][0]["missing"]) == {"photo", "clip", "signal", "table"}
        asked = {"row": make.row(0), "absent": ["photo"]}
        without = (await client.post("/predict", json=asked)).json()["rows"][0]
        assert without["missing"] == ["photo"]
        empty = (await client.post("/predict", json={"row": {}})).json()["rows"][0]
        assert len(empty["missing"]) == 5 and empty["answers"]["kept"]["value"] in ("yes", "no")


async def test_regions_are_given_where_they_are_asked_for(serve: Any, make: Any) -> None:
    async with serve() as client:
        asked = {"row": make.row(0), "interval": 0.5}
        answers = (await client.post("/predict", json=asked)).json()["rows"][0]["answers"]
        assert set(answers["kept"]["set"]) <= {"yes", "no"}
        assert answers["hours"]["low"] is None or answers["hours"]["low"] < answers["hours"]["high"]
        plain = (await client.post("/predict", json={"row": make.row(0)})).json()["rows"][0]
        assert "low" not in plain["answers"]["hours"]


async def test_a_category_that_was_never_learned_is_a_warning(serve: Any, make: Any) -> None:
    async with serve() as client:
        rows = [make.row(0), make.row(1) | {"colour": "mauve"}]
        told = (await client.post("/predict", json={"rows": rows})).json()["warnings"]
        assert [(one["row"], one["column"]) for one in told] == [(1, "colour")]
        assert "'colour'" in told[0]["message"]
        text = (await client.get("/metrics")).text
        assert 'polymodal_cells_strange_total{column="colour",model="first"} 1.0' in text
        assert "polymodal_cells_missing_total{" not in text
        await client.post("/predict", json={"row": {"note": "a"}})
        text = (await client.get("/metrics")).text
        assert 'polymodal_cells_missing_total{column="price",model="first"} 1.0' in text


async def test_rows_are_held_against_training_rows(serve: Any, make: Any, made: Path) -> None:
    """Numbers beyond theirs are counted; distances of vectors are 1 on average of their own."""
    given = [make.row(i) for i in range(8)]
    rows = [dict(one) for one in given]
    for one in rows:
        one |= {name: base64.b64decode(one[name]) for name in ("photo", "clip")}
    model = Model(pm.load(made), reference=rows)
    price = 'polymodal_cells_outside_total{column="price",model="first"}'

    async def figures(asked: Any) -> dict[str, float]:
        async with serve({"first": make.here(model)}) as client:
            model.seen._next = 0.0
            answer = await client.post("/predict", json={"rows": asked})
            assert answer.status_code == 200 and "drift" not in answer.json()
            again = await client.post("/predict", json={"rows": asked})  # too soon for vectors
            assert again.json() == answer.json()
            lines = (await client.get("/metrics")).text.splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    known, other = await figures(given), await figures([make.row(1) | {"price": 500.0}] * 2)
    assert price not in known and other[price] == 4
    count, total = (f'polymodal_row_distance_{n}{{model="first"}}' for n in ("count", "sum"))
    assert known[count] == 8 and other[count] == 2
    assert known[total] == pytest.approx(8, rel=1e-3)


async def test_vectors(serve: Any, make: Any, made: Path) -> None:
    rows = [make.row(0), make.row(1)]
    async with serve() as client:
        plain = (await client.post("/embed", json={"rows": rows})).json()
        coded = await client.post("/embed", json={"rows": rows, "encoding_format": "base64"})
        numbers = [np.frombuffer(base64.b64decode(v), "<f4") for v in coded.json()["embeddings"]]
        np.testing.assert_allclose(np.stack(numbers), plain["embeddings"])
        cells = [r | {n: base64.b64decode(r[n]) for n in ("photo", "clip")} for r in rows]
        wanted = pm.load(made).embed(cells)
        np.testing.assert_allclose(plain["embeddings"], wanted, atol=1e-5)
        assert plain["width"] == wanted.shape[1]
        asked = {"model": "first", "input": rows, "encoding_format": "float", "user": "me"}
        told = (await client.post("/v1/embeddings", json=asked)).json()
        np.testing.assert_allclose([one["embedding"] for one in told["data"]], wanted, atol=1e-5)
        assert [one["index"] for one in told["data"]] == [0, 1] and told["object"] == "list"
        text = await client.post("/v1/embeddings", json={"model": "first", "input": "good and new"})
        assert text.status_code == 200 and text.json()["usage"]["prompt_tokens"] == 3


async def test_an_explanation_tells_which_modality_carried_the_answer(
    serve: Any, make: Any
) -> None:
    async with serve() as client:
        asked = {"row": make.row(0) | {"clip": None}, "targets": ["kept"]}
        (line,) = (await client.post("/explain", json=asked)).json()["rows"]
        assert list(line) == ["kept"]
        told = line["kept"]
        assert set(told["shapley"]) == {"photo", "clip", "note", "signal", "table"}
        assert told["shapley"]["clip"] == 0
        total = told["support"] - told["nothing"]
        assert sum(told["shapley"].values()) == pytest.approx(total, abs=1e-4)
        patches = next(one for one in told["parts"] if one["modality"] == "photo")
        assert len(patches["losses"]) == len(patches["labels"]) == 49


async def test_decisions(serve: Any, make: Any) -> None:
    async with serve() as client:
        wanted = (await client.post("/predict", json={"row": make.row(0)})).json()["rows"][0]
        shares = wanted["answers"]["stars"]["probabilities"]
        questions = {
            "kept": {"type": "noul", "instructions": "Will it be kept?"},
            "stars": {"type": "score", "criteria": ["bad", "fair", "good"]},
        }
        asked = {"model": "first", "state": make.row(0), "questions": questions}
        told = (await client.post("/v1/systemone", json=asked)).json()
        assert told["answers"]["kept"]["noul"] == pytest.approx(
            wanted["answers"]["kept"]["probabilities"]["yes"]
        )
        mean = sum(i * shares[str(i + 1)] for i in range(3))
        assert told["answers"]["stars"]["score"] == pytest.approx(mean)
        assert told["answers"]["stars"]["legend"] == {"0": "bad", "1": "fair", "2": "good"}
        questions = {"stars": {"type": "choice", "criteria": {"1": None, "3": "the best"}}}
        told = (await client.post("/v1/systemone", json=asked | {"questions": questions})).json()
        chosen = told["answers"]["stars"]
        assert chosen["probabilities"]["1"] == pytest.approx(
            shares["1"] / (shares["1"] + shares["3"])
        )
        assert chosen["choice"] == max(chosen["probabilities"], key=chosen["probabilities"].get)
        assert 0 <= chosen["confidence"] <= 1
        text = {"model": "first", "state": "good and new", "questions": {"kept": {"type": "noul"}}}
        assert (await client.post("/v1/systemone", json=text)).status_code == 200


@pytest.mark.parametrize(
    ("questions", "code"),
    [
        ({"price": {"type": "choice"}}, "unknown_question"),
        ({"stars": {"type": "noul"}}, "not_boolean"),
        ({"kept": {"type": "score"}}, "not_ordered"),
        ({"kept": {"type": "choice", "criteria": {"maybe": None}}}, "unknown_option"),
        ({"kept": {"type": "choice", "criteria": ["yes"]}}, "invalid_criteria"),
        ({"stars": {"type": "score", "criteria": ["a", "b"]}}, "invalid_criteria"),
        ({}, "invalid_value"),
    ],
)
async def test_questions_that_the_run_does_not_answer(
    questions: Any, code: str, serve: Any, make: Any
) -> None:
    async with serve() as client:
        asked = {"model": "first", "state": make.row(0), "questions": questions}
        answer = await client.post("/v1/systemone", json=asked)
        assert answer.status_code == 400 and answer.json()["error"]["code"] == code


@pytest.mark.parametrize(
    "given", [True, 3, None, {"a": 1}, [True], [["a"]], [1.5], [{"a": [1]}, 2]]
)
async def test_what_is_no_text_to_embed_is_one_refusal(given: Any, serve: Any) -> None:
    async with serve() as client:
        asked = {"model": "first", "input": given, "encoding_format": "none"}
        answer = await client.post("/v1/embeddings", json=asked)
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "invalid_value"


async def test_what_there_is_and_how_it_is(serve: Any) -> None:
    async with serve() as client:
        assert (await client.get("/health")).json() == {"status": "alive"}
        assert (await client.get("/ready")).json()["ready"] is True
        (card,) = (await client.get("/v1/models")).json()["data"]
        assert card["id"] == "first" and card["object"] == "model" and card["created"] > 1.6e9
        assert (await client.get("/v1/models/first")).json() == card
        assert (await client.get("/v1/models/other")).json()["error"]["code"] == "model_not_found"
        (told,) = (await client.get("/runs")).json()["runs"]
        assert told["can"] == ["predict", "explain", "embed"]
        colour = next(one for one in told["inputs"] if one["name"] == "colour")
        assert set(colour["names"]) == {"red", "blue", "green"}
        await client.post("/predict", json={"row": {}})
        text = (await client.get("/metrics")).text
        assert 'polymodal_requests_total{route="/predict",status="200"} 1.0' in text
        assert 'polymodal_rows_total{model="first",sort="predict"} 1.0' in text
        assert 'polymodal_workers_ready{model="first"} 1.0' in text


async def test_several_runs_answer_under_their_names(serve: Any, here: Any, make: Any) -> None:
    async with serve({"one": here, "two": here}) as client:
        asked = {"row": make.row(0)}
        first = (await client.post("/predict", json=asked)).json()
        second = (await client.post("/runs/two/predict", json=asked)).json()
        assert first["model"] == "one" and second["model"] == "two"
        assert first["rows"] == second["rows"]
        named = {"model": "two", "input": [make.row(0)]}
        assert (await client.post("/v1/embeddings", json=named)).json()["model"] == "two"
        document = (await client.get("/openapi.json")).json()
        paths, schemas = document["paths"], document["components"]["schemas"]
        assert {"/predict", "/runs/one/predict", "/runs/two/predict"} <= set(paths)
        assert set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document))) <= set(
            schemas
        )
        for name in ("EmbeddingsRequest", "DecisionRequest"):
            assert schemas[name]["properties"]["model"]["enum"] == ["one", "two"]
        told = {one["name"]: one for one in paths["/predict"]["post"]["parameters"]}
        assert set(told) == {"absent", "interval"} and told["absent"]["in"] == "query"


async def test_requests_at_once_share_batches_and_spoil_no_other(
    serve: Any, here: Any, make: Any
) -> None:
    """Broken pictures, cells of another kind and other options come with right ones."""
    async with serve({"first": here}) as client:
        rows = [make.row(i) for i in range(12)]
        rows[3]["photo"] = make.coded(b"\x89PNG\r\n\x1a\n broken")
        rows[7]["price"] = "many"
        asked = [client.post("/predict", json={"row": one}) for one in rows]
        answers = await asyncio.gather(*asked)
        assert [one.status_code for one in answers] == [
            400 if i in (3, 7) else 200 for i in range(12)
        ]
        assert answers[3].json()["error"]["param"] == "rows.0.photo"
        assert answers[7].json()["error"]["code"] == "wrong_kind"
        assert max(count for _, count in here.batches) > 4
        alone = [await client.post("/predict", json={"row": one}) for one in rows]
        for one, other in zip(answers, alone, strict=True):
            assert one.status_code == other.status_code
            if one.status_code == 200:
                values = [a.json()["rows"][0]["answers"]["hours"]["value"] for a in (one, other)]
                assert values[0] == pytest.approx(values[1], abs=1e-4)
