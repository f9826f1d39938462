"""The task that writes texts: targets, loss on the answer alone, answers, measures, fits."""

from __future__ import annotations

import csv
import json
import math
import random
import re
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

import polymodal as pm
from polymodal.base import lookup
from polymodal.base.errors import MissingExtra, UserError
from polymodal.cli.main import app
from polymodal.contract.batch import Field, Fused, Tokens
from polymodal.contract.defaults import default
from polymodal.contract.recipe import Recipe
from polymodal.contract.task import Pass
from polymodal.evaluation.part import Part
from polymodal.evaluation.texts import beside
from polymodal.fitting.sizes import sizes
from polymodal.nn import rules
from polymodal.nn.manner import Text
from polymodal.prepared.targets import prepared
from polymodal.report.console import Show
from polymodal.run.writing import parts
from polymodal.table.infer import infer
from polymodal.table.ledger import Ledger
from polymodal.table.read import read
from polymodal.tasks._written import START, answered, unpacked
from polymodal.tasks.generate import Generate

WIDTH = 8
CELLS: list[Any] = [
    "a red cross",
    ["a blue square", "one blue square here"],
    None,
    '["two discs", "discs, two of them"]',
    "Größe: 5 µm – 'ok'",
]
SMALL = {"name": "gpt2", "hidden": 32, "depth": 1, "heads": 2, "dropout": 0.0}
TRAINING = {
    "epochs": 18,
    "batch_size": 16,
    "lr": 0.01,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}


def fitted(cells=CELLS, **options) -> Generate:
    task = lookup.build("tasks", {"name": "generate", "decoder": SMALL, **options}, "said")
    task.fit(cells)
    return task


def field(task: Generate, cells) -> Field:
    return prepared(task, cells).gather(np.arange(len(cells)))


def fused(rows: int, seed: int = 0) -> Fused:
    """Two modalities, some of whose places are masked; one row has nothing of the second."""
    draw = torch.Generator().manual_seed(seed)
    found = {}
    for name, length in (("photo", 4), ("note", 3)):
        mask = torch.rand(rows, length, generator=draw) < 0.7
        mask[:, 0] = True
        if name == "note":
            mask[0] = False
        values = torch.randn(rows, length, WIDTH, generator=draw)
        found[name] = Tokens(torch.where(mask.unsqueeze(-1), values, 0), mask)
    return Fused(torch.randn(rows, WIDTH, generator=draw), found)


def some(given: Fused, start: int, end: int) -> Fused:
    own = {n: Tokens(t.values[start:end], t.mask[start:end]) for n, t in given.tokens.items()}
    return Fused(given.pooled[start:end], own)


def head(task: Generate, dropout: float = 0.0):
    torch.manual_seed(0)
    return task.heads(WIDTH, [], dropout, {"photo": None, "note": None})


def test_targets_are_texts_and_come_back_to_the_letter():
    task = fitted()
    arrays = task.encode(CELLS)
    counts = [None if one is None else int((one == START).sum()) for one in arrays]
    assert counts == [1, 2, None, 2, 1]
    assert task.truth(arrays[1]) == CELLS[1] and task.truth(arrays[3]) == json.loads(CELLS[3])
    assert task.truth(arrays[4]) == CELLS[4]
    for array in arrays:
        if array is not None:
            np.testing.assert_array_equal(task.encode([task.truth(array)])[0], array)
    assert not task.is_known("") and not task.is_known([]) and not task.is_known("[]")


def test_unpacked_is_what_was_encoded():
    task = fitted()
    ids, mask, rows = unpacked(field(task, CELLS))
    assert rows.tolist() == [0, 1, 1, 3, 3, 4]
    texts = [task.tokens.text(own[real].numpy()) for own, real in zip(ids, mask, strict=True)]
    wanted = [CELLS[0], *CELLS[1], *json.loads(CELLS[3]), CELLS[4]]
    assert texts == wanted
    ends = [own[real][-1].item() for own, real in zip(ids, mask, strict=True)]
    assert ends == [task.tokens.end] * 6


