"""The task that writes reasons before the answer: what it teaches, withholds and answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import polymodal as pm
from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.defaults import default
from polymodal.contract.recipe import Recipe
from polymodal.nn.manner import Text
from polymodal.prepared.targets import prepared
from polymodal.tasks._written import START, answered
from polymodal.tasks.reason import ANSWER, REASON, Reason, parted

SMALL = {"name": "gpt2", "hidden": 32, "depth": 1, "heads": 2, "dropout": 0.0}
CELLS: list[Any] = [
    {"said": "red", "why": "It glows.\n It is  warm."},
    {"said": "blue", "why": None},
    {"said": None, "why": "Nobody knows."},
    {"said": ["green", "lime"], "why": "It is a leaf."},
]


def fitted(**options) -> Reason:
    spec = {"name": "reason", "rationale": "why", "decoder": SMALL, **options}
    task = lookup.build("tasks", spec, "said")
    task.fit(CELLS)
    return task


def test_a_row_teaches_a_text_with_reasons_and_one_without():
    task = fitted()
    arrays = task.encode(CELLS)
    assert [None if a is None else int((a == START).sum()) for a in arrays] == [2, 1, None, 3]
    parts = np.split(arrays[0], np.flatnonzero(arrays[0] == START))[1:]
    texts = [task.tokens.text(part[1:]) for part in parts]
    assert texts == ["Reason: It glows. It is warm. Answer: red", "Answer: red"]
    # What is measured is the answer.
    assert task.form.texts(arrays[0]) == ["red"] and task.truth(arrays[3]) == ["green", "lime"]
    assert task.columns == ("said", "why") and task.withheld == ("why",)
    assert (task.primary, task.exact) == ("exact_match", True)
    assert default("text") == "generate"


def test_pieces_of_a_beginning_are_those_of_the_whole():
    task = fitted()
    own = head(task)
    whole = own.begin("Reason: It glows. It is warm. Answer: red").tolist()
    for begin in (REASON, "Reason: It glows.", f"Reason: It glows. It is warm. {ANSWER}"):
        pieces = own.begin(begin).tolist()
        assert pieces == whole[: len(pieces)]


def head(task: Reason):
    torch.manual_seed(0)
    return task.heads(8, [], 0.0, {"photo": None}).eval()


def fused(rows: int) -> Fused:
    draw = torch.Generator().manual_seed(1)
    tokens = Tokens(torch.randn(rows, 3, 8, generator=draw), torch.ones(rows, 3, dtype=torch.bool))
    return Fused(torch.randn(rows, 8, generator=draw), {"photo": tokens})


@pytest.mark.parametrize("reading", ["prefix", "attention"])
def test_beginnings_of_any_length_change_no_other_row(reading):
    task = fitted(reading=reading)
    own = head(task)
    prompt = own.prompt(fused(3))
    begins = [REASON, f"{REASON} It glows. {ANSWER}", ANSWER]
    with torch.no_grad():
        together = own.decoder.states(own.after(prompt, begins))[:, -1]
        for row, begin in enumerate(begins):
            one = own.after(prompt.take(torch.tensor([row])), [begin])
            torch.testing.assert_close(own.decoder.states(one)[0, -1], together[row])


def test_it_reasons_first_unless_the_answer_has_to_keep_to_a_rule():
    task = fitted()
    own, given = head(task), fused(2)
    begun: list[list[str]] = []
    original = type(own).after

    def after(self, prompt, begins):
        begun.append(list(begins))
        return original(self, prompt, begins)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(own), "after", after)
        task.write(own, given, {})
        ((first, *_), _) = task.write(own, given, {"choices": ["red", "blue"]})
        list(task.stream(own, fused(1), {}))
    assert begun == [[REASON] * 2, [ANSWER] * 2, [REASON]]
    assert set(first.choices) == {"red", "blue"}


def test_answers_are_parted_from_reasons():
    assert parted("It glows. Answer: red") == ("It glows.", "red")
    assert parted("Reason: a. Answer: b Answer: c") == ("a. Answer: b", "c")
    assert parted("It glows, and so") == ("It glows, and so", "")
    assert parted("Answer: red") == ("", "red")
    task = fitted()
    texts = ["It glows. Answer: red", "It never ends", "Answer: blue"]
    rows = [answered(text_of(task, text), task.tokens.end) for text in texts]
    columns = task.decode(rows)
    assert columns["said"] == ["red", "", "blue"]
    assert columns["said.rationale"] == ["It glows.", "It never ends", ""]
    assert list(columns)[:2] == ["said", "said.rationale"]
    targets = task.encode([CELLS[0], CELLS[0], CELLS[1]])
    assert task.judged(rows, targets).right.tolist() == [True, False, True]
    assert task.metrics(rows, targets)["exact_match"].statistic(np.ones((1, 3)))[0] == 2 / 3
    assert task.decode(task.constant(rows))["said"][0] in ("red", "blue", "green", "lime")


def text_of(task: Reason, text: str) -> Text:
    ids = task.tokens.numbers(text)[:-1].tolist()
    return Text(ids, [-0.1] * (len(ids) + 1), True)


def test_an_answer_kept_to_a_choice_is_the_whole_text():
    task = fitted(decoding={"choices": ["red", "blue"]})
    given = [answered(text_of(task, "red"), task.tokens.end)]
    assert task.decode(given)["said"] == ["red"]
    assert task.decode(task.constant(given))["said"][0] in ("red", "blue")


def test_restored_and_targets_as_before():
    task = fitted()
    other = lookup.build("tasks", {"name": "reason", "rationale": "why", "decoder": SMALL}, "said")
    other.state = task.state
    for a, b in zip(prepared(task, CELLS).lengths, prepared(other, CELLS).lengths, strict=True):
        assert a == b
    assert other.primary == task.primary


def test_what_cannot_be_learned_is_an_error():
    with pytest.raises(UserError, match="answers for rationales"):
        lookup.build("tasks", {"name": "reason", "rationale": "said"}, "said")
    task = lookup.build("tasks", {"name": "reason", "rationale": "why"}, "said")
    with pytest.raises(UserError, match="both 'said' and a rationale in 'why'"):
        task.fit([{"said": "red", "why": None}, {"said": None, "why": "It glows."}])


def test_a_run_reads_no_rationale_and_refuses_it_with_new_rows(tmp_path):
    colours = ["red", "blue"] * 16
    rows = pd.DataFrame(
        {
            "note": [f"{c} thing {i}" for i, c in enumerate(colours)],
            "why": [f"The note says {c}." for c in colours],
            "said": colours,
        }
    )
    described = {
        "targets": {"said": {"name": "reason", "rationale": "why", "decoder": SMALL}},
        "data": {"kinds": {"said": "text", "note": "text"}, "valid": 0.25},
        "modalities": {"note": {}},
        "fusion": "sum",
        "width": 16,
        "training": {"epochs": 1, "batch_size": 16, "precision": "fp32", "threads": 1},
    }
    recipe = Recipe.model_validate(described)
    run = pm.fit(rows, recipe=recipe, out=tmp_path / "run")
    assert [column.name for column in run.schema.inputs] == ["note"]
    new = rows[["note"]]
    assert list(run.predict(new))[:2] == ["row", "said"]
    for call in (run.predict, run.write):
        with pytest.raises(UserError, match="has the column 'why', which 'said' is to write"):
            call(rows[["note", "why"]].to_dict("records"))
    with pytest.raises(UserError, match="has the column 'why'"):
        run.predict_row({"note": "red", "why": "so"})
    # With the answers it is measured, with the column of rationales or without.
    with_it = pm.evaluate(run, rows).targets["said"]["exact_match"]
    without = pm.evaluate(run, rows[["note", "said"]]).targets["said"]["exact_match"]
    assert with_it["value"] == without["value"]
    with pytest.raises(UserError, match="no column 'why', which the task 'said' reads"):
        pm.fit(rows[["note", "said"]], recipe=recipe, out=tmp_path / "other")
