"""Tags of words: reading them, the strict scheme, and the constrained prediction."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.contract.recipe import Member, Modality
from polymodal.modalities.text.forms.words import Words
from polymodal.models import build
from polymodal.prepared.targets import prepared
from polymodal.table import tags
from polymodal.tasks import _decoding
from polymodal.tasks.tag import Tag

CELLS = [["O", "B-X", "I-X"], '["B-Y", "O"]', np.array(["B-Y", "I-Y"], object), None]


def fitted(cells=CELLS, **options) -> Tag:
    task = Tag("y", **options)
    task.fit(cells)
    return task


def test_every_way_to_write_tags():
    task = fitted()
    assert task.classes == ["B-X", "B-Y", "I-X", "I-Y", "O"]
    encoded = [None if row is None else row.tolist() for row in task.encode(CELLS)]
    assert encoded == [[4, 0, 2], [1, 4], [1, 3], None]
    assert task.encode([["O", None]])[0].tolist() == [4, -1]
    assert task.encode([[None, None], []]) == [None, None]
    assert task.words == "y" and task.primary == "entity_f1"


def field(task, cells) -> Field:
    """The cells as a batch has them."""
    return prepared(task, cells).gather(np.arange(len(cells)))


def test_loss_is_the_mean_over_known_words():
    task = fitted()
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    target = field(task, [["O", "B-X", None], None])
    wanted = F.cross_entropy(logits[0, :2], torch.tensor([4, 0]))
    assert task.loss_of(logits, target).item() == pytest.approx(wanted.item())
    none = task.loss_of(logits, Field(target.data, target.mask, torch.zeros(2) > 0))
    none.backward()
    assert none.item() == 0 and (logits.grad == 0).all()


def test_the_text_of_tagged_words_is_read_word_by_word():
    def network(**options):
        spec = {"name": "embedding", "size": 16, **options}
        member = Member(name="m", width=8, modalities={"y": Modality(encoder=spec)})
        return build.design(member).predictor({"y": "text"}, {"y": Words()}, {"y": fitted()})

    assert network().encoders[0].words
    with pytest.raises(UserError, match="does not suit") as caught:
        network(words=False)
    assert "declares words: bert, embedding" in caught.value.expected


def test_bias_is_the_frequency_of_words():
    task = fitted([["O", "O", "O", "B-X"]])
    assert task.bias().exp().tolist() == pytest.approx([0.25, 0.75])


def probabilities(seed: int, words: int, size: int) -> np.ndarray:
    raw = np.random.default_rng(seed).random((words, size)) ** 4 + 1e-3
    return raw / raw.sum(1, keepdims=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_prediction_is_the_likeliest_valid_sequence(seed, words):
    task = fitted()
    scores = probabilities(seed, words, 5)
    valid = [
        path
        for path in itertools.product(range(5), repeat=words)
        if _decoding.orphan([task.classes[i] for i in path]) is None
    ]
    best = max(valid, key=lambda path: sum(np.log(scores[w, i]) for w, i in enumerate(path)))
    predicted = json.loads(task.decode([scores])["y"][0])
    assert predicted == [task.classes[i] for i in best]


def test_unconstrained_prediction_takes_every_words_own_best():
    scores = [np.array([[0.05, 0.05, 0.5, 0.1, 0.3]])]
    assert fitted(constrained=False).decode(scores)["y"] == ['["I-X"]']
    assert fitted().decode(scores)["y"] == ['["O"]']


def test_rows_of_no_words():
    task = fitted()
    assert task.decode([np.zeros((0, 5), np.float32)])["y"] == ["[]"]


def test_plain_tags_are_not_constrained():
    task = fitted([["noun", "verb"], ["verb"]])
    assert task.primary == "token_accuracy"
    scores = [np.array([[0.9, 0.1], [0.2, 0.8]])]
    assert json.loads(task.decode(scores)["y"][0]) == ["noun", "verb"]
    found = task.metrics(scores, task.encode([["noun", "noun"]]))
    assert found["token_accuracy"].statistic(np.ones((1, 1)))[0] == 0.5
    assert task.criterion(scores, task.encode([["noun", "noun"]])) == 0.5


def test_criterion_follows_entities():
    task = fitted()
    gold = task.encode([["B-X", "I-X", "O"]])
    right = np.eye(5)[[0, 2, 4]] * 0.9 + 0.02
    wrong = np.eye(5)[[0, 4, 4]] * 0.9 + 0.02
    assert task.criterion([right], gold) == 0
    assert task.criterion([wrong], gold) == 1
    assert task.criterion([right], task.encode([["O", "O", "O"]])) == 1
    assert task.criterion([np.eye(5)[[4, 4]]], task.encode([["O", "O"]])) == 1


def test_state_survives_json():
    task = fitted()
    again = Tag("y")
    again.state = json.loads(json.dumps(task.state))
    assert again.size == 5 and again.primary == "entity_f1"
    assert again.encode([["I-Y"]])[0].tolist() == [3]
    assert torch.equal(again.bias(), task.bias())


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (['{"O": 1}'], "no list of tags"),
        ([3], "no list of tags"),
        ([["O", "B-X", "o"]], "mixes IOB2 tags with the tag 'o'"),
        ([["O", "B-X", "Z-X"]], "mixes IOB2 tags with the tag 'Z-X'"),
        ([["U-X", "B-X", "S-X"]], "mixes schemes of tags"),
        ([["O", "O"]], "nothing to learn"),
        ([None], "nothing to learn"),
        ([[["O"], ["B-X"]]], "several values"),
    ],
)
def test_errors_say_what_is_wrong(cells, message):
    with pytest.raises(UserError, match=message):
        fitted(cells)


def test_an_unseen_tag_is_named():
    with pytest.raises(UserError, match="tag 'B-Z', which no training row had"):
        fitted().encode([["B-Z"]])


# The same two texts in every scheme: X X Y, then X X X next to each other, X alone and none.
IOB2 = [["B-X", "I-X", "B-Y"], ["B-X", "B-X", "I-X", "O", "B-X", "O"]]
WRITTEN = {
    "IOB1": [["I-X", "I-X", "I-Y"], ["I-X", "B-X", "I-X", "O", "I-X", "O"]],
    "IOE2": [["I-X", "E-X", "E-Y"], ["E-X", "I-X", "E-X", "O", "E-X", "O"]],
    "IOBES": [["B-X", "E-X", "S-Y"], ["S-X", "B-X", "E-X", "O", "S-X", "O"]],
    "BILOU": [["B-X", "L-X", "U-Y"], ["U-X", "B-X", "L-X", "O", "U-X", "O"]],
    "BMES": [["B-X", "E-X", "S-Y"], ["S-X", "B-X", "E-X", "O", "S-X", "O"]],
    "BMEWO": [["B-X", "E-X", "W-Y"], ["W-X", "B-X", "E-X", "O", "W-X", "O"]],
}
LONG = {"IOBES": "BIE", "BILOU": "BIL", "BMES": "BME", "BMEWO": "BME", "IOB1": "III", "IOE2": "IIE"}


@pytest.mark.parametrize("between", ["-", "_"])
@pytest.mark.parametrize("name", WRITTEN)
def test_every_scheme_is_learned_as_iob2_and_written_as_it_was(name: str, between: str) -> None:
    three = [f"{letter}-X" for letter in LONG[name]]
    cells = [[tag.replace("-", between) for tag in row] for row in [*WRITTEN[name], three]]
    task = fitted(cells)
    assert task.primary == "entity_f1" and task._scheme is not None and task._scheme.name == name
    encoded = [row.tolist() for row in task.encode(cells)]
    assert [[task.classes[i] for i in row] for row in encoded] == [*IOB2, ["B-X", "I-X", "I-X"]]
    again = Tag("y")
    again.state = json.loads(json.dumps(task.state))
    answers = [np.eye(task.size)[row] * 0.9 + 0.01 for row in encoded]
    assert [json.loads(row) for row in again.decode(answers)["y"]] == cells
    ((severity, line),) = task.remarks()
    assert severity == "info" and f"are {name}" in line and "as IOB2" in line
    assert task.judged(answers, task.encode(cells)).right.all()


def test_segments_without_types() -> None:
    cells = ["B E S", "B M E", "S"]
    task = fitted(cells)
    assert task.classes == ["B-span", "I-span"]
    answers = [np.eye(2)[row] * 0.9 + 0.05 for row in task.encode(cells)]
    assert task.decode(answers)["y"] == cells


def test_tags_that_go_on_with_nothing_begin_an_entity_and_are_counted() -> None:
    task = fitted([["O", "I-X"], ["B-X", "I-Y"], ["B-Y", "I-Y"]])
    assert task.classes == ["B-X", "B-Y", "I-Y", "O"]
    assert task.encode([["O", "I-X"]])[0].tolist() == [3, 0]
    ((severity, line),) = task.remarks()
    assert severity == "warning" and line.startswith("2 entities")
    assert fitted().remarks() == []


@pytest.mark.parametrize(
    "cell", ["O B-X I-X", "O,B-X,I-X", "O, B-X, I-X", "O;B-X;I-X", "O|B-X|I-X", " O  B-X I-X"]
)
def test_tags_joined_in_a_cell(cell: str) -> None:
    task = fitted([cell, "O"])
    assert task.encode([cell])[0].tolist() == [2, 0, 1]
    answer = task.decode([np.eye(3)[[2, 0, 1]]])["y"][0]
    assert tags.listed(answer)[0] == ["O", "B-X", "I-X"]
    assert answer == " ".join(cell.split())


def test_lists_as_programs_print_them() -> None:
    for cell in (
        "['O', 'B-X']",
        "['O' 'B-X']",
        '["O" "B-X"]',
        ["O", "B-X"],
        np.array(["O", "B-X"]),
    ):
        assert fitted([cell]).encode([cell])[0].tolist() == [1, 0]


def test_plain_labels_of_words_are_in_no_scheme() -> None:
    for cells in (["NN VB ,", "S E"], ["S O S", "O"], ["B A", "A O"], ["B I O"]):
        assert (fitted(cells)._scheme is not None) == (cells == ["B I O"])
