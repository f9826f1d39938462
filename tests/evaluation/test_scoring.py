"""Predictions from anywhere: files in, figures and intervals out, one message for a mistake."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

import polymodal as pm
from polymodal.cli import main as cli
from polymodal.evaluation.families import FEWEST_MOST, families
from polymodal.evaluation.scoring import score
from polymodal.tasks.classify import UNLIKELY

ANSWERS = {
    "image": ["i1", "i1", "i2", "i2", "i3", "i3"],
    "good": ["Yes.", "two", "a red bus", "no", "cat", ""],
    "bad": ["no", "2", "blue", "no", "dog", "left"],
    "answers": [
        ["yes"] * 10,
        ["2"] * 3 + ["3"] * 7,
        ["red bus"] * 2 + ["bus"] * 8,
        ["no"] * 10,
        ["cat"] * 10,
        ["right"] * 10,
    ],
}
VQA = ["--metric", "vqa", "--prediction", "good", "--reference", "answers"]


def polymodal(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["polymodal", *words])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def as_csv(path: Path) -> None:
    table = {**ANSWERS, "answers": [json.dumps(cell) for cell in ANSWERS["answers"]]}
    pd.DataFrame(table).to_csv(path, index=False)


def test_vqa_from_a_file_to_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    as_csv(Path("a.csv"))
    words = ["score", "a.csv", *VQA, "--prediction", "bad", "--group", "image", "--out", "found"]
    assert polymodal(monkeypatch, *words) == 0
    shown = capsys.readouterr().out
    found = json.loads(Path("found/metrics.json").read_text())
    good, bad = (found["predictions"][name]["vqa_accuracy"] for name in ("good", "bad"))
    assert good["value"] == pytest.approx((1 + 0.9 + 0.6 + 1 + 1 + 0) / 6)
    assert bad["value"] == pytest.approx((0 + 0.9 + 0 + 1 + 0 + 0) / 6)
    apart = found["difference"]["vqa_accuracy"]
    assert apart["value"] == pytest.approx(good["value"] - bad["value"])
    assert apart["low"] <= apart["value"] <= apart["high"] and 0 < apart["p"] <= apart["p_holm"]
    assert found["groups"] == 3 and found["ledger"]["no prediction"] == {"good": 1, "bad": 0}
    assert "6 rows in 3 groups" in shown and "1 rows without a prediction in 'good'" in shown
    assert f"{good['value']:.4f}" in shown and f"{apart['value']:+.4f}" in shown


def test_groups_widen_the_interval():
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(40) < 0.5, 10)
    table = {
        "prediction": np.where(right, "a", "b").tolist(),
        "reference": ["a"] * 200 + ["b"] * 200,
        "speaker": np.repeat(np.arange(40), 10).tolist(),
    }
    table["prediction"][200:] = np.where(right[200:], "b", "a").tolist()
    plain, grouped = (
        score(table, "classify", group=group).predictions["prediction"]["accuracy"]
        for group in (None, "speaker")
    )
    assert plain["value"] == grouped["value"] == right.mean()
    assert grouped["high"] - grouped["low"] > 2 * (plain["high"] - plain["low"])


def test_classes_equal_scikit_learn_and_an_empty_answer_is_wrong():
    gold, guess = list("aabbccab"), list("abbbcaac")
    found = score({"prediction": [*guess, None], "reference": [*gold, "a"]}, "classify")
    numbers = found.predictions["prediction"]
    assert set(numbers) == {"accuracy", "macro_f1", "weighted_f1", "balanced_accuracy"}
    gold, guess = [*gold, "a"], [*guess, "-"]
    labels = list("abc")
    assert numbers["accuracy"]["value"] == pytest.approx(sk.accuracy_score(gold, guess))
    for name, average in (("macro_f1", "macro"), ("weighted_f1", "weighted")):
        wanted = sk.f1_score(gold, guess, average=average, labels=labels)
        assert numbers[name]["value"] == pytest.approx(wanted)
    wanted = sk.recall_score(gold, guess, average="macro", labels=labels)
    assert numbers["balanced_accuracy"]["value"] == pytest.approx(wanted)


def test_probabilities_beside_the_labels_are_measured_too():
    table = {
        "reference": ["no", "yes", "yes", "no"],
        "prediction": ["no", "yes", "no", "no"],
        "prediction=no": [0.9, 0.2, 0.6, 0.7],
        "prediction=yes": [0.1, 0.8, 0.4, 0.3],
        "other": ["no", "no", "no", "no"],
    }
    found = score(table, "classify", prediction=["prediction", "other"])
    numbers = found.predictions["prediction"]
    assert numbers["roc_auc"]["value"] == 1 and numbers["accuracy"]["value"] == 0.75
    assert numbers["log_loss"]["value"] == pytest.approx(-np.log([0.9, 0.8, 0.4, 0.7]).mean())
    # Only what both have is compared.
    assert "roc_auc" not in found.difference and "accuracy" in found.difference


@pytest.mark.parametrize(
    ("metric", "references", "one", "other"),
    [
        ("classify", list("aabb"), list("abbb"), list("abcc")),
        ("multilabel", ["a", "a;b", "b"], ["a", "b", "b"], ["a;c", "d", "b"]),
        ("tag", [["O", "O"]] * 2, [["O", "O"], ["O", "x"]], [["B-X", "O"]] * 2),
    ],
)
def test_a_systems_figures_do_not_depend_on_the_other(metric, references, one, other):
    table = {"reference": references, "one": one, "other": other}
    if metric == "classify":
        table |= {"one=a": [0.9, 0.4, 0.3, 0.6], "one=b": [0.1, 0.6, 0.7, 0.4]}
        table |= {"other=a": [0.9, 0.4, 0, 0], "other=b": [0.1, 0.6, 0, 0]}
        table["other=c"] = [0, 0, 1, 1]
    both = score(table, metric, prediction=["one", "other"])
    for name in ("one", "other"):
        alone = score(table, metric, prediction=name)
        assert both.predictions[name] == alone.predictions[name]
        assert both.conditions["classes"][name] == alone.conditions["classes"][name]
    for name, found in both.difference.items():
        first, second = (both.predictions[system][name]["value"] for system in ("one", "other"))
        assert found["value"] == pytest.approx(first - second)


def test_probabilities_are_found_however_their_class_is_spelled():
    shares = ([0.9, 0.2, 0.4], [0.1, 0.8, 0.6])
    labels = {"reference": [True, False, True], "prediction": [True, False, True]}
    plain, spelled = (
        score(
            labels
            | {f"prediction={name}": cells for name, cells in zip(names, shares, strict=True)},
            "classify",
        )
        for names in (("true", "false"), ("True", "False"))
    )
    assert plain.predictions == spelled.predictions
    # The third row is called true, which is the less likely.
    assert spelled.conditions[UNLIKELY] == {"prediction": pytest.approx(1 / 3)}
    assert "not the likeliest class" in spelled.text()
    wanted = -np.log([0.9, 0.8, 0.4]).mean()
    assert spelled.predictions["prediction"]["log_loss"]["value"] == pytest.approx(wanted)
    numbers = {"reference": [1, 0, 1], "prediction": [1, 0, 1]}
    numbers |= {"prediction=1.0": shares[0], "prediction=0.0": shares[1]}
    found = score(numbers, "classify").predictions["prediction"]["log_loss"]["value"]
    assert found == pytest.approx(wanted)


def test_answers_in_free_text_and_the_rate_of_failures():
    table = {
        "prediction": ["The answer is (B).", "Answer: c", "(A) or (B)?", "no idea", None, "A"],
        "reference": ["b", "C", "A", "D", "A", "A"],
    }
    numbers = score(table, "classify", extract="choice").predictions["prediction"]
    # (B) is class b; "c" is no letter of a choice.
    assert numbers["accuracy"]["value"] == pytest.approx(2 / 6)
    assert numbers["extraction_failure_rate"]["value"] == pytest.approx(4 / 6)
    assert not numbers["extraction_failure_rate"]["greater_is_better"]


def test_captions_with_references_in_columns_and_lists():
    from sacrebleu.metrics import BLEU

    guesses = ["a man rides a horse", "two dogs play in the snow", "a red bus on a street"]
    one = ["a man is riding a horse", "two dogs in the snow", "a bus on the street"]
    two = ["someone rides a horse", "dogs play in the snow", "a red bus"]
    columns = score(
        {"p": guesses, "one": one, "two": two}, "captions", prediction="p", reference=["one", "two"]
    )
    listed = score(
        {"p": guesses, "r": [list(pair) for pair in zip(one, two, strict=True)]},
        "captions",
        prediction="p",
        reference="r",
    )
    assert columns.predictions == listed.predictions
    wanted = BLEU().corpus_score(guesses, [one, two]).score
    assert columns.predictions["p"]["bleu"]["value"] == pytest.approx(wanted)
    assert columns.conditions[FEWEST_MOST] == [2, 2] and columns.conditions["sacrebleu"]


def test_retrieval_says_what_it_was_measured_on():
    table = {
        "ranked": [["b", "a", "c"], ["b", "c", "a"], ["a", "b"], None],
        "right": [["a"], ["b", "a"], ["c"], ["d"]],
    }
    found = score(table, "retrieval", prediction="ranked", reference="right")
    numbers = {name: one["value"] for name, one in found.predictions["ranked"].items()}
    # Gallery a to d; lists end at rank 3, so nothing is known of ranks 5 and 10.
    assert numbers == pytest.approx(
        {
            "recall_at_1": 1 / 4,
            "mrr": (1 / 2 + 1) / 4,
            "map": (1 / 2 + (1 + 2 / 3) / 2) / 4,
        }
    )
    conditions = found.conditions["ranked"]
    assert (conditions["gallery"], conditions["depth"]) == (4, 3)
    assert "row to 'ranked'" in found.text() and "in the order of the lists" in found.text()


@pytest.mark.parametrize(
    "right",
    [["a", "a;b", "[]"], [["a"], ["b", "a", "a"], []], ['["a"]', '["a", "b"]', None]],
    ids=["separated", "lists", "json"],
)
def test_right_items_are_written_as_rankings_are(right):
    table = {"ranked": ["a,b,c", "c,a,b", "b,a,c"], "right": right}
    found = score(table, "retrieval", prediction="ranked", reference="right")
    assert found.ledger["no reference"] == 1
    assert found.predictions["ranked"]["map"]["value"] == pytest.approx(
        (1 + (1 / 2 + 2 / 3) / 2) / 2
    )
    columns = {"ranked": ["a,b", "b,a"], "one": ["a", "a"], "two": ["b", None]}
    found = score(columns, "retrieval", prediction="ranked", reference=["one", "two"])
    assert found.predictions["ranked"]["map"]["value"] == pytest.approx((1 + 1 / 2) / 2)


def test_a_separator_at_the_end_names_no_item():
    table = {"ranked": ["a;b;", "b;a"], "right": ["a;b;", "a;b"]}
    found = score(table, "retrieval", prediction="ranked", reference="right")
    assert found.predictions["ranked"]["map"]["value"] == 1
    assert found.conditions["ranked"]["gallery"] == 2


def test_small_figures_are_not_rounded_away():
    table = {"prediction": [1.00001, 2.0, 3.0], "reference": [1.0, 2.0, 3.00002]}
    assert "1.3e-05" in score(table, "regress").text()


def test_numbers_sets_and_tags():
    table = {"prediction": ["1.5", "2", "4"], "reference": [1, 2, 3]}
    numbers = score(table, "regress").predictions["prediction"]
    assert numbers["mae"]["value"] == pytest.approx(0.5)
    table = {"prediction": ["a;b", "a", None], "reference": [["b", "a"], ["a", "b"], ["c"]]}
    numbers = score(table, "multilabel").predictions["prediction"]
    assert numbers["micro_f1"]["value"] == pytest.approx(2 * 3 / (3 + 5))
    assert "roc_auc" not in numbers
    table = {
        "prediction": [["I-X", "I-X"], ["B-X", "O", "O"], None],
        "reference": [["B-X", "I-X"], ["B-X", "O"], ["O", "O"]],
    }
    found = score(table, "tag")
    numbers = {name: one["value"] for name, one in found.predictions["prediction"].items()}
    assert numbers["token_accuracy"] == pytest.approx(3 / 6)
    assert (numbers["entity_precision"], numbers["entity_recall"]) == (1, 0.5)
    assert found.conditions["rows of another length"] == {"prediction": 2}


BOXES = '[[1, 1, 9, 9, "a"], [30, 30, 5, 5, "b"]]'


@pytest.mark.parametrize("metric", families())
def test_a_system_does_not_differ_from_itself(metric):
    prediction, reference = {
        "vqa": (["yes", "no", "no"], [["yes"] * 4, ["yes"] * 4, ["no"] * 4]),
        "captions": (["a red bus", "a cat", "x"], ["a red bus", "a dog", "a man on a horse"]),
        "retrieval": ([["a", "b"], ["a", "b"], ["b", "a"]], ["a", "b", "b"]),
        "classify": (list("aba"), list("abb")),
        "multilabel": (["a;b", "a", "b"], ["a", "a;b", "b"]),
        "regress": ([1, 2, 4], [1, 2, 3]),
        "tag": ([["B-X", "O"], ["O", "O"], ["O"]], [["B-X", "O"], ["B-X", "O"], ["O"]]),
        "detect": (['[[1, 1, 9, 9, "a", 0.5]]', "[]", '[[1, 1, 9, 9, "a", 0.6]]'], 3 * [BOXES]),
    }[metric]
    table = {"one": prediction, "two": prediction, "reference": reference}
    found = score(table, metric, prediction=["one", "two"])
    assert found.difference and found.predictions["one"] == found.predictions["two"]
    for one in found.difference.values():
        assert (one["value"], one["low"], one["high"]) == (0, 0, 0)
        assert one["p"] == one["p_holm"] == 1


def test_a_better_system_is_told_apart():
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 2, 300)
    good, bad = (np.where(rng.random(300) < share, gold, 1 - gold) for share in (0.9, 0.6))
    table = {"good": good.tolist(), "bad": bad.tolist(), "reference": gold.tolist()}
    found = score(table, "classify", prediction=["bad", "good"]).difference["accuracy"]
    assert found["value"] == pytest.approx((bad == gold).mean() - (good == gold).mean())
    assert found["high"] < 0 and found["p"] < 0.01


def test_two_tables_are_matched_by_a_column():
    ours = {"id": ["3", "1", "2"], "guess": ["c", "a", "x"]}
    theirs = {"id": [1, 2, 3, 4], "label": ["a", "b", "c", None], "who": ["p", "p", "q", "q"]}
    ours = {"id": [*ours["id"], "4"], "guess": [*ours["guess"], "d"]}
    found = score(
        ours, "classify", prediction="guess", reference="label", references=theirs, on="id",
        group="who",
    )  # fmt: skip
    assert found.predictions["guess"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert found.ledger["no reference"] == 1 and found.groups == 2
    assert found.ledger["not among the references"] == 0
    more = {"id": [*ours["id"], "5", "6"], "guess": [*ours["guess"], "a", "b"]}
    more = score(
        more, "classify", prediction="guess", reference="label", references=theirs, on="id"
    )
    assert more.predictions["guess"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert more.ledger["not among the references"] == 2
    assert "2 rows that are not among the references left out" in more.text()
    in_order = score(
        {"guess": ["a", "x"]}, "classify", prediction="guess", reference="label",
        references={"label": ["a", "b"]},
    )  # fmt: skip
    assert in_order.predictions["guess"]["accuracy"]["value"] == 0.5


def test_python_has_the_same_function():
    assert pm.score is score


TEXT = "reference,prediction\na,b\n"
MISTAKES = {
    "no such metric": (None, ["--metric", "vqaa"], "did you mean 'vqa'"),
    "no such prediction": (None, [*VQA[:3], "god", *VQA[4:]], "did you mean 'good'"),
    "no such reference": (None, [*VQA[:5], "answer"], "did you mean 'answers'"),
    "no such group": (None, [*VQA, "--group", "imag"], "did you mean 'image'"),
    "no such file": (None, [*VQA, "--references", "b.csv"], "b.csv"),
    "three systems": (None, [*VQA, *(["--prediction", "bad"] * 2)], "in pairs"),
    "two references": (
        None,
        ["--metric", "tag", "--reference", "x", "--reference", "y"],
        "takes one",
    ),
    "a reference twice": (None, [*VQA, *(["--reference", "answers"] * 3)], "named twice"),
    "a class without probabilities": (
        "reference,prediction,prediction=a\na,a,1\nb,a,1\n",
        ["--metric", "classify"],
        "none for b",
    ),
    "a class with probabilities twice": (
        "reference,prediction,prediction=1,prediction=1.0\n1,1,0.5,0.5\n",
        ["--metric", "classify"],
        "not one for each class",
    ),
    "on without a table": (None, [*VQA, "--on", "image"], "--references FILE"),
    "rows not named": (None, [*VQA, "--references", "a.csv", "--on", "image"], "every row"),
    "lists for classes": (None, ["--metric", "classify", *VQA[2:]], "holds no text"),
    "no numbers": (TEXT, ["--metric", "regress"], "is neither a number"),
    "no prediction of a number": (
        "reference,prediction\n1,\n2,3\n",
        ["--metric", "regress"],
        "1 of 2 rows",
    ),
    "no tags": ("reference,prediction\n{1: 2},b\n", ["--metric", "tag"], "list of tags"),
    "no references": ("reference,prediction\n,b\n", ["--metric", "classify"], "No row has"),
    "an item twice": (
        "reference,prediction\na,b;b;a\n",
        ["--metric", "retrieval"],
        "names an item twice",
    ),
    "no probabilities": (
        "reference,prediction,prediction=a\na,a,7\n",
        ["--metric", "classify"],
        "no probabilities",
    ),
    "a pattern without an answer": (None, [*VQA, "--extract", "yes"], "one group"),
    "no texts to extract from": (TEXT, ["--metric", "regress", "--extract", "number"], "leave"),
    "a missing group": (
        "reference,prediction,g\na,b,\na,b,1\n",
        ["--metric", "classify", "--group", "g"],
        "no group",
    ),
    "tags of no scheme": (
        'reference;prediction\n["B-X", "o"];["B-X", "O"]\n',
        ["--metric", "tag"],
        "mixes IOB2",
    ),
    "no metric": (None, [], "--metric"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_message_and_leaves_nothing(name, tmp_path, monkeypatch, capsys):
    table, words, said = MISTAKES[name]
    monkeypatch.chdir(tmp_path)
    if table is None:
        as_csv(Path("a.csv"))
    else:
        Path("a.csv").write_text(table)
    assert polymodal(monkeypatch, "score", "a.csv", *words, "--out", "found") == 2
    shown = capsys.readouterr()
    assert shown.err.count("Error:") == 1 and said in shown.err and not shown.out
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_captions_without_sacrebleu(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text(TEXT)
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    assert polymodal(monkeypatch, "score", "a.csv", "--metric", "captions") == 2
    assert "polymodal[captions]" in capsys.readouterr().err


def test_rows_that_were_not_predicted_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("id,prediction\n1,a\n")
    Path("b.csv").write_text("id,reference\n1,a\n2,b\n")
    words = ["score", "a.csv", "--metric", "classify", "--references", "b.csv"]
    assert polymodal(monkeypatch, *words) == 2
    assert "1 rows and b.csv 2" in capsys.readouterr().err
    assert polymodal(monkeypatch, *words, "--on", "id") == 2
    assert "none for '2'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reference", "prediction"),
    [
        ("B-X E-X O S-Y", "B-X E-X O S-Y"),
        ("B-X L-X O U-Y", '["B-X", "L-X", "O", "U-Y"]'),
        ("I-X I-X O I-Y", "B-X I-X O B-Y"),
        ("B M E S", "B,M,E,S"),
    ],
)
def test_tags_of_any_scheme_are_measured_as_entities(reference, prediction):
    rows = {"reference": [reference] * 3, "prediction": [prediction, prediction, "O O O O"]}
    found = score(rows, "tag").predictions["prediction"]
    assert found["entity_precision"]["value"] == 1
    assert found["entity_recall"]["value"] == pytest.approx(2 / 3)
