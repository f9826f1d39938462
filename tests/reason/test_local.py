"""A run asked as strategies ask: beginnings, blank media, tokens, scores of steps."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe
from polymodal.nn.decoding import write
from polymodal.nn.manner import Manner
from polymodal.reason.local import Local, Until
from polymodal.reason.model import Asked, steps
from polymodal.reason.rationales import rationales
from polymodal.reason.reason import reason
from polymodal.tasks.reason import ANSWER, REASON

ASKED = [Asked(i) for i in range(10)]
SAID = "Which way did it move? left. It is heavy."


@pytest.fixture
def model(fitted, data) -> Local:
    return Local(fitted, str(data["test"]), question="question")


def test_rows_and_their_truths(model, data):
    table = pd.read_csv(data["test"])
    assert model.truths == [[answer] for answer in table["answer"]]
    assert model.prompts == table["question"].tolist()
    assert sorted(model.media) == ["picture", "sensor"]


def test_what_a_row_gets_depends_on_no_other(model):
    together = model.chains(ASKED, 2, 1.0, 3)
    for i in (0, 7):
        (alone,) = model.chains([ASKED[i]], 2, 1.0, 3)
        assert [(t.reason, t.answer) for t in alone] == [(t.reason, t.answer) for t in together[i]]
    mixed = [
        Asked(0),
        Asked(1, reason=SAID),
        Asked(2, "Is it heavy or light?"),
        Asked(3, blank=True),
    ]
    found = model.answers(mixed)
    for ask, thought in zip(mixed, found, strict=True):
        assert model.answers([ask])[0].answer == thought.answer


def test_tokens_are_counted(model):
    before = model.tokens
    answers = model.answers(ASKED)
    task = model.task
    longest = [len(task.tokens.numbers(a.answer)) for a in answers]
    assert 0 < model.tokens - before <= sum(longest) + len(ASKED) * 2 + task.state["longest"] * 10


def test_answers_go_on_from_what_stands_before_them(model):
    """As one forward pass over the whole text has it."""
    ask = Asked(4, reason=SAID)
    (thought,) = model.answers([ask])
    begin = f"{REASON} {SAID} {ANSWER}"
    tokens = model.task.tokens
    ((_, writer, prompt),) = model._prompts([ask], lambda a: REASON)
    rest = writer.begin(begin)[len(writer.begin(REASON)) :]
    own = tokens.numbers(thought.answer)
    ids = torch.from_numpy(np.concatenate([rest, own])).unsqueeze(0)
    with torch.no_grad():
        logs = writer.decoder.taught(prompt, ids, torch.ones_like(ids, dtype=torch.bool))[0]
        # The likeliest piece at each place is the one that was written.
        ((_, _, full),) = model._prompts([ask], lambda a: begin)
        text = write(writer.decoder, full, tokens.end, Manner(longest=model._longest))[0][0]
    assert tokens.text(text.ids).strip() == thought.answer
    assert sum(text.logs) == pytest.approx(thought.log, abs=1e-4)
    pieces = len(text.logs)
    if text.ended and own.tolist()[:-1] == text.ids:
        assert logs[-pieces:].sum().item() == pytest.approx(thought.log, abs=1e-3)


def test_steps_are_scored_by_how_much_likelier_the_media_make_them(model):
    (found,) = model.supports([Asked(5)], [SAID])
    assert len(found) == 2 and all(math.isfinite(one) for one in found)
    # By hand: log-probabilities of the pieces of each step, with the media and without.
    sums = []
    for blank in (False, True):
        ((_, writer, prompt),) = model._prompts([Asked(5, blank=blank)], lambda a: REASON)
        ids = torch.from_numpy(writer.begin(SAID)).unsqueeze(0)
        with torch.no_grad():
            logs = writer.decoder.taught(prompt, ids, torch.ones_like(ids, dtype=torch.bool))[0]
        first = len(writer.begin(steps(SAID)[0]))
        sums.append((logs[:first].mean().item(), logs[first:].mean().item()))
    wanted = [a - b for a, b in zip(*sums, strict=True)]
    assert found == pytest.approx(wanted, abs=1e-4)
    both = model.supports([Asked(5), Asked(6)], [SAID, "It is light."])
    assert both[0] == pytest.approx(found, abs=1e-4) and len(both[1]) == 1
    assert model.supports([Asked(0)], [""]) == [[]]
    # Without media to look at, media change nothing.
    assert model.supports([Asked(5, blank=True)], [SAID]) == [pytest.approx([0, 0], abs=1e-6)]


def test_blank_media_are_as_absent_ones(model, data):
    table = pd.read_csv(data["test"])[:10].drop(columns="rationale")
    gone = table.assign(picture=None, sensor=None)
    other = Local(_run(model), gone.to_dict("list"), question="question")
    blank = model.chains([replace(ask, blank=True) for ask in ASKED])
    assert [own[0] for own in blank] == [own[0] for own in other.chains(ASKED)]
    assert blank != model.chains(ASKED)


def _run(model: Local):
    return pm.load(Path(model.name.removeprefix("The run ")))


def test_another_question_is_read_in_the_rows_place(model):
    own = [model.table.cells("question")[0]] * 10
    asked = [Asked(0, question) for question in own]
    (thought,) = model.answers([Asked(0)])
    assert {t.answer for t in model.answers(asked)} == {thought.answer}
    table = model._asked([Asked(3, "Which way did it move?"), Asked(4)])
    assert table.cells("question") == ["Which way did it move?", model.prompts[4]]


def test_texts_end_with_what_ends_them(model):
    rule = Until(model.task.tokens, ("?",))
    tokens = model.task.tokens
    asks = tuple(tokens.numbers("Which way?")[:-1].tolist())
    assert rule.allowed(rule.start()).all()
    assert rule.allowed(asks).sum() == 1 and rule.allowed(asks)[tokens.end]
    assert rule.then((1, 2), 3) == (1, 2, 3)


def test_no_question_to_be_divided_is_an_error(fitted, data):
    with pytest.raises(UserError, match="reads no question in 'weight'"):
        Local(fitted, str(data["test"]), question="weight")
    model = Local(fitted, str(data["test"]))
    assert model.question == "question"
    model.question = None
    with pytest.raises(UserError, match="reads no question"):
        model.questions(ASKED)


def test_a_run_without_reasons_answers_directly_alone(data, recipe, tmp_path):
    task = {"name": "generate"}
    drop = {"drop": ["steps", "rationale"]}
    run = pm.fit(data["train"], recipe=recipe(task, data=drop), out=tmp_path / "run")
    model = Local(run, str(data["test"]))
    report = reason(model, ["direct"])
    assert report.rows == 48 and report.strategies["direct"]["tokens"] >= 1
    for call in (model.chains, model.questions):
        with pytest.raises(UserError, match="has learned no reasons"):
            call(ASKED)
    with pytest.raises(UserError, match="writes no reasons"):
        rationales(run, str(data["train"]))


def test_a_second_run_answers_from_what_the_first_has_written(fitted, data, tmp_path):
    columns = rationales(fitted, str(data["train"]), temperature=1.0, seed=5)
    gold = pd.read_csv(data["train"])
    assert columns["rationale"] != gold["rationale"].tolist()
    assert columns["answer"] == gold["answer"].tolist()
    assert all(Path(cell).is_file() for cell in columns["picture"])
    again = rationales(fitted, str(data["train"]), temperature=1.0, seed=5)
    assert again["rationale"] == columns["rationale"]
    # Were the reasons the answer, the second run would learn to say it.
    told = pd.DataFrame(columns).assign(rationale=gold["answer"])
    described = {
        "targets": {"answer": "classify"},
        "data": {
            "drop": ["steps", "picture", "sensor", "weight"],
            "kinds": {"rationale": "text", "question": "text"},
            "valid": 0.25,
        },
        "modalities": {"rationale": {}, "question": {}},
        "fusion": "sum",
        "width": 16,
        "training": {"epochs": 40, "batch_size": 32, "lr": 0.02, "precision": "fp32", "threads": 1},
    }
    second = pm.fit(told, recipe=Recipe.model_validate(described), out=tmp_path / "second")
    model = Local(fitted, str(data["test"]), question="question", second=second)
    found = model.second.answers([Asked(i, reason=own[0]) for i, own in enumerate(model.truths)])
    hits = np.mean([t.answer == own[0] for t, own in zip(found, model.truths, strict=True)])
    others = [Asked(i, reason=own[0]) for i, own in enumerate(reversed(model.truths))]
    said = model.second.answers(others)
    lost = [one.answer == own[0] for one, own in zip(said, model.truths, strict=True)]
    assert hits > 0.5 > 0.25 > np.mean(lost)
    report = reason(model, ["two_stage"])
    assert report.rows == 48
    with pytest.raises(UserError, match="does not read the rationale"):
        Local(fitted, str(data["test"]), second=fitted)