def test_a_text_beyond_the_limit_is_cut_and_has_no_end(monkeypatch):
    from polymodal.tasks import generate

    monkeypatch.setattr(generate, "LIMIT", 12)
    task = fitted(["short one", "long and longer and longest of all texts there are"])
    long = task.encode(["long and longer and longest of all texts there are"])[0]
    assert task.tokens.end not in long and len(long) == 1 + 10
    assert task.encode(["short"])[0][-1] == task.tokens.end
    assert [one[0] for one in task.remarks()] == ["warning"]
    ledger = Ledger()
    prepared(task, ["short", None, ["short", "long and longer and longest of all"], "one"], ledger)
    (reason,) = ledger.to_json()["truncated"].items()
    assert reason == (
        "the target 'said' has more pieces than are learned: its end is not learned",
        1,
    )
    assert fitted(["short one", "short"]).remarks() == []


def test_what_many_people_say_of_a_row_is_read_once_and_counts_as_often(monkeypatch):
    task = fitted()
    own, given = head(task), fused(2)
    apart = own(some(given, 0, 1), field(task, ["a red cross"])).output["nats"]
    read, taught = [], own.decoder.taught
    monkeypatch.setattr(own.decoder, "taught", lambda *own: read.append(own) or taught(*own))
    cells = [["a red cross", "no", "a red cross", "a red cross"], "a red cross"]
    found = own(given, field(task, cells)).output
    prompt, ids, _, rows = read[0]
    assert len(prompt.mask) == 2 and len(ids) == 3 and sorted(rows.tolist()) == [0, 0, 1]
    assert found["row"].tolist() == [0, 0, 0, 0, 1]
    torch.testing.assert_close(found["nats"][[0, 2, 3]], apart.expand(3))
    places = [len(task.tokens.numbers(text)) for text in (*cells[0], cells[1])]
    assert found["places"].tolist() == places


@pytest.mark.parametrize("reading", ["prefix", "attention"])
def test_the_loss_is_of_the_answers_pieces_alone(reading):
    """Rows without a target, and what stands behind a text, cost nothing and teach nothing."""
    task = fitted(reading=reading)
    own, given, target = head(task), fused(5), field(task, CELLS)
    loss = task.loss(Pass({}, given, own(given, target).output, target=target))
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in own.parameters())
    other = Field(target.data.clone(), target.mask, target.present)
    other.data[2], other.data[~target.mask] = 7, 9
    again = task.loss(Pass({}, given, own(given, other).output, target=other))
    assert again.item() == loss.item()
    nothing = Field(target.data, target.mask, torch.zeros(5, dtype=torch.bool))
    assert task.loss(Pass({}, given, own(given, nothing).output, target=nothing)).item() == 0
    # By hand: every text's own loss, one at a time.
    nats, count = 0.0, 0
    for row, cell in ((0, CELLS[0]), (1, CELLS[1][0]), (1, CELLS[1][1])):
        found = own(some(given, row, row + 1), field(task, [cell])).output
        nats, count = nats + found["nats"].item(), count + int(found["places"])
    three, part = field(task, CELLS[:2]), some(given, 0, 2)
    whole = task.loss(Pass({}, part, own(part, three).output, target=three))
    assert whole.item() == pytest.approx(nats / count, rel=1e-5)


