"""Every metric of texts, against the function that has it."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.metrics import captions
from polymodal.metrics.answers import answers
from polymodal.metrics.texts import texts

GUESSES = ["a red cross", "two dogs run", "yes", "A picture of one blue square."]
REFERENCES = [["one red cross", "a red cross."], ["two dogs"], ["no"], ["one blue square"]]
ONES = np.ones((1, 4))


def test_each_is_what_its_own_function_says():
    found = {name: m.statistic(ONES)[0] for name, m in texts(GUESSES, REFERENCES).items()}
    whole = captions.captions(GUESSES, REFERENCES).metrics()
    for name in ("bleu", "chrf", "cider_d", "rouge_l"):
        assert found[name] == pytest.approx(whole[name].statistic(ONES)[0])
    exact = answers(GUESSES, REFERENCES)["exact_match"].statistic(ONES)[0]
    assert found["exact_match"] == exact == 0.25
    # No edit, one word of two, one of one, three of three.
    assert found["wer"] == pytest.approx((0 + 1 + 1 + 3) / (3 + 2 + 1 + 3))
    assert not texts(GUESSES, REFERENCES)["cer"].greater_is_better


def test_weights_are_repetitions():
    chosen = [0, 0, 2, 3, 3, 3]
    weights = np.array([[2.0, 0, 1, 3]])
    repeated = texts([GUESSES[i] for i in chosen], [REFERENCES[i] for i in chosen])
    for name, metric in texts(GUESSES, REFERENCES).items():
        if name != "cider_d":  # how rare n-grams are is counted over the rows themselves
            plain = repeated[name].statistic(np.ones((1, 6)))
            np.testing.assert_allclose(metric.statistic(weights), plain)


def test_four_annotators_make_vqa_accuracy_and_one_row_no_cider():
    found = texts(["two"], [["2", "two", "3", "two"]])
    assert found["vqa_accuracy"].statistic(np.ones((1, 1)))[0] == pytest.approx(0.75 * 2 / 3 + 0.25)
    assert "cider_d" not in found
    assert "vqa_accuracy" not in texts(GUESSES, REFERENCES)


def test_without_sacrebleu_there_are_all_others(monkeypatch):
    monkeypatch.setattr(captions, "installed", lambda: False)
    found = texts(GUESSES, REFERENCES)
    assert {"cider_d", "rouge_l", "wer"} <= set(found) and not {"bleu", "chrf"} & set(found)


def test_captions_begin_with_how_like_they_are_and_answers_with_whether_they_are_right():
    caption = ["a red cross on the left", "there is a red cross at the left side"] * 2
    assert list(texts(["left: a red cross", "a cross"], [caption] * 2))[:2] == ["cider_d", "bleu"]
    assert next(iter(texts(["two", "two"], [["2", "two", "3", "two"]] * 2))) == "vqa_accuracy"
