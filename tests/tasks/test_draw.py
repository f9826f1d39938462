"""The task that draws pictures: its tokenizer, loss and answers; fits and the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typed import files, one_error, polymodal

import polymodal as pm
from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Field, Fused, Tokens
from polymodal.contract.defaults import default
from polymodal.contract.recipe import Recipe
from polymodal.contract.task import Pass
from polymodal.fitting.sizes import sizes
from polymodal.prepared.prepare import Prepared
from polymodal.report.console import Show
from polymodal.table.media import Media
from polymodal.tasks._coder import Coder
from polymodal.tasks.draw import Draw

WIDTH, SIDE = 8, 16
SMALL = {"name": "gpt2", "hidden": 16, "depth": 1, "heads": 2, "dropout": 0.0, "context": 64}
TOKENIZER = {
    "patch": 4,
    "channels": 16,
    "epochs": 8,
    "quantizer": {"name": "fsq", "levels": [4, 4]},
}
TRAINING = {
    "epochs": 6,
    "batch_size": 8,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}
COLOURS = {"red": (220, 40, 40), "blue": (40, 60, 220)}


def pixels(colour: str, left: bool, shade: int = 240) -> np.ndarray[Any, Any]:
    found = np.full((SIDE, SIDE, 3), shade, np.uint8)
    found[4:12, (0 if left else 8) : (8 if left else 16)] = COLOURS[colour]
    return found


def scene(i: int) -> tuple[np.ndarray[Any, Any], str]:
    colour, left = list(COLOURS)[i % 2], i // 2 % 2 == 0
    return pixels(colour, left, 200 + i), f"something {colour} on the {'left' if left else 'right'}"


def write(folder: Path, rows: int = 32, size: int = SIDE) -> None:
    """A table of pictures and what they show, and another one of what is to be drawn."""
    folder.mkdir(exist_ok=True)
    with open(folder / "t.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "said"])
        for i in range(rows):
            found, said = scene(i)
            Image.fromarray(found).resize((size, size)).save(folder / f"{i}.png")
            writer.writerow([f"{i}.png", said])
    (folder / "new.csv").write_text("said\nsomething red on the left\nsomething blue there\n")


def recipe(folder: Path, **options: Any) -> Recipe:
    task = {"name": "draw", "decoder": SMALL, "tokenizer": TOKENIZER, **options}
    return Recipe.model_validate(
        {
            "train": str(folder / "t.csv"),
            "targets": {"picture": task},
            "data": {"kinds": {"picture": "image", "said": "text"}, "valid": 0.25},
            "fusion": "sum",
            "width": WIDTH,
            "training": TRAINING,
        }
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write(folder)
    return folder


@pytest.fixture(scope="module")
def drawing(table: Path) -> Path:
    """The folder of a run that draws."""
    pm.fit(recipe=recipe(table), out=table / "run", show=Show.silent())
    return table / "run"


def media(array: np.ndarray[Any, Any]) -> Media:
    return Media("one", values=array)


def coder(task: Draw) -> Coder:
    torch.manual_seed(0)
    return task._coder()


def fitted(**options: Any) -> Draw:
    """A task whose tokenizer is random."""
    task = lookup.build(
        "tasks", {"name": "draw", "decoder": SMALL, "tokenizer": TOKENIZER, **options}, "picture"
    )
    task.fit([media(scene(i)[0]) for i in range(6)])
    own = coder(task)
    task.take(own.encoder, own.head)
    task.counted([task.form.encode(media(scene(i)[0])) for i in range(6)])
    return task


def target(task: Draw, rows: int = 5, missing: int = 2) -> Field:
    arrays = [None if i == missing else task.form.encode(media(scene(i)[0])) for i in range(rows)]
    return Prepared.of(arrays, task.form, (1 + task.places,)).gather(np.arange(rows))


def fused(rows: int, seed: int = 0) -> Fused:
    draw = torch.Generator().manual_seed(seed)
    mask = torch.rand(rows, 4, generator=draw) < 0.7
    mask[:, 0] = True
    values = torch.randn(rows, 4, WIDTH, generator=draw)
    tokens = Tokens(torch.where(mask.unsqueeze(-1), values, 0), mask)
    return Fused(torch.randn(rows, WIDTH, generator=draw), {"said": tokens})


def some(given: Fused, start: int, end: int) -> Fused:
    own = {n: Tokens(t.values[start:end], t.mask[start:end]) for n, t in given.tokens.items()}
    return Fused(given.pooled[start:end], own)


def head(task: Draw):
    torch.manual_seed(0)
    return task.heads(WIDTH, [], 0.0, {"said": None})


# -- the tokenizer -------------------------------------------------------------------------------


def test_a_picture_is_codes_and_they_are_a_picture_always_the_same() -> None:
    task = fitted()
    every = [scene(i)[0] for i in range(6)]
    found = np.stack([task.form.encode(media(one)) for one in every])
    assert found.shape == (6, 1 + 16) and task.places == 16 and task.coder.count == 16
    assert (found[:, 1:] >= 0).all() and (found[:, 1:] < 16).all()
    # However many are coded at once.
    np.testing.assert_array_equal(found, task.form.encode_many([media(one) for one in every]))
    drawn = task.coder.pictures(found[:, 1:])
    assert drawn.shape == (6, SIDE, SIDE, 3) and drawn.dtype == np.uint8
    errors = ((drawn.astype(int) - np.stack(every)) ** 2).sum((1, 2, 3))
    np.testing.assert_array_equal(found[:, 0], errors)
    opened = np.asarray(Image.open(io.BytesIO(task.form.decode(found[1]))))
    np.testing.assert_array_equal(opened, drawn[1])


def test_what_was_learned_is_kept_and_another_tokenizer_is_another_form() -> None:
    task = fitted()
    again = lookup.build("tasks", {"name": "draw", **lookup.chosen(task)}, "picture")
    again.state, again.tensors = json.loads(json.dumps(task.state)), task.tensors
    cell = media(scene(3)[0])
    np.testing.assert_array_equal(again.form.encode(cell), task.form.encode(cell))
    np.testing.assert_array_equal(again._usual, task._usual)
    assert again.form.fingerprint == task.form.fingerprint and again.state == task.state
    torch.manual_seed(1)
    other = task._coder()
    task.take(other.encoder, other.head)
    assert again.form.fingerprint != task.form.fingerprint


@pytest.mark.parametrize(
    ("tokenizer", "places"),
    [({"patch": 8}, 4), ({"patch": 4, "size": 24}, 36), ({"patch": 4, "size": 8}, 4)],
)
def test_patch_and_size_say_how_many_codes_a_picture_has(tokenizer, places) -> None:
    task = fitted(tokenizer={**TOKENIZER, **tokenizer})
    assert task.places == places and len(task.form.encode(media(scene(0)[0]))) == 1 + places


# -- what is learned -------------------------------------------------------------------------------


@pytest.mark.parametrize("reading", ["prefix", "attention"])
def test_the_loss_is_of_the_pictures_that_are_there(reading) -> None:
    task = fitted(reading=reading)
    own, given, wanted = head(task), fused(5), target(task)
    loss = task.loss(Pass({}, given, own(given, wanted).output, target=wanted))
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in own.parameters())
    other = Field(wanted.data.clone(), None, wanted.present)
    other.data[2] = 7
    again = task.loss(Pass({}, given, own(given, other).output, target=other))
    assert again.item() == loss.item()
    masked = fused(5)
    masked.tokens["said"].values[~masked.tokens["said"].mask] = 5.0
    same = task.loss(Pass({}, masked, own(masked, wanted).output, target=wanted))
    torch.testing.assert_close(same, loss)
    nothing = Field(wanted.data, None, torch.zeros(5, dtype=torch.bool))
    assert task.loss(Pass({}, given, own(given, nothing).output, target=nothing)).item() == 0


def test_what_is_drawn_depends_on_the_row_and_the_seed_alone() -> None:
    task = fitted()
    own, given = head(task).eval(), fused(5)

    def codes(of: Fused) -> list[list[int]]:
        return [text.ids for (text,) in own(of).output["written"]]

    found = codes(given)
    assert [len(one) for one in found] == [task.places] * 5
    assert codes(given) == found
    assert [codes(some(given, i, i + 1))[0] for i in range(5)] == found
    for decoding in ({"seed": 1}, {"temperature": 0.2}, {"top_k": 1}, {"top_p": 0.1}, {"beams": 2}):
        other = fitted(decoding=decoding)
        drawn = head(other).eval()(given).output["written"]
        assert [text.ids for (text,) in drawn] != found, decoding


def test_all_samples_are_drawn_the_likeliest_first_and_the_first_is_what_is_measured() -> None:
    task, alone, given = fitted(decoding={"samples": 3}), fitted(), fused(4)
    own, wanted = head(task).eval(), target(task, 4)
    texts = own(given).output["written"]
    assert all(len({tuple(one.ids) for one in row}) == 3 for row in texts)
    logs = [[sum(one.logs) for one in row] for row in texts]
    assert all(row == sorted(row, reverse=True) for row in logs)
    (single,) = zip(*head(alone).eval()(given).output["written"], strict=True)
    assert all(one in row for one, row in zip(single, texts, strict=True))
    # A row's samples are its own, whoever else is there.
    assert own(some(given, 2, 3)).output["written"][0][2].ids == texts[2][2].ids
    answers = task.answer(Pass({}, given, own(given, wanted).output, target=wanted))
    found = task.decode(answers)
    assert list(found) == ["picture", "picture.log_likelihood", "picture.2", "picture.3"]
    assert found["picture.log_likelihood"] == pytest.approx([row[0] for row in logs])
    first = [answer[: 1 + task.places] for answer in answers]
    assert task.decode(first)["picture"] == found["picture"] != found["picture.2"]
    targets = list(wanted.data.numpy())
    for part in ("answers", "right"):
        mine, best = (getattr(task.judged(a, targets), part) for a in (answers, first))
        np.testing.assert_array_equal(mine, best)
    assert task.said(answers[0]) == task.said(first[0]) and task.support(answers[0], first[0]) == 1
    # Of rows that lack what is read there is one picture: the likeliest codes.
    mixed = task.decode([answers[0], task.constant(answers)[1]])
    assert mixed["picture.2"][1] is None and mixed["picture.2"][0] == found["picture.2"][0]


def test_answers_say_what_was_drawn_and_what_the_target_cost() -> None:
    task = fitted()
    own, given, wanted = head(task).eval(), fused(5), target(task)
    with torch.no_grad():
        output = own(given, wanted).output
        rows = task.answer(Pass({}, given, output, target=wanted))
        blind = task.answer(Pass({}, given, own(given).output))
    assert [row[0, 2] for row in rows] == [16, 16, 0, 16, 16]
    assert sum(row[0, 1] for row in rows) == pytest.approx(output["nats"].sum().item(), rel=1e-5)
    assert [row[0, 2] for row in blind] == [0] * 5
    columns = task.decode(rows)
    assert list(columns) == ["picture", "picture.log_likelihood"]
    assert Image.open(io.BytesIO(columns["picture"][0])).size == (SIDE, SIDE)
    known = [0, 1, 3, 4]
    mine, targets = [rows[i] for i in known], [wanted.data[i].numpy() for i in known]
    found = {
        n: float(m.statistic(np.ones((1, 4)))[0]) for n, m in task.metrics(mine, targets).items()
    }
    nats = sum(row[0, 1] for row in mine) / 64
    assert found["log_likelihood"] == pytest.approx(-nats)
    assert found["perplexity"] == pytest.approx(np.exp(nats))
    assert task.criterion(mine, targets) == pytest.approx(nats)
    errors = sum(int(one[0]) for one in targets) / (4 * SIDE * SIDE * 3)
    assert found["psnr"] == pytest.approx(10 * np.log10(255**2 / errors))
    used = len({int(code) for one in targets for code in one[1:]})
    assert found["codes_used"] == used / 16 and 1 <= found["codes_perplexity"] <= used
    constant = task.constant(rows)
    assert task.criterion([constant[i] for i in known], targets) == pytest.approx(
        -np.mean([task._usual[np.arange(16), one[1:]] for one in targets])
    )
    assert "codes" in task.said(rows[0]) and "codes" in task.truth(targets[0])
    assert task.judged(mine, targets).right.shape == (4,) and task.support(rows[0], rows[0]) == 1


def test_it_is_the_default_for_columns_of_pictures() -> None:
    assert default("image") == "draw"


# -- fits and the command line -------------------------------------------------------------------


def test_a_run_draws_what_it_was_fitted_to_and_the_same_again(drawing: Path) -> None:
    run = pm.load(drawing)
    rows = [{"said": scene(i)[1]} for i in range(4)]
    found = run.predict(rows)
    again = pm.load(drawing).predict(rows[::-1])["picture"][::-1]
    assert found["picture"] == again
    other = pm.load(drawing, decoding={"seed": 3}).predict(rows)["picture"]
    assert other != again
    assert run.predict_row(rows[0])["picture"] == again[0]
    assert np.isfinite(found["picture.log_likelihood"]).all()


def test_evaluate_measures_tokenizer_and_codes(drawing: Path, table: Path) -> None:
    found = pm.evaluate(drawing, str(table / "t.csv"), explain=2)
    own = found.targets["picture"]
    assert {"psnr", "codes_used", "codes_perplexity", "log_likelihood", "perplexity"} <= set(own)
    assert own["psnr"]["value"] > 12
    found.save(table / "measured")
    names = files(table / "measured")
    assert "predictions.picture/000000.png" in names and "metrics.json" in names
    with open(table / "measured" / "predictions.csv") as file:
        line = next(csv.DictReader(file))
    assert line["picture"] == "predictions.picture/000000.png"


def test_predict_writes_pictures_beside_the_table_that_names_them(
    drawing: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(drawing), "--data", str(table / "new.csv")]
    out = table / "out" / "drawn.csv"
    assert polymodal(*words, "--out", str(out)) == 0
    with open(out) as file:
        lines = list(csv.DictReader(file))
    assert [line["picture"] for line in lines] == [f"drawn.picture/00000{i}.png" for i in (0, 1)]
    first = (out.parent / lines[0]["picture"]).read_bytes()
    assert Image.open(io.BytesIO(first)).size == (SIDE, SIDE)
    assert polymodal(*words, "--out", str(out), "--decoding", "samples=2") == 0
    with open(out) as file:
        line = list(csv.DictReader(file))[1]
    two = [(out.parent / line[name]).read_bytes() for name in ("picture", "picture.2")]
    assert line["picture.2"] == "drawn.picture.2/000001.png" and two[0] != two[1]
    # Its own files are replaced, others' are not.
    assert polymodal(*words, "--out", str(out), "--decoding", "seed=5") == 0
    assert (out.parent / lines[0]["picture"]).read_bytes() != first
    (out.parent / "drawn.picture" / "mine.txt").write_text("kept")
    capsys.readouterr()
    assert polymodal(*words, "--out", str(out)) == 2
    one_error(capsys.readouterr().err, "holds what would be lost")
    assert (out.parent / "drawn.picture" / "mine.txt").read_text() == "kept"
    assert polymodal("predict", str(drawing), "--said", "something red") == 2
    one_error(capsys.readouterr().err, "cannot be printed")


def test_a_fit_is_the_same_twice_and_goes_on_where_its_tokenizer_stopped(
    drawing: Path, table: Path, ctrl_c_at, tmp_path: Path
) -> None:
    from polymodal.train.interrupt import Interrupted

    ctrl_c_at(5)
    with pytest.raises(Interrupted):
        pm.fit(recipe=recipe(table), out=tmp_path / "run", show=Show.silent())
    run = pm.fit(recipe=recipe(table), out=tmp_path / "run", show=Show.silent())
    rows = [{"said": scene(i)[1]} for i in range(3)]
    assert run.predict(rows) == pm.load(drawing).predict(rows)


def test_pictures_of_other_sizes_are_brought_to_one_and_unreadable_ones_are_counted(
    tmp_path: Path,
) -> None:
    write(tmp_path, 24)
    Image.new("RGB", (40, 24), (9, 9, 9)).save(tmp_path / "3.png")
    (tmp_path / "5.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="cannot be read"):
        pm.fit(recipe=recipe(tmp_path), show=Show.silent())
    told = recipe(tmp_path, tokenizer={**TOKENIZER, "epochs": 1})
    told.data.max_bad_rows = 1
    run = pm.fit(recipe=told, show=Show.silent())
    assert "picture" in json.dumps(run.ledger) and "cannot be read" in json.dumps(run.ledger)


def test_with_folds_one_tokenizer_learns_from_all_rows(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from polymodal.fitting import codes

    seen, learn = [], codes.learn

    def noted(job: Any, member: Any, train: Any, *rest: Any, **more: Any) -> Any:
        seen.append(train.tolist())
        return learn(job, member, train, *rest, **more)

    monkeypatch.setattr(codes, "learn", noted)
    told = recipe(table, tokenizer={**TOKENIZER, "epochs": 1}).model_dump(mode="json")
    told["models"][0]["training"] |= {"epochs": 1}
    pm.fit(recipe=Recipe.model_validate(told), show=Show.silent())
    assert len(seen) == 1 and len(seen[0]) == 24
    told["data"] |= {"valid": None, "folds": 2}
    pm.fit(recipe=Recipe.model_validate(told), show=Show.silent())
    assert len(seen) == 2 and seen[1] == list(range(32))


def test_runs_of_one_tokenizer_are_compared_others_refused_and_none_is_exported(
    drawing: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = recipe(table, decoding={"seed": 4}).model_dump(mode="json")
    told["models"][0]["training"] |= {"epochs": 1}
    pm.fit(recipe=Recipe.model_validate(told), out=tmp_path / "same", show=Show.silent())
    found = pm.compare([drawing, tmp_path / "same"], str(table / "t.csv")).targets["picture"]
    assert [one["name"] for one in found["models"]] == [str(drawing), str(tmp_path / "same")]
    told["seed"] = 1
    pm.fit(recipe=Recipe.model_validate(told), out=tmp_path / "other", show=Show.silent())
    words = ["compare", str(drawing), str(tmp_path / "other"), "--data", str(table / "t.csv")]
    assert polymodal(*words) == 2
    one_error(capsys.readouterr().err, "in the same codes")
    assert polymodal("export", str(drawing), "--out", str(tmp_path / "out")) == 2
    one_error(capsys.readouterr().err, "cannot be exported")
    assert not (tmp_path / "out").exists()


def test_its_size_is_planned(table: Path) -> None:
    (found,) = sizes(recipe(table))
    assert found.numbers > 1000


BAD = {
    "one picture": ("t", {}, "nothing to learn"),
    "patch": ("", {"tokenizer": {"patch": 3}}, "cannot be cut into patches"),
    "size": ("", {"tokenizer": {"size": 20, "patch": 8}}, "cannot be cut into patches"),
    "no patch": ("", {"tokenizer": {"patch": 0}}, "cannot be cut into patches"),
    "epochs": ("", {"tokenizer": {"epochs": -1}}, "cannot learn so"),
    "channels": ("", {"tokenizer": {"channels": 12}}, "make no convolutions"),
    "levels": ("", {"tokenizer": {"quantizer": {"name": "fsq", "levels": [1]}}}, "make no codes"),
    "key": ("", {"tokenizer": {"pach": 4}}, "pach"),
    "reading": ("", {"reading": "aloud"}, "cannot read by"),
    "decoder": ("", {"decoder": "llama"}, "cannot draw"),
    "context": ("", {"decoder": {**SMALL, "context": 10}}, "too many for the decoder"),
    "decoding": ("", {"decoding": {"choices": ["a", "b"]}}, "says nothing of how"),
    "temperature": ("", {"decoding": {"temperature": -1}}, "out of range"),
    "column": ("", {"column": "said"}, "cannot be drawn"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_error(case: str, tmp_path: Path) -> None:
    spoilt, options, says = BAD[case]
    write(tmp_path, 12)
    if spoilt:
        for i in range(12):
            Image.new("RGB", (SIDE, SIDE), (9, 9, 9)).save(tmp_path / f"{i}.png")
    with pytest.raises(UserError, match=says):
        pm.fit(recipe=recipe(tmp_path, **options), out=tmp_path / "run", show=Show.silent())
    assert not (tmp_path / "run").exists()


def test_no_pictures_are_asked_of_a_run_that_draws_none(
    drawing: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(drawing), "--data", str(table / "new.csv"), "--out", "x.csv"]
    assert polymodal(*words, "--decoding", "schema=1") == 2
    one_error(capsys.readouterr().err, "schema")
    with pytest.raises(UserError, match="does not write"):
        pm.load(drawing).write([{"said": "a"}])
    metric = recipe(table)
    metric.metric = "accuracy"
    with pytest.raises(UserError, match="accuracy"):
        pm.fit(recipe=metric, show=Show.silent())


def test_a_task_hides_its_own_column_where_others_read_it() -> None:
    task = lookup.build("tasks", {"name": "draw", "column": "picture", "decoder": SMALL}, "drawn")
    task.introduce({"picture": {"picture": "image"}, "said": {"said": "text"}}, lambda name: [])
    assert task.columns == ("picture",) and task.spoils
    seen = torch.ones(2, dtype=torch.bool)
    inputs = {n: Field(torch.zeros(2, 3), None, seen) for n in ("picture", "said")}
    batch = task.spoil(Batch(inputs, {}, torch.arange(2)), {}, torch.Generator())
    assert not batch.inputs["picture"].present.any() and batch.inputs["said"].present.all()
    assert inputs["picture"].present.all()


def test_one_model_draws_captions_and_captions_pictures(table: Path, tmp_path: Path) -> None:
    told = recipe(table).model_dump(mode="json")
    drawn = {**told["targets"].pop("picture"), "column": "picture"}
    written = {"name": "generate", "column": "said", "decoder": SMALL}
    told["targets"] = {"drawn": drawn, "written": written}
    told["models"][0]["modalities"] = {"picture": {}, "said": {}}
    told["models"][0]["training"] |= {"epochs": 20, "lr": 0.005}
    pm.fit(recipe=Recipe.model_validate(told), out=tmp_path / "run", show=Show.silent())
    run = pm.load(tmp_path / "run")
    assert list(run.schema.modalities()) == ["picture", "said"]
    rows = [{"picture": scene(i)[0], "said": scene(i)[1]} for i in (0, 1, 2, 3)]
    whole = run.predict(rows)
    assert Image.open(io.BytesIO(whole["drawn"][0])).size == (SIDE, SIDE)
    # What a task is to make it does not see, and the other column it does.
    others = [{**row, "picture": scene(9)[0]} for row in rows]
    assert run.predict(others)["drawn"] == whole["drawn"]
    assert run.predict(others)["written.log_likelihood"] != whole["written.log_likelihood"]
    others = [{**row, "said": "something else"} for row in rows]
    assert run.predict(others)["written"] == whole["written"]
    assert run.predict(others)["drawn.log_likelihood"] != whole["drawn.log_likelihood"]
    # Each of them may be told how by itself.
    with pytest.raises(UserError, match="none is drawn"):
        pm.load(tmp_path / "run", decoding={"top_k": 1})
    told = pm.load(tmp_path / "run", decoding={"drawn.top_k": 1, "written.longest": 1})
    assert told.tasks["drawn"].decoding == {"top_k": 1}
    assert all(told.predict(rows)[name] != whole[name] for name in ("drawn", "written"))
    with pytest.raises(UserError, match="'drown'"):
        pm.load(tmp_path / "run", decoding={"drown.top_k": 1})
    # New rows have the one or the other.
    found = run.predict([{"said": rows[0]["said"]}, {"picture": rows[1]["picture"]}])
    assert found["drawn"][0].startswith(b"\x89PNG") and isinstance(found["written"][1], str)


def test_a_column_that_is_read_with_others_cannot_be_hidden() -> None:
    task = lookup.build("tasks", {"name": "generate", "column": "size"}, "told")
    with pytest.raises(UserError, match="cannot be hidden"):
        task.hide({"table": {"size": "category", "price": "number"}})