@pytest.mark.parametrize("reading", ["prefix", "attention"])
def test_every_modality_is_read_and_a_missing_one_is_not(reading):
    task = fitted(reading=reading)
    own, target = head(task).eval(), field(task, CELLS)

    def nats(given: Fused) -> torch.Tensor:
        return own(given, target).output["nats"]

    before = nats(fused(5))
    for name in ("photo", "note"):
        given = fused(5)
        given.tokens[name].values[:] *= torch.tensor([1.0, -1.0]).repeat(WIDTH // 2)
        changed = nats(given) != before
        assert changed[1:].all() and changed[0].item() == (name == "photo")
    given = fused(5)
    for tokens in given.tokens.values():
        tokens.values[~tokens.mask] = 5.0
    torch.testing.assert_close(nats(given), before)


def test_answers_say_what_was_written_and_what_the_target_cost():
    task = fitted()
    own, given, target = head(task).eval(), fused(5), field(task, CELLS)
    with torch.no_grad():
        output = own(given, target).output
        rows = task.answer(Pass({}, given, output, target=target))
        blind = task.answer(Pass({}, given, own(given).output))
    assert [row[0, 2] for row in blind] == [0] * 5
    for row, other in zip(rows, blind, strict=True):
        np.testing.assert_allclose(row[1:], other[1:], atol=1e-5)
    assert [row[0, 2] > 0 for row in rows] == [True, True, False, True, True]
    assert sum(row[0, 1] for row in rows) == pytest.approx(output["nats"].sum().item(), rel=1e-5)
    columns = task.decode(rows)
    assert list(columns) == ["said", "said.log_likelihood", "said.finish"]
    assert set(columns["said.finish"]) <= {"stop", "length"}
    assert all(len(c) == 5 for c in columns.values()) and json.dumps(columns)
    constant = task.constant(rows)
    assert task.decode(constant)["said"] == [task.state["common"]] * 5
    assert task.merge({"a": rows, "b": constant}, {"a": 0.3, "b": 0.7})[0] is constant[0]
    known = [i for i in range(5) if i != 2]
    mine, targets = [rows[i] for i in known], task.encode([CELLS[i] for i in known])
    found = task.metrics(mine, targets)
    nats, places = (sum(row[0, i] for row in mine) for i in (1, 2))
    value = found["perplexity"].statistic(np.ones((1, 4)))[0]
    assert value == pytest.approx(np.exp(nats / places))
    assert task.criterion(mine, targets) == pytest.approx(nats / places)
    assert "perplexity" not in task.metrics([blind[i] for i in known], targets)
    assert task.metrics([], []) == {} and task.criterion([], []) == 0
    assert task.judged(mine, targets).right.shape == (4,)


def test_perfect_texts_are_right_whichever_reference_they_are():
    task = fitted()
    known = [cell for cell in CELLS if cell is not None]
    targets = task.encode(known)
    ids = [array[np.flatnonzero(array == START)[-1] + 1 : -1].tolist() for array in targets]
    end = task.tokens.end
    rows = [answered(Text(own, [0.0] * (len(own) + 1), True), end) for own in ids]
    assert task.judged(rows, targets).right.all()
    found = {n: m.statistic(np.ones((1, 4)))[0] for n, m in task.metrics(rows, targets).items()}
    assert found["exact_match"] == 1 and found["wer"] == found["cer"] == 0
    assert task.support(rows[0], rows[0]) == 1 and task.support(rows[0], rows[1]) < 1


def test_what_is_measured_first_depends_on_how_long_texts_are():
    short, long = fitted(["yes", "no", "red"]), fitted()
    assert (short.primary, short.exact) == ("exact_match", True)
    assert (long.primary, long.exact) == ("cider_d", False)
    short.measured_by("wer")
    assert (short.primary, short.exact) == ("wer", False)


def test_restored_from_json():
    task = fitted(vocabulary=300)
    again = lookup.build("tasks", {"name": "generate", "decoder": SMALL, "vocabulary": 300}, "said")
    again.state = json.loads(json.dumps(task.state))
    assert again.primary == task.primary and again.tokens.count == task.tokens.count <= 300
    for one, other in zip(again.encode(CELLS), task.encode(CELLS), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_rule_is_compiled_by_who_fits_and_not_by_who_loads(monkeypatch):
    with pytest.raises(UserError, match="pattern 'a\\(' is invalid"):
        fitted(decoding={"pattern": "a("})
    task = fitted(KNOWN, decoding={"pattern": "y.*"})

    def missing(*given):
        raise MissingExtra("llguidance", "text", "a rule")

    monkeypatch.setattr(rules, "_llguidance", missing)
    task.state = json.loads(json.dumps(task.state))
    with pytest.raises(MissingExtra):
        task.constant([np.zeros((1, 4))])


def test_the_common_text_is_the_commonest_or_the_one_most_like_all():
    assert fitted(["no", "yes", "yes"]).state["common"] == "yes"
    texts = ["a dog runs", "a dog sits", "the stock market fell", "a dog runs far"]
    assert fitted(texts).state["common"] == "a dog runs"


KNOWN = [*["no"] * 3, *["yes, it is"] * 2, "7"]


@pytest.mark.parametrize(
    ("how", "texts"),
    [
        ({}, ["no"]),
        ({"temperature": 1.0, "samples": 3}, ["no", "yes, it is", "no"]),
        ({"pattern": "y.*", "temperature": 1.0, "samples": 2}, ["yes, it is"] * 2),
        ({"pattern": "y.*", "longest": 1}, []),
        ({"pattern": "[0-9]+"}, []),  # none that comes often: the model writes
        ({"choices": ["7", "yes, it is"]}, ["yes, it is"]),
        ({"choices": ["maybe it is no", "8"], "longest": 3}, None),
    ],
)
def test_what_is_said_of_a_row_with_nothing_keeps_to_what_is_asked(how, texts):
    task = fitted(KNOWN)
    found = task.blank(how)
    assert texts is None or [one.text for one in found] == texts
    assert {*(found[0].choices if found else ())} == {*how.get("choices", ())}
    own = fitted(KNOWN, decoding=how)
    said = own.decode(own.constant([np.zeros((1, 4))]))["said"]
    assert said[0] in how.get("choices", said)
    assert own.constant_serves == bool(found) and (not found or said == [found[0].text])
    told = [what for _, what in own.remarks() if "keeps to what" in what]
    assert bool(told) == (not found)


def test_what_is_said_of_a_row_with_nothing_ends_where_it_is_asked_to():
    task = fitted(["yes, it is", "yes, it is", "no"], vocabulary=270)
    ((cut,), (stopped,)) = task.blank({"longest": 3}), task.blank({"stop": ["no", ", "]})
    assert "yes, it is".startswith(cut.text) and (cut.pieces, cut.finish) == (3, "length")
    assert (stopped.text, stopped.finish) == ("yes", "stop")
    assert 0 > stopped.log_likelihood > task.blank({})[0].log_likelihood
    assert task.blank({"longest": 99, "stop": ["maybe"]}) == task.blank({})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reading": "ear"}, "cannot read by 'ear'"),
        ({"decoder": "gpt5"}, "no nn/decoders called 'gpt5'"),
        ({"decoder": {"name": "gpt2", "layers": 3}}, "has no option 'layers'"),
        ({"decoder": {"name": "gpt2", "dropout": math.nan}}, "finite number"),
        ({"decoder": "llama", "reading": "attention"}, "has no cross-attention"),
        ({"decoding": {"beam": 3}}, "has no option 'beam'"),
        ({"decoding": {"beams": "3"}}, "wrong type"),
        ({"decoding": {"beams": 0}}, "beams=0"),
        ({"decoding": {"stop": ["a"]}}, "asked of `write`"),
    ],
)
def test_options_that_do_not_work_are_errors(options, message):
    with pytest.raises(UserError, match=message):
        lookup.build("tasks", {"name": "generate", **options}, "said")


