"""Experts that read a frozen model's outputs beside n-grams, descriptors and cells."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from sklearn.decomposition import PCA

import polymodal as pm
from polymodal.base import lookup
from polymodal.contract.joining import vector
from polymodal.contract.recipe import Recipe
from polymodal.models.experts._layered import Components
from polymodal.nn.weights import fill
from polymodal.prepared.prepare import Joined, prepare
from polymodal.report.console import leaderboard
from polymodal.table.ledger import Ledger
from polymodal.table.read import read
from polymodal.table.schema import Column

WORDS = [
    "sea",
    "wood",
    "town",
    "red",
    "quick",
    "lazy",
    "small",
    "one",
    "two",
    "house",
    "dog",
    "fox",
]


def texts(rows: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, 4)) for _ in range(rows)]


@pytest.fixture
def job(task: Any, bert_path: str, tmp_path: Path) -> Any:
    """A number that is linear in a frozen model's outputs, of 160 texts and a number of noise."""
    notes = texts(160)
    form = lookup.build("modalities/text/forms", {"name": "beside", "path": bert_path})
    form.fit(notes)
    outputs = np.stack([vector(array) for array in form.frozen.encode_many(notes)])
    y = outputs @ np.random.default_rng(1).normal(size=outputs.shape[1])
    frame = pd.DataFrame({"note": [*notes[:-1], None], "n": np.arange(160.0) % 7, "y": y})
    found = task(frame, {"note": "text", "n": "number"}, {"y": {"name": "regress"}}, rows=120)
    found.y, found.plain = y, found.inputs["note"]
    column = [Column("note", "text")]
    found.forms["note"] = form
    found.inputs["note"] = prepare(read(frame), column, form, cache=tmp_path, ledger=Ledger())
    return found


def error(job: Any, module: Any) -> float:
    """Mean square error of the held-out rows that have a text, as a share of the variance."""
    truth = job.y[120:159]
    return float(np.mean((job.scores(module)["y"][120:159].ravel() - truth) ** 2) / truth.var())


def test_joined_cells_are_the_forms_own_arrays(job: Any) -> None:
    joined, form = job.inputs["note"], job.forms["note"]
    assert isinstance(joined, Joined)
    rows = np.array([3, 159, 0, 7])
    field = joined.gather(rows)
    assert field.present.tolist() == [True, False, True, True]
    for row, array, own, mask in zip(
        rows, joined.arrays(rows), field.data.numpy(), field.mask.numpy(), strict=True
    ):
        if row == 159:
            assert not mask.any() and not own.any()
            continue
        np.testing.assert_allclose(array, form.encode(texts(160)[row]), atol=1e-5)
        np.testing.assert_allclose(own[mask], array, atol=1e-6)
        assert len(array) == joined.lengths[row]
    nothing = joined.gather(np.array([159]))
    frozen, plain = form.split(nothing)
    assert not frozen.data.any() and not plain.mask.any()


@pytest.mark.parametrize("expert", ["linear", "trees"])
def test_experts_learn_what_the_frozen_model_knows(job: Any, expert: str) -> None:
    module = job.fit(expert)
    beside = error(job, module)
    again = job.build(expert)
    fill(again, module.state_dict())
    np.testing.assert_array_equal(job.scores(again.eval())["y"], job.scores(module)["y"])
    job.forms["note"], job.inputs["note"] = job.forms["note"].plain, job.plain
    assert beside < 0.5 * error(job, job.fit(expert))


def test_a_saved_run_takes_the_model_along_and_says_whose_it_is(
    bert_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    notes = texts(60)
    labels = np.where(["sea" in note for note in notes], "yes", "no")
    frame = pd.DataFrame({"note": notes, "label": labels})
    expert = {"name": "one", "learner": "linear", "modalities": {"note": {"pretrained": bert_path}}}
    recipe = Recipe.model_validate({"models": [expert]})
    run = pm.fit(frame, "label", recipe=recipe, kinds={"note": "text"}, out=tmp_path / "run")
    (told,) = run.origin["pretrained"]
    assert (told["name"], told["reads"], told["licence"]) == (bert_path, ["note"], "not known")
    file = io.StringIO()
    Console(file=file, width=400).print(leaderboard(run))
    assert f"Pretrained: {bert_path} (not known) reads note." in file.getvalue()
    again = pm.load(tmp_path / "run")
    assert Path(again.forms[0].settings["path"]).is_relative_to(tmp_path / "run")
    asked = pd.DataFrame({"note": [*notes[:5], None, "wood"]})
    wanted, found = run.predict(asked), again.predict(asked)
    np.testing.assert_allclose(found["label=yes"], wanted["label=yes"], atol=1e-6)


def test_components_are_the_principal_ones_of_variance_1(job: Any) -> None:
    form, rows = job.forms["note"], np.arange(120)
    found = Components(form, 5)
    found.learn(job.inputs["note"], rows)
    outputs = form.split(job.inputs["note"].gather(rows))[0].data.numpy()
    wanted = PCA(5, whiten=True, svd_solver="full").fit_transform(outputs.astype(np.float64))
    own = found(job.inputs["note"].gather(rows)).numpy()
    signs = np.sign((own * wanted).sum(0))
    np.testing.assert_allclose(own, signs * wanted * (120 / 119) ** 0.5, atol=2e-2)
    np.testing.assert_allclose(own.std(0), 1, atol=1e-2)
    top = found.axes.gather(0, found.axes.abs().argmax(0, keepdim=True))
    assert bool((top > 0).all())


def test_a_missing_text_counts_as_the_training_mean(job: Any) -> None:
    module = job.fit("linear")
    absent = job.scores(module, absent=("note",))["y"]
    np.testing.assert_allclose(absent[159], job.scores(module)["y"][159], atol=1e-5)
    assert torch.isfinite(torch.from_numpy(absent)).all()
