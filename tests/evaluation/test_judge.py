"""Against which rival a fused model is judged, and that the words say what the figures mean."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import polymodal as pm
from polymodal.evaluation import judge
from polymodal.metrics.doubts import Attempt, Doubt
from polymodal.report import sentences
from polymodal.report.words import Plain
from polymodal.tasks.classify import Classify
from polymodal.tasks.regress import Regress

ROWS = 400


def board(metric: str = "accuracy", greater: bool = True, **values: float) -> Any:
    """A run of which only the leaderboard is asked; `constant` is no modality."""
    lines = [
        {
            "name": name,
            "role": "constant" if name == "constant" else "rival",
            "target": "y",
            "metric": metric,
            "greater_is_better": greater,
            "value": value,
        }
        for name, value in values.items()
    ]
    return SimpleNamespace(leaderboard=lines)


@pytest.mark.parametrize(
    ("values", "greater", "best", "against"),
    [
        ({"photo": 0.7, "note": 0.6, "constant": 0.65}, True, "photo", "single"),
        ({"photo": 0.7, "note": 0.6, "constant": 0.75}, True, "photo", "constant"),
        ({"photo": 0.7, "note": 0.6, "constant": 0.65}, False, "note", "single"),
        ({"photo": 0.7, "note": 0.6, "constant": 0.55}, False, "note", "constant"),
        ({"photo": 0.7, "note": 0.6, "constant": 0.7}, True, "photo", "single"),
        ({"photo": 0.7, "constant": float("nan")}, True, "photo", "single"),
        ({"photo": 0.7}, True, "photo", "single"),
    ],
)
def test_validation_chooses_the_rival(
    values: dict[str, float], greater: bool, best: str, against: str
) -> None:
    run = board(greater=greater, **values)
    assert judge.best_single(run, "y") == best
    assert judge.hardest(run, "y") == against


def judged(
    against: judge.Against = "single",
    majority: float = 0.8,
    rows: int = ROWS,
    given: dict[str, Any] | None = None,
    **right: float,
) -> dict[str, Any]:
    """The verdict where each model is right in a share of the rows; "no" is true in `majority`."""
    task = Classify("y")
    task.fit(["no"] * 8 + ["yes"] * 2)
    truth = np.arange(rows) >= majority * rows
    # Each errs in the last rows of a fixed random order: the better one's errors are the other's.
    place = np.random.default_rng(0).permutation(rows)

    def scores(share: float) -> list[np.ndarray]:
        return list(np.eye(2)[np.where(place < share * rows, truth, ~truth).astype(int)])

    aside = ("fused", "evenly")
    singles = {name: scores(share) for name, share in right.items() if name not in aside}
    given = dict(given or {})
    given |= {"evenly": scores(right["evenly"])} if "evenly" in right else {}
    targets = task.encode(["yes" if yes else "no" for yes in truth])
    fused = scores(right["fused"])
    found = judge.verdict(task, fused, singles, "photo", against, targets, None, **given)
    cost = {"fused": {"latency_ms": 3.0}, "single": {"latency_ms": 2.0}}
    return {**found, "cost": cost}


def test_a_constant_that_beats_the_single_modality_is_said() -> None:
    """The case of a table in which one answer is right in most rows."""
    found = judged(fused=0.83, photo=0.72)
    assert (found["answer"], found["against"], found["best_single"]) == ("pays", "single", "photo")
    assert found["gain"] == pytest.approx(0.11) and found["single"] == pytest.approx(0.72)
    constant = found["constant"]
    assert constant["value"] == pytest.approx(0.8)
    assert constant["low"] < 0.8 < constant["high"]
    gain = constant["gain"]
    assert gain["value"] == pytest.approx(0.03) and gain["low"] < 0 < gain["high"]
    assert found["stronger"] == {"against": "constant", "name": "constant", "value": 0.8}
    text = sentences.text(found)
    assert "On these rows always the same answer scores better than that rival" in text
    assert "The fused model is not shown to be better than always the same answer (0.8000)" in text
    assert "times as long" not in text  # of one timing, without an interval


def test_the_constant_is_what_is_compared_with_where_it_validated_best() -> None:
    found = judged("constant", fused=0.83, photo=0.72)
    assert (found["against"], found["best_single"]) == ("constant", "photo")
    assert found["gain"] == pytest.approx(0.03) == pytest.approx(found["constant"]["gain"]["value"])
    assert found["low"] == found["constant"]["gain"]["low"] and found["answer"] == "undecided"
    assert found["single"] == pytest.approx(0.72) and found["stronger"] is None
    text = sentences.text(found)
    assert "against 0.8000 of always the same answer, which validated better than" in text
    assert "photo" in text and "not shown" not in text


def test_another_rival_that_is_better_on_the_rows_is_said_and_not_compared_with() -> None:
    found = judged(fused=0.95, photo=0.85, note=0.9)
    assert found["gain"] == pytest.approx(0.1) and found["best_single"] == "photo"
    assert found["stronger"] == {
        "against": "single",
        "name": "note",
        "value": pytest.approx(0.9),
    }
    text = sentences.text(found)
    assert "On these rows note scores better than that rival, which validation chose: 0.9" in text
    assert "not shown" not in text
    assert judged(fused=0.95, photo=0.9, note=0.9)["stronger"] is None


def test_a_gain_below_the_least_is_said_in_the_first_words() -> None:
    little = judged(fused=0.908, photo=0.9, rows=4000)
    assert little["low"] > 0 and little["high"] < little["least"] == 0.02
    assert sentences.text(little).startswith("Fusion pays, but by less than 0.0200: accuracy 0.908")
    assert "smallest gain worth having" in sentences.text(little)
    assert sentences.text(judged(fused=0.95, photo=0.85)).startswith("Fusion pays: accuracy 0.95")


def test_a_modality_without_a_model_of_its_own_leaves_a_gain_undecided() -> None:
    lacking = {"doubted": [Doubt("rival", "none", "cough"), Doubt("rival", "none", "note")]}
    found = judged(fused=0.95, photo=0.85, given=lacking)
    assert (found["answer"], found["by_rows"]) == ("undecided", "pays")
    text = sentences.text(found)
    assert text.startswith("Whether fusion pays is undecided, because cough has no such model")
    assert "note has no model of its own like the fusion's" in text
    assert "would decide" not in text and "budget" not in text
    worse = judged(fused=0.7, photo=0.85, given=lacking)
    assert sentences.text(worse).startswith("Fusion does not pay: ")


@pytest.mark.parametrize(
    ("doubt", "fused", "says"),
    [
        (
            Doubt("rival", "cut", "photo", 66, 66, 2400),
            0.95,
            [
                "undecided, because the rival photo was cut short: accuracy 0.95",
                "The rival photo ran out of time at step 66 of 2,400 (its best was step 66)",
                "A longer budget would tell.",
            ],
        ),
        (
            Doubt("rival", "skipped", "photo", reason="the budget is spent"),
            0.95,
            ["because the rival photo was not trained", "not trained: the budget is spent."],
        ),
        (
            Doubt("rival", "shorter", "photo", 30, 30, 267),
            0.95,
            ["made fewer steps", "The rival photo made 30 steps and the fusion 267"],
        ),
        (
            Doubt("joint", "cut", "both", 40, 40, 2400),
            0.7,
            ["because the fusion both was cut short", "The fusion both ran out of time"],
        ),
        (
            Doubt("joint", "skipped", "both", reason="the budget is spent"),
            0.7,
            ["because the fusion both was not trained"],
        ),
    ],
)
def test_an_answer_that_time_gave_is_none(doubt: Doubt, fused: float, says: list[str]) -> None:
    found = judged(fused=fused, photo=0.85, given={"doubted": [doubt]})
    text = sentences.text(found)
    assert found["answer"] == "undecided" and found["rows_needed"] is None
    assert all(words in text for words in says), text


def test_a_doubt_about_the_other_side_leaves_the_answer() -> None:
    joint = {"doubted": [Doubt("joint", "cut", "both", 40, 40, 2400)]}
    assert judged(fused=0.95, photo=0.85, given=joint)["answer"] == "pays"
    rival = {"doubted": [Doubt("rival", "cut", "photo", 40, 40, 2400)]}
    assert judged(fused=0.7, photo=0.85, given=rival)["answer"] == "does not pay"


def test_a_gain_of_more_tries_than_the_rival_had_is_not_proven() -> None:
    found = judged(fused=0.95, evenly=0.86, photo=0.85)
    assert found["answer"] == "undecided" and found["by_rows"] == "pays"
    assert found["evenly"]["value"] == pytest.approx(0.01)
    text = sentences.text(found)
    assert "because the gain may come of more tries" in text and "the gain is +0.0100" in text
    assert judged(fused=0.95, evenly=0.94, photo=0.85)["answer"] == "pays"


def test_many_doubts_are_counted() -> None:
    many = {"doubted": [Doubt("rival", "none", f"m{i}") for i in range(9)]}
    assert "6 more models are like these." in sentences.text(
        judged(fused=0.95, photo=0.85, given=many)
    )


UNFUSED = {"reads": "photo", "value": 0.9, "joint": "both", "joint_value": 0.8, "skipped": ""}


@pytest.mark.parametrize(
    ("unfused", "says"),
    [
        (UNFUSED, "preferred by its loss (accuracy 0.9000) to every model of several modalities"),
        (
            UNFUSED | {"joint": None, "skipped": "the budget is spent"},
            "because no model of several modalities was trained: the budget is spent.",
        ),
        (UNFUSED | {"joint": None}, "because the recipe has no model of several modalities."),
    ],
)
def test_nothing_fused_is_the_headline(unfused: dict[str, Any], says: str) -> None:
    found = judged(fused=0.86, photo=0.855, rows=200, given={"unfused": unfused})
    assert found["answer"] == "nothing fused" and found["rows_needed"] is None
    text = sentences.text(found)
    assert text.startswith("Nothing was fused: the model reads photo alone, ") and says in text
    assert "would decide" not in text and "times as long" not in text


def trained(weights: dict[str, float], attempts: list[Attempt], **values: float) -> Any:
    """A run of members called by what they read, and the values of their lines."""
    lines = [{"name": "fused", "role": "fused", "target": "y", "value": 0.9}]
    lines += [{"name": n, "role": "member", "target": "y", "value": v} for n, v in values.items()]
    specs = {n: SimpleNamespace(spec=SimpleNamespace(modalities=n.split("+"))) for n in weights}
    return SimpleNamespace(
        weights={"fused": {"y": weights}},
        members=specs,
        leaderboard=lines,
        attempts=[asdict(one) for one in attempts],
        schema=SimpleNamespace(modalities=lambda: {"a": None, "b": None}),
    )


BOTH, LOST = Attempt("a+b", ("a", "b")), Attempt("a+b", ("a", "b"), skipped="too late")


def test_a_model_of_one_modality_fuses_nothing() -> None:
    found = judge.unfused(trained({"a": 1.0}, [BOTH], **{"a": 0.9, "a+b": 0.8}), "y")
    assert found is not None and (found["reads"], found["joint"]) == ("a", "a+b")
    found = judge.unfused(trained({"a": 1.0}, [LOST], a=0.9), "y")
    assert found is not None and (found["joint"], found["skipped"]) == (None, "too late")
    assert judge.unfused(trained({"a": 0.5, "b": 0.5}, [BOTH]), "y") is None
    assert judge.unfused(trained({"a+b": 1.0}, [BOTH]), "y") is None


@pytest.mark.parametrize(
    ("attempts", "why", "says"),
    [
        ([BOTH], "no rivals", "`rivals: true`"),
        ([BOTH, Attempt("a", ("a",), skipped="too late")], "skipped", "trained: a (too late)"),
        ([BOTH, Attempt("a", ("a",))], "not validated", "not defined on the validation rows"),
    ],
)
def test_a_missing_verdict_has_a_reason(attempts: list[Attempt], why: str, says: str) -> None:
    found = judge.missing(trained({"a+b": 1.0}, attempts))
    assert found["why"] == why
    text = sentences.missing(Plain(found))
    assert text.startswith("There is no verdict: ") and says in text


def test_one_modality_has_no_verdict() -> None:
    run = trained({"a": 1.0}, [Attempt("a", ("a",))])
    run.schema = SimpleNamespace(modalities=lambda: {"a": None})
    assert "one modality" in sentences.missing(Plain(judge.missing(run)))


def test_groups_and_the_least_possible_p_are_said() -> None:
    task = Regress("y")
    task.fit([0.0, 1.0])
    targets = task.encode([0.0] * 200)
    far, near = list(np.full((200, 1), 2.0)), list(np.full((200, 1), 0.1))
    codes = np.arange(200) // 4
    found = judge.verdict(task, near, {"a": far}, "a", "single", targets, codes)
    cost = {"fused": {"latency_ms": 3.0}, "single": {"latency_ms": 2.0}}
    text = sentences.text({**found, "cost": cost})
    assert "p ≤ 0.0005 (approximate randomisation) on 200 rows in 50 groups." in text


def test_rows_are_asked_for_only_where_undecided() -> None:
    undecided = judged(fused=0.86, photo=0.855, rows=200)
    assert undecided["answer"] == "undecided"
    assert f"About {undecided['rows_needed']:,} rows would decide" in sentences.text(undecided)
    assert "would decide" not in sentences.text(judged(fused=0.95, photo=0.85))


def test_models_that_never_differ_have_no_interval_to_show() -> None:
    assert "gain +0.0000, p = 1.0000" in sentences.text(judged(fused=0.85, photo=0.85))


def test_of_errors_less_is_better() -> None:
    task = Regress("y")
    rng = np.random.default_rng(0)
    cells = rng.normal(100, 10, ROWS).tolist()
    task.fit(cells)
    targets = task.encode(cells)

    def scores(noise: float) -> list[np.ndarray]:
        return list((np.array(cells) + noise * rng.normal(size=ROWS))[:, None])

    singles = {"photo": scores(12), "note": scores(8)}
    found = judge.verdict(task, scores(5), singles, "photo", "single", targets, None)
    assert found["constant"]["value"] == pytest.approx(np.std(cells))  # the mean, always
    assert found["constant"]["gain"]["low"] > 0
    assert found["stronger"]["name"] == "note"
    worse = judge.verdict(task, scores(11), singles, "photo", "constant", targets, None)
    assert worse["gain"] == pytest.approx(worse["constant"]["gain"]["value"]) and worse["gain"] < 0
    assert worse["least"] == pytest.approx(0.02 * worse["constant"]["value"])


@pytest.mark.parametrize(
    ("members", "says", "not_says"),
    [
        ({"net": ["a", "b"]}, "is net alone.", "reads"),
        ({"net": ["a"]}, "is net alone. It reads one modality, a: nothing is fused.", "mean"),
        ({"x": ["a"], "y": ["a"]}, "0.5000 x, 0.5000 y. It reads one modality, a", "only their"),
        ({"x": ["a"], "y": ["b"]}, "only their answers are averaged", "nothing is fused"),
        ({"x": ["a"], "y": ["a", "b"]}, "weighted mean of 0.5000 x, 0.5000 y.", "reads"),
    ],
)
def test_what_fused_is_made_of(members: dict[str, list[str]], says: str, not_says: str) -> None:
    share = 1 / len(members)
    found = {name: {"share": share, "modalities": own} for name, own in members.items()}
    text = sentences.made_of(Plain(found))
    assert says in text and not_says not in text


def test_the_composition_is_that_of_the_target() -> None:
    spec = SimpleNamespace(spec=SimpleNamespace(modalities={"a": None, "b": None}))
    run: Any = SimpleNamespace(members={"m": spec}, weights={"fused": {"y": {"m": 1.0}, "z": {}}})
    assert pm.Run.composition(run, "y") == {"m": {"share": 1.0, "modalities": ["a", "b"]}}