@pytest.mark.parametrize("cells", [[None, "", []], ["same", "same", None]])
def test_nothing_to_learn_is_an_error(cells):
    with pytest.raises(UserError, match="nothing to learn"):
        fitted(cells)


def test_decoding_is_how_it_writes():
    """Each key of `decoding` comes to the decoder; `longest` bounds what is written."""
    task = fitted(decoding={"longest": 2})
    own = head(task).eval()
    rows = task.answer(Pass({}, None, own(fused(5)).output))
    assert max(int((row[1:, 0] != task.tokens.end).sum()) for row in rows) <= 2
    drawn = fitted(decoding={"temperature": 3.0, "seed": 1})
    other = head(drawn).eval()
    assert drawn._manner(9).longest == 9
    texts = drawn.decode(drawn.answer(Pass({}, None, other(fused(5)).output)))["said"]
    assert texts != task.decode(rows)["said"]
    several = head(fitted(decoding={"temperature": 3.0, "seed": 1, "samples": 6})).eval()
    best = several(fused(5)).output["written"]
    ways = several.write(several.prompt(fused(5)), several.manner)
    for text, own in zip(best, ways, strict=True):
        means = [np.mean(one.logs) for one in own]
        assert len(own) == 6 and np.mean(text.logs) == pytest.approx(max(means))


def test_what_is_drawn_is_whole_letters_whatever_the_model_knows():
    task = fitted(["tea: 3 €\n", "kaffee: 5 €", "😀"])
    own, given = head(task), fused(6)
    for longest in (1, 2, 9):
        how = {"temperature": 3.0, "samples": 8, "longest": longest}
        drawn = [said for texts in task.write(own, given, how) for said in texts]
        streamed = [part.said for step in task.parts(own, given, how) for part in step if part.said]
        for said in [*drawn, *streamed]:
            assert "\ufffd" not in said.text
            assert {c for c in said.text if unicodedata.category(c) == "Cc"} <= {"\n"}


