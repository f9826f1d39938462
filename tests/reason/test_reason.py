"""The table, its tests, its files: closed forms on a scripted model."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import binomtest

from polymodal.base.errors import UserError
from polymodal.metrics.statistics import holm, mcnemar
from polymodal.reason import faithfulness
from polymodal.reason.model import Asked, Thought, lacks
from polymodal.reason.reason import PARTS, reason
from polymodal.reason.report import Answered, compared, right

TRUTHS = ["red", "blue"] * 10


def guesses(ask: Asked) -> str:
    """Right in every second row."""
    return "red"


def thinks(ask: Asked, i: int) -> Thought:
    """Right in all but two rows."""
    return Thought("It is so. Look.", TRUTHS[ask.row] if ask.row > 1 else "green", -1.0)


def model_of(scripted, **more):
    return scripted(TRUTHS, says=guesses, thinks=thinks, **more)


def test_the_figures_are_those_of_the_rows(scripted):
    report = reason(model_of(scripted), ["direct", "chain"], faithful=False)
    direct, chain = report.strategies["direct"], report.strategies["chain"]
    assert direct["accuracy"]["value"] == 0.5 and chain["accuracy"]["value"] == 0.9
    assert chain["difference"]["value"] == pytest.approx(0.4)
    assert chain["difference"]["low"] > 0
    # Of the ten rows that direct gets wrong the chain loses row 1, and row 0 is lost to it.
    assert (chain["won"], chain["lost"]) == (9, 1)
    assert chain["p"] == pytest.approx(mcnemar(9, 1).mid_p)
    assert chain["p"] < binomtest(9, 10).pvalue
    assert (direct["tokens"], chain["tokens"]) == (1.0, 10.0)
    assert chain["seconds"] > 0 and "difference" not in direct
    assert "chain" in report.text() and "tokens" in report.text()


def test_p_values_are_corrected_for_the_number_of_strategies(scripted):
    strategies = ["direct", "chain", {"name": "self_consistency", "samples": 3}]
    report = reason(model_of(scripted), strategies, faithful=False)
    raw = mcnemar(9, 1).mid_p
    found = [report.strategies[name]["p"] for name in ("chain", "self_consistency")]
    assert found == pytest.approx(holm([raw, raw]))
    assert report.strategies["self_consistency"]["tokens"] == 30


def test_slices_are_the_rows_of_a_value_and_say_where_it_helps(scripted):
    level = [1, 3] * 10
    model = model_of(scripted, columns={"steps": level})
    report = reason(model, ["direct", "chain"], by="steps", faithful=False)
    assert {v: own["rows"] for v, own in report.by.items()} == {"1": 10, "3": 10}
    assert report.by["1"]["strategies"]["direct"]["accuracy"]["value"] == 1.0
    assert report.by["3"]["strategies"]["direct"]["accuracy"]["value"] == 0.0
    assert report.by["3"]["strategies"]["chain"]["accuracy"]["value"] == 0.9
    text = report.text()
    assert "chain than direct, by steps: no difference to be told at 1; better at 3" in text
    with pytest.raises(UserError, match="no column 'stepz'"):
        reason(model, ["direct"], by="stepz", faithful=False)


def test_answers_are_right_as_short_answers_are():
    told = [Thought("", "The Red."), Thought("", "2"), Thought("", ""), Thought("", "x")]
    assert right(told, [["red"], ["one", "two"], [""], ["y"]]).tolist() == [1, 1, 0, 0]


def test_without_direct_there_is_nothing_to_differ_from():
    found = compared({"chain": Answered([Thought("", "a")], 3, 1.0)}, [["a"]])
    assert "difference" not in found["chain"] and found["chain"]["accuracy"]["value"] == 1


def test_what_was_answered_is_written_and_kept_until_all_is_done(scripted, tmp_path: Path):
    model = model_of(scripted)
    out = tmp_path / "out"

    class Broken(type(model)):
        def chains(self, *asked, **how):
            raise UserError("it broke")

    broken = Broken(TRUTHS, says=guesses)
    with pytest.raises(UserError, match="it broke"):
        reason(broken, ["direct", "chain"], out)
    assert [path.name for path in (out / PARTS).iterdir()] == ["direct.json"]
    assert not (out / "reason.json").exists()
    report = reason(model, ["direct", "chain"], out, faithful=False)
    # The direct answers are those of the first try: they are not asked for again.
    assert [call[0] for call in model.calls] == ["chains"] * 7
    written = json.loads((out / "reason.json").read_text())
    assert written["strategies"]["chain"] == report.strategies["chain"]
    found = pd.read_csv(out / "answers.csv")
    assert list(found) == ["row", "truth", "direct", "chain", "chain.rationale"]
    assert found["direct"].tolist() == ["red"] * 20
    assert not (out / PARTS).exists()


def test_another_model_or_other_options_are_asked_anew(scripted, tmp_path: Path):
    first = model_of(scripted)
    way = {"name": "self_consistency", "samples": 2}
    folder = tmp_path / "out"
    with pytest.raises(ZeroDivisionError):
        reason(first, [way, "chain"], folder, tell=lambda what, *_: 1 / (what != "chain"))
    for model, strategy, again in (
        (model_of(scripted), way, False),
        (model_of(scripted), {**way, "samples": 3}, True),
    ):
        with pytest.raises(ZeroDivisionError):
            reason(model, [strategy, "chain"], folder, tell=lambda what, *_: 1 / (what != "chain"))
        drawn = [call for call in model.calls if call[0] == "chains" and call[2] > 1]
        assert bool(drawn) == again
    other = model_of(scripted)
    other.key = "another"
    with pytest.raises(ZeroDivisionError):
        reason(
            other, [{**way, "samples": 3}, "chain"], folder, tell=lambda w, *_: 1 / (w != "chain")
        )
    assert any(call[2] == 3 for call in other.calls if call[0] == "chains")


def test_a_strategy_that_the_model_cannot_do_is_left_out_and_the_others_are_done(scripted):
    model = model_of(scripted)

    def asks(ask: Asked) -> str:
        raise lacks(model, "asks nothing", "fit it on questions")

    model.asks = asks
    report = reason(model, ["direct", "decompose"])
    assert list(report.strategies) == ["direct"]
    why = "decompose is left out: scripted asks nothing; fit it on questions"
    assert why in report.text() and list(report.to_json()["left_out"]) == ["decompose"]
    with pytest.raises(UserError, match="scripted asks nothing"):
        reason(model, ["decompose"])


def test_files_of_others_are_not_replaced(scripted, tmp_path: Path):
    (tmp_path / "answers.csv").write_text("mine")
    with pytest.raises(UserError, match="would be replaced"):
        reason(model_of(scripted), ["direct"], tmp_path)
    assert (tmp_path / "answers.csv").read_text() == "mine"


def test_rows_without_a_right_answer_are_not_asked(scripted):
    model = scripted(["a", "", "a"], says=lambda ask: "a")
    report = reason(model, ["direct"])
    assert report.rows == 2 and [ask.row for ask in model.calls[0][1]] == [0, 2]
    with pytest.raises(UserError, match="No row has a right answer"):
        reason(scripted(["", ""]), ["direct"])


@pytest.mark.parametrize(
    ("given", "says"), [(["direct", "direct"], "twice"), ([], "No strategy"), (["chian"], "chain")]
)
def test_strategies_are_known_and_named_once(scripted, given, says):
    with pytest.raises(UserError, match=says):
        reason(model_of(scripted), given)


# -- faithfulness --------------------------------------------------------------------------------

COLOURS = ("red", "blue", "green")
SEEN = [COLOURS[i % 3] for i in range(30)]


def honest(ask: Asked) -> str:
    """Answers as the last step says; without steps it guesses."""
    return ask.reason.split()[-1].rstrip(".") if ask.reason.count(".") > 1 else "red"


def looks(ask: Asked, i: int = 0) -> Thought:
    colour = "red" if ask.blank else SEEN[ask.row]
    return Thought(f"I look. The thing is {colour}.", colour, -1.0)


def pretends(ask: Asked, i: int = 0) -> Thought:
    """Knows the answer from elsewhere, and says something."""
    return Thought(f"I look. The thing is {SEEN[ask.row]}.", SEEN[ask.row], -1.0)


def test_every_test_separates_a_model_that_reasons_from_one_that_pretends(scripted):
    good = reason(scripted(SEEN, thinks=looks, says=honest), ["chain"]).faithfulness
    bad = scripted(SEEN, thinks=pretends, says=lambda ask: SEEN[ask.row])
    other = reason(bad, ["chain"]).faithfulness
    assert good["constant"]["accuracy"]["value"] <= 1 / 3
    for test in faithfulness.TESTS:
        assert good[test]["rows"] == 30
        assert good[test]["difference"]["high"] < 0, test
        assert good[test]["changed"] > 0.5
        assert other[test]["difference"]["value"] == 0 and other[test]["changed"] == 0, test
    assert good["blank"]["accuracy"]["value"] == pytest.approx(1 / 3)
    for test in ("swap", "corrupt"):
        assert good[test]["followed"]["value"] == 1.0
        assert other[test]["followed"]["value"] == 0.0
    assert "followed" not in good["cut"]


def test_what_is_asked_in_each_test():
    chains = [looks(Asked(i)) for i in range(6)]
    prompts = ["q"] * 6
    blank = faithfulness.spoilt("blank", chains, prompts)
    assert blank.asked == [Asked(i, blank=True) for i in range(6)]
    cut = faithfulness.spoilt("cut", chains, prompts)
    assert cut.asked == [Asked(i, reason="I look.") for i in range(6)]
    swap = faithfulness.spoilt("swap", chains, prompts)
    for ask, expected in zip(swap.asked, swap.expects, strict=True):
        assert expected != SEEN[ask.row] and ask.reason.endswith(f"{expected}.")
    corrupt = faithfulness.spoilt("corrupt", chains, prompts)
    for ask, expected in zip(corrupt.asked, corrupt.expects, strict=True):
        assert ask.reason == f"I look. The thing is {expected}." and expected != SEEN[ask.row]


def test_a_word_is_lent_by_rows_that_ask_the_same_and_differ_by_it_alone():
    chains = [
        Thought("The thing is red.", "red"),
        Thought("The thing is blue.", "blue"),
        Thought("That thing was blue.", "blue"),
    ]
    assert faithfulness.spoilt("corrupt", chains, ["q", "p", "q"]).asked == []
    asked = faithfulness.spoilt("corrupt", chains, ["q", "q", "q"]).asked
    assert [(a.row, a.reason) for a in asked] == [
        (0, "The thing is blue."),
        (1, "The thing is red."),
    ]


def test_chains_of_one_step_are_not_cut_and_those_without_are_not_tested():
    chains = [Thought("One step.", "a"), Thought("", "b"), Thought("A. B. C.", "c")]
    assert faithfulness.spoilt("cut", chains, [""] * 3).asked == [Asked(2, reason="A.")]
    assert {a.row for a in faithfulness.spoilt("swap", chains, [""] * 3).asked} == {0, 2}


def test_the_constant_is_the_commonest_answer_of_other_rows_that_ask_the_same():
    truths = [["a"], ["a"], ["b"], ["c"], [], ["c"]]
    prompts = ["q", "q", "q", "p", "q", "r"]
    # The rows of "p" and "r" ask alone: all other rows are asked.
    assert faithfulness.constant(truths, prompts) == ["a", "a", "a", "a", "a", "a"]
    assert faithfulness.constant([["x"], ["y"]], ["q", "q"]) == ["y", "x"]
