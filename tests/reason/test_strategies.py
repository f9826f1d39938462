"""Each strategy asks what its name says, and answers as its rule has it."""

from __future__ import annotations

import math

import pytest

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.reason.model import Asked, Thought, steps
from polymodal.reason.strategies.self_consistency import voted
from polymodal.reason.strategies.verified import best

ROWS = [Asked(0), Asked(1)]


def built(name: str, **options):
    return lookup.build("reason/strategies", {"name": name, **options})


def test_there_are_six():
    assert lookup.names("reason/strategies") == [
        "chain",
        "decompose",
        "direct",
        "self_consistency",
        "two_stage",
        "verified",
    ]


def test_direct_asks_for_the_answer_alone(scripted):
    model = scripted(["a", "b"], says=lambda ask: "ab"[ask.row])
    assert [one.answer for one in built("direct").answers(model, ROWS)] == ["a", "b"]
    assert model.calls == [("answers", ROWS)]


def test_chain_asks_once_for_reasons_and_answer(scripted):
    model = scripted(["a", "b"], thinks=lambda ask, i: Thought(f"because {ask.row}.", "c"))
    found = built("chain").answers(model, ROWS)
    assert [(one.reason, one.answer) for one in found] == [("because 0.", "c"), ("because 1.", "c")]
    assert model.calls == [("chains", ROWS, 1, 0.0, 0)]


def test_two_stage_hands_the_reasons_and_not_the_answer_to_the_second_model(scripted):
    model = scripted(["a", "b"], thinks=lambda ask, i: Thought(f"it is {ask.row}.", "wrong"))
    model.second = scripted(["a", "b"], says=lambda ask: ask.reason[-2])
    found = built("two_stage").answers(model, ROWS)
    assert [one.answer for one in found] == ["0", "1"]
    assert [one.reason for one in found] == ["it is 0.", "it is 1."]
    assert model.calls == [("chains", ROWS, 1, 0.0, 0)]
    given = [Asked(0, reason="it is 0."), Asked(1, reason="it is 1.")]
    assert model.second.calls == [("answers", given)]


def test_two_stage_without_a_second_model_is_an_error(scripted):
    with pytest.raises(UserError, match="no second model"):
        built("two_stage").answers(scripted(["a"]), [Asked(0)])


def test_self_consistency_draws_as_told_and_takes_the_majority(scripted):
    said = ["red", "The blue.", "blue", "red", "Blue"]
    model = scripted(["a"], thinks=lambda ask, i: Thought("r.", said[i], float(-i)))
    way = built("self_consistency", samples=5, temperature=0.9, seed=4)
    (found,) = way.answers(model, [Asked(0)])
    assert model.calls == [("chains", [Asked(0)], 5, 0.9, 4)]
    # Three of five say blue, in three spellings; the likeliest of these was drawn first.
    assert found == Thought("r.", "The blue.", -1.0)


def test_votes_that_tie_go_to_the_likeliest_chain():
    chains = [Thought("", "a", -3.0), Thought("", "b", -1.0), Thought("", "a", -2.0)]
    assert voted([*chains, Thought("", "b", -4.0)]).log == -1.0
    assert voted(chains).log == -2.0
    # What has no answer has no vote, and likelihoods that are not known count least.
    assert voted([Thought("x", ""), Thought("y", ""), Thought("z", "c", -9.0)]).answer == "c"
    assert voted([Thought("", "a", math.nan), Thought("", "b", -50.0)]).answer == "b"
    assert voted([Thought("p", "a"), Thought("q", "b")]).answer == "a"
    assert voted([Thought("p", ""), Thought("q", "")]).reason == "p"


def test_decompose_answers_one_sub_question_after_another_and_then_all(scripted):
    plans = {0: ["Which way?", "What is there?"], 1: []}

    def asks(ask: Asked) -> str:
        done = ask.reason.count("?")
        return (plans[ask.row] + [""] * 3)[done]

    def says(ask: Asked) -> str:
        return {"Which way?": "left", "What is there?": "red."}.get(str(ask.question), "done")

    model = scripted(["a", "b"], asks=asks, says=says)
    found = built("decompose").answers(model, ROWS)
    assert [one.reason for one in found] == ["Which way? left. What is there? red.", ""]
    assert [one.answer for one in found] == ["done", "done"]
    names = [call[0] for call in model.calls]
    assert names == ["questions", "answers", "questions", "answers", "questions", "answers"]
    # A sub-question is asked without what is known, and the last question with all of it.
    assert model.calls[1][1] == [Asked(0, "Which way?")]
    assert model.calls[2][1] == [Asked(0, reason="Which way? left.")]
    assert model.calls[5][1] == [Asked(0, reason=found[0].reason), Asked(1)]


def test_decompose_stops_after_most_sub_questions_and_keeps_blank(scripted):
    model = scripted(["a"], asks=lambda ask: "And then?", says=lambda ask: "x")
    (found,) = built("decompose", most=2).answers(model, [Asked(0, blank=True)])
    assert found.reason == "And then? x. And then? x."
    assert sum(call[0] == "questions" for call in model.calls) == 2
    assert all(ask.blank for call in model.calls for ask in call[1])


def test_verified_takes_the_chain_whose_weakest_step_is_supported_best(scripted):
    chains = [
        Thought("a. b.", "one", -1.0),
        Thought("c. d.", "two", -5.0),
        Thought("a. b.", "one", -1.0),
        Thought("", "three", -0.1),
    ]
    holds = {"a. b.": (9.0, -2.0), "c. d.": (0.5, 0.1), "": ()}
    model = scripted(["x"], thinks=lambda a, i: chains[i], holds=lambda a, r: holds[r])
    (found,) = built("verified", samples=4, temperature=0.3, seed=2).answers(model, [Asked(0)])
    assert found.answer == "two"
    assert model.calls[0] == ("chains", [Asked(0)], 4, 0.3, 2)
    # Equal chains are scored once, each without anything known before.
    assert model.calls[1] == ("supports", [Asked(0)] * 3, ["a. b.", "c. d.", ""])


def test_equally_supported_chains_go_by_likelihood_and_empty_answers_come_last():
    ways = {"a.": 1.0, "b.": 1.0, "c.": 5.0}
    chains = [Thought("a.", "x", -2.0), Thought("b.", "y", -1.0), Thought("c.", "", -0.5)]
    assert best(chains, ways).answer == "y"


def test_steps_are_sentences_and_lines_and_a_question_goes_with_its_answer():
    assert steps("Which way? left. It is 2.5 m wide!\nSo red") == [
        "Which way? left.",
        "It is 2.5 m wide!",
        "So red",
    ]
    assert steps("  \n ") == []