def test_written_texts_stand_beside_always_the_same_one_and_are_told_if_worse():
    task = fitted(["dog"] * 6 + ["cat"] * 4)
    part = Part(task, prepared(task, ["dog", "dog", "cat", "dog"]), None)
    heads = np.array([[1.0, 1, 1, 1]])
    same, told = beside(part, [heads] * 4, ["", " ", "\n", ""])
    assert same["exact_match"]["value"] == 0.75
    assert told == [
        "Nothing is written for 'said' in any row: exact_match 0.0000 against 0.7500 of always the "
        "same text"
    ]
    right = task.constant([heads])[0]
    assert beside(part, [right] * 4, ["dog"] * 4)[1] == []
    assert next(iter(same)) == "exact_match"
    task.measured_by("wer")
    assert next(iter(part.metrics([right] * 4))) == "wer"


# -- whole fits ---------------------------------------------------------------------------------


def rows(count: int, seed: int = 0) -> dict[str, list[Any]]:
    """The price says which word; half of the rows have two references."""
    draw = random.Random(seed)
    price = [round(draw.uniform(-1, 1), 3) for _ in range(count)]
    size = [round(draw.uniform(-1, 1), 3) for _ in range(count)]
    said = [
        f"{'cold' if p < 0 else 'warm'} and {'small' if s < 0 else 'large'}"
        for p, s in zip(price, size, strict=True)
    ]
    return {"price": price, "note": ["low" if s < 0 else "high" for s in size], "said": said}


def described(**more: Any) -> Recipe:
    """The price tells one half of the text, the note the other."""
    models = [{"name": "both", "fusion": "sum", "width": 16, "training": TRAINING}]
    spec = {"name": "generate", "decoder": SMALL, "vocabulary": 270}
    found = {"targets": {"said": spec}, "models": models, "rivals": True}
    found |= {"data": {"kinds": {"said": "text", "note": "text"}}}
    return Recipe.model_validate({**found, **more})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return pm.fit(rows(240), recipe=described(), out=tmp_path_factory.mktemp("generate") / "run")


@pytest.fixture(scope="module")
def found(run):
    return pm.evaluate(run, rows(60, seed=1), explain=1)


@pytest.mark.whole
def test_it_is_measured_saved_and_predicts(run, found):
    loaded, test = pm.load(run.folder), rows(60, seed=1)
    assert found.targets["said"]["exact_match"]["value"] > 0.9
    assert found.targets["said"]["perplexity"]["value"] < 1.2
    common = run.tasks["said"].state["common"]
    share = test["said"].count(common) / len(test["said"])
    assert found.constants["said"]["exact_match"]["value"] == pytest.approx(share)
    assert "always the same answer" in found.text() and not found.warnings
    assert [one["empty"] for one in run.leaderboard if one["role"] == "fused"] == [0.0]
    given = loaded.predict({key: test[key] for key in ("price", "note")})
    assert given["said"] == found.predictions["said"]
    one = loaded.predict_row({"price": test["price"][0], "note": test["note"][0]})
    assert one["said"] == given["said"][0]
    assert one["said.log_likelihood"] == pytest.approx(given["said.log_likelihood"][0], abs=1e-3)
    assert one["said.finish"] == "stop"
    assert loaded.predict_row({})["said"] == run.tasks["said"].state["common"]


@pytest.mark.whole
def test_texts_are_written_in_any_manner(run):
    loaded, test = pm.load(run.folder), rows(8, seed=1)
    given = [{"price": p, "note": n} for p, n in zip(test["price"], test["note"], strict=True)]
    predicted = loaded.predict(given)
    plain = loaded.write(given)
    assert [own[0].text for own in plain] == predicted["said"]
    logs = [own[0].log_likelihood for own in plain]
    assert logs == pytest.approx(predicted["said.log_likelihood"], abs=1e-3)
    assert [len(own) for own in loaded.write(given, beams=3, samples=3)] == [3] * 8
    drawn = loaded.write(given, temperature=4.0, samples=5, seed=3)
    assert all(len({said.text for said in own}) > 1 for own in drawn)
    assert loaded.write(given, longest=2)[0][0].finish == "length"
    for row, text in zip(given, predicted["said"], strict=True):
        parts = list(loaded.stream(row))
        assert len(parts) > 1 and "".join(parts) == text
    whole = predicted["said"][0]
    ((cut,),) = loaded.write(given[:1], stop=["nowhere", whole[4:6]])
    assert cut.text == whole.partition(whole[4:6])[0] and cut.finish == "stop"
    assert "".join(loaded.stream(given[0], stop=[whole[4:6]])) == cut.text
    assert list(loaded.stream({})) == [run.tasks["said"].state["common"]]
    one, other, _ = loaded.write([{}, {}, given[0]])
    assert one[0].text == run.tasks["said"].state["common"]
    assert one == other and one is not other
    assert loaded.write([{}], longest=1)[0][0].finish == "length"


@pytest.mark.whole
def test_commands_are_told_how_texts_are_written(run, tmp_path):
    """Keys of `decoding` come to `predict` and `evaluate`; several samples: the likeliest."""
    data = rows(12, seed=1)
    pq.write_table(pa.table(data), tmp_path / "test.parquet")
    table = ["--data", str(tmp_path / "test.parquet")]

    def predicted(name: str, *asked: str) -> list[dict[str, str]]:
        out = tmp_path / f"{name}.csv"
        told = [word for one in asked for word in ("--decoding", one)]
        done = CliRunner().invoke(
            app, ["predict", str(run.folder), *table, "--out", str(out), *told]
        )
        assert done.exit_code == 0, done.output
        with out.open(newline="") as file:
            return list(csv.DictReader(file))

    assert {row["said.finish"] for row in predicted("plain")} == {"stop"}
    assert {row["said.finish"] for row in predicted("short", "longest=2")} == {"length"}
    assert {row["said"] for row in predicted("choice", 'choices=["a", "b"]')} <= {"a", "b"}
    ruled = predicted("ruled", "pattern=[0-9]{3}")
    assert all(re.fullmatch("[0-9]{3}", row["said"]) for row in ruled)
    loud = ("temperature=3", "seed=1", "longest=8")
    one, many = predicted("one", *loud), predicted("many", *loud, "samples=8")
    assert [row["said"] for row in one] != [row["said"] for row in many]
    out = str(tmp_path / "measured")
    asked = ["evaluate", str(run.folder), *table, "--out", out, "--contributions", "none"]
    done = CliRunner().invoke(app, [*asked, "--decoding", "longest=2"])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "measured" / "metrics.json").read_text())
    assert found["targets"]["said"]["exact_match"]["value"] == 0


@pytest.mark.whole
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("beams", "a key and a value"),
        ("beam=2", "no option 'beam'"),
        ("beams=0", "beams=0"),
        ("said.beams=ten", "write --decoding said.beams=3"),
        ("said.choices=a red circle", """'said.choices=["a red circle", "another"]'"""),
        ("choices=a", "expected: a list of texts or none, as in "),
    ],
)
def test_a_way_of_writing_that_there_is_not_is_an_error(run, tmp_path, asked, message):
    row = ["predict", str(run.folder), "--price", "1", "--decoding", asked]
    done = CliRunner().invoke(app, row)
    assert done.exit_code != 0
    assert isinstance(done.exception, UserError) and message in done.exception.for_shell()


@pytest.mark.whole
def test_some_texts_are_kept_to_look_at(run, found, tmp_path):
    """Rows from the first to the last: what was read, wanted (all of it) and written."""
    shown = found.samples
    assert list(shown) == ["row", "price", "note", "said.reference", "said.written"]
    assert len(shown["row"]) == 20 and (shown["row"][0], shown["row"][-1]) == (0, 59)
    test = rows(60, seed=1)
    for i, row in enumerate(shown["row"]):
        assert (
            shown["price"][i] == str(test["price"][row]) and shown["note"][i] == test["note"][row]
        )
        assert shown["said.reference"][i] == test["said"][row]
        assert shown["said.written"][i] == found.predictions["said"][row]
    found.save(tmp_path / "out")
    with (tmp_path / "out" / "samples.csv").open(newline="") as file:
        assert [row["said.written"] for row in csv.DictReader(file)] == shown["said.written"]
    few = {name: values[:2] for name, values in rows(2, seed=3).items()}
    few["said"] = [["warm and small", "warm"], None]
    assert pm.evaluate(run, few, explain=0).samples["said.reference"] == [
        '["warm and small", "warm"]',
        "",
    ]


def test_several_texts_are_told_as_they_come_and_may_be_left(run):
    """Each row draws by its own seed; rows that nobody waits for are written no further."""
    row = {"price": 0.3, "note": "low"}
    table, how = run.table([row, row, row, {}]), {"temperature": 4.0, "samples": 2}
    left: set[int] = set()

    def steps(**more):
        seeds = [5, 6, 5, 0]
        return parts(run.pipeline, table, None, {**how, **more}, Ledger(), seeds, left)

    texts: dict[Any, str] = {}
    done: dict[Any, Any] = {}
    for part in [part for step in steps() for part in step]:
        key = (part.row, part.sample)
        texts[key] = texts.get(key, "") + part.text
        if part.said is not None:
            done[key] = part.said
    assert set(done) == {(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)}
    assert {key: said.text for key, said in done.items()} == texts
    alone = run.write([row], seed=5, **how)[0]
    for sample in (0, 1):
        assert done[0, sample].text == done[2, sample].text == alone[sample].text
        assert done[0, sample].pieces == alone[sample].pieces
        assert done[0, sample].read == alone[sample].read > 1
    assert [done[1, i].text for i in (0, 1)] != [done[0, i].text for i in (0, 1)]
    count = 0
    for step in steps(longest=60, pattern="[a-z ]{60}"):
        rows = {part.row for part in step} - {3}  # that has nothing, and is written by itself
        count += bool(rows)
        if count == 3:
            left |= {0, 2}
        assert count <= 3 or rows <= {1}
        assert not any(part.said for part in step if part.row in left)
    assert count > 10


@pytest.mark.whole
def test_texts_keep_to_what_they_are_asked_to(run):
    """Choices are weighed by their likelihood; patterns and schemas hold whatever is drawn."""
    test = rows(8, seed=1)
    given = [{"price": p, "note": n} for p, n in zip(test["price"], test["note"], strict=True)]
    texts = [f"{a} and {b}" for a in ("cold", "warm") for b in ("small", "large")]
    written = run.write(given)
    chosen = run.write(given, choices=[*texts, "nothing of these"])
    assert [own[0].text for own in chosen] == [own[0].text for own in written]
    for own, plain in zip(chosen, written, strict=True):
        total, each = own[0].choices[plain[0].text]
        assert total == pytest.approx(plain[0].log_likelihood, abs=1e-3)
        assert each == max(one for _, one in own[0].choices.values()) > total
    assert {own[0].text for own in run.write(given, choices=["nothing"])} == {"nothing"}
    loud = {"temperature": 3.0, "samples": 4, "longest": 40}
    for own in run.write(given, pattern="(very )?(hot|[0-9]{2,3} degrees)", **loud):
        assert all(re.fullmatch("(very )?(hot|[0-9]{2,3} degrees)", said.text) for said in own)
    # No text of training keeps to it: the model writes of rows with nothing too.
    digits = {"pattern": "[0-9]{3}"}
    assert all(re.fullmatch("[0-9]{3}", own[0].text) for own in run.write([given[0], {}], **digits))
    assert re.fullmatch("[0-9]{3}", "".join(run.stream({}, **digits)))
    ruled = pm.load(run.folder, decoding=digits)
    assert ruled.predict_row({})["said"] == run.write([{}], **digits)[0][0].text
    long = "(very ){30}hot"
    for (said,) in run.write(given[:2], pattern=long):
        assert said.finish == "stop" and re.fullmatch(long, said.text)
    schema = {"type": "object", "properties": {"warm": {"type": "boolean"}}, "required": ["warm"]}
    for own in run.write(given, schema={**schema, "additionalProperties": False}, **loud):
        assert all(list(json.loads(said.text)) == ["warm"] for said in own)


@pytest.mark.whole
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"beam": 2}, "has no option 'beam'"),
        ({"target": "sayd"}, "does not write 'sayd'"),
        ({"stop": ["a"], "beams": 2}, "written piece by piece"),
        ({"stop": [""]}, "out of range"),
        ({"longest": "3"}, "give `longest` as is expected"),
        ({"pattern": "a("}, r"The pattern 'a\(' is invalid"),
        ({"pattern": ""}, "pattern='' is out of range"),
        ({"choices": []}, "choices=.. is out of range"),
        (
            {"schema": {"type": "integer", "minimum": 3, "maximum": 2}},
            "No text can keep to",
        ),
        ({"choices": ["a", "a"]}, "choices="),
        ({"choices": ["a"], "pattern": "b"}, "cannot be kept to at once"),
    ],
)
def test_manners_that_there_are_not_are_errors(run, how, message):
    with pytest.raises(UserError, match=message):
        run.write(rows(2), **how)


@pytest.mark.whole
def test_sizes_told_beforehand_are_those_of_what_was_trained(run, tmp_path):
    data = rows(240)
    with (tmp_path / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(data)
        writer.writerows(zip(*data.values(), strict=True))
    told = {one.name: one for one in sizes(described(train=str(tmp_path / "train.csv")))}
    assert set(told) == {"both", "note", "table"}
    for name, member in run.members.items():
        assert told[name].numbers == member.module.numbers()


@pytest.mark.whole
def test_what_comes_as_a_whole_is_not_streamed(run):
    with pytest.raises(UserError, match="as a whole only"):
        list(run.stream({"price": 0.1}, beams=2))


@pytest.mark.whole
def test_the_verdict_and_what_each_modality_is_worth(found, tmp_path):
    verdict = found.verdicts["said"]
    assert verdict["answer"] == "pays" and verdict["best_single"] in ("note", "table")
    worth = found.contributions["said"]["shapley"]
    assert set(worth) == {"note", "table"} and min(span["low"] for span in worth.values()) > 0
    assert "sample" not in found.contributions["said"]
    found.save(tmp_path / "measured")
    assert "What each modality is worth" in (tmp_path / "measured" / "report.html").read_text()


@pytest.mark.whole
def test_texts_have_curves_over_corruptions_and_no_mean(run):
    test = rows(20, seed=2)
    found = pm.evaluate(run, test, robustness=True, explain=0, contributions="none")
    curves = found.robustness["said"]
    note = curves["missing"]["note"]
    assert note["fused"][0] > note["fused"][-1]
    every = [*curves["missing"].values(), *curves["corruptions"]["note"].values()]
    assert not [one for one in every if "late_fusion" in one or "rho" in one]


@pytest.mark.whole
def test_from_the_command_line(run, tmp_path: Path):

    data = rows(6)
    with (tmp_path / "new.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(data)
        writer.writerows(zip(*data.values(), strict=True))
    out = str(tmp_path / "out.csv")
    predict = ["predict", str(run.folder), "--data", str(tmp_path / "new.csv"), "--out", out]
    result = CliRunner().invoke(app, predict)
    assert result.exit_code == 0, result.output
    with Path(out).open() as file:
        assert {"said", "said.log_likelihood", "said.finish"} <= set(next(csv.DictReader(file)))


def test_a_table_with_texts_to_write_has_nothing_wrong_with_it():
    data = rows(60)
    data["said"] = [[text, f"{text} too"] if i % 2 else text for i, text in enumerate(data["said"])]
    table = {**data, "said": [cell if isinstance(cell, list) else [cell] for cell in data["said"]]}
    for cells in (rows(60), table):
        report = pm.check(cells, ["said"], kinds={"said": "text"}, show=Show.silent())
        assert not [one for one in report.findings if one.severity == "error"]
    report = pm.check({**rows(60), "said": ["same"] * 60}, ["said"], kinds={"said": "text"})
    assert [one.severity for one in report.findings if "said" in one.what] == ["error"]


def test_a_target_of_texts_has_to_be_declared():
    texts = [f"the {i}th text of many, {i * 7}" for i in range(60)]
    table = {"price": [round(random.Random(i).random(), 3) for i in range(60)], "said": texts}
    with pytest.raises(UserError, match=r"have such texts written: .*said.*text"):
        pm.fit(table, target="said")
    schema = infer(read(table), ["said"], {"said": "text"})
    assert default(schema.targets[0].kind) == "generate"
