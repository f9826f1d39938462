"""Frozen outputs, against calling the model directly."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.modalities.text.forms.pretrained import TEXT, Pretrained
from polymodal.nn import pretrained, processors

TEXTS = ["The quick brown fox", "", "a", "Anna's house in London " * 3, "one two"]


def outputs(path: str, text: str) -> np.ndarray:
    """Last hidden state of one text, without padding."""
    model = pretrained.load(path, TEXT)
    with torch.no_grad():
        encoded = processors.tokenizer(path)(text, return_tensors="pt")
        return pretrained.hidden(model, input_ids=encoded["input_ids"])[0].numpy()


@pytest.mark.parametrize("checkpoint", ["bert_path", "gpt2_path"])
def test_mean_over_pieces(checkpoint: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(checkpoint)
    encoded = Pretrained(path=path).encode(TEXTS[0])
    assert encoded.shape == (1, 16) and encoded.dtype == np.float32
    np.testing.assert_allclose(encoded[0], outputs(path, TEXTS[0]).mean(0), atol=1e-5)


def test_mean_over_each_words_pieces(bert_path: str) -> None:
    text = "Anna's quick house"
    encoded = Pretrained(path=bert_path, pool="words").encode(text.split())
    words = processors.tokenizer(bert_path)(text.split(), is_split_into_words=True).word_ids()
    whole = outputs(bert_path, text)
    means = [whole[[w == number for w in words]].mean(0) for number in range(3)]
    assert words.count(0) > 1
    np.testing.assert_allclose(encoded, means, atol=1e-5)


@pytest.mark.parametrize("pool", ["mean", "words"])
def test_many_at_once_are_as_one_by_one(
    bert_path: str, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = Pretrained(path=bert_path, pool=pool)
    alone = [form.encode(text) for text in TEXTS]
    for budget in (1, 20, 4096):
        monkeypatch.setattr("polymodal.modalities.text.forms.pretrained.BATCH", budget)
        for one, other in zip(alone, form.encode_many(TEXTS), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_empty_text(bert_path: str, gpt2_path: str) -> None:
    for path in (bert_path, gpt2_path):
        assert Pretrained(path=path, pool="words").encode("").shape == (0, 16)
        mean = Pretrained(path=path).encode("")
        assert mean.shape == (1, 16) and np.isfinite(mean).all()
    assert Pretrained(path=bert_path).encode_many([]) == []


def test_fingerprint_follows_the_weights_and_not_the_path(bert_path: str, tmp_path: Path) -> None:
    from transformers import BertModel

    folder = tmp_path / "copy"
    shutil.copytree(bert_path, folder)
    here = Pretrained(path=bert_path).fingerprint
    assert Pretrained(path=str(folder)).fingerprint == here
    assert Pretrained(path=bert_path, pool="words").fingerprint != here
    model = BertModel.from_pretrained(folder)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[5, 0] += 1
    model.save_pretrained(folder)
    assert Pretrained(path=str(folder)).fingerprint != here


def test_unknown_pooling_is_refused(bert_path: str) -> None:
    with pytest.raises(UserError, match="no pooling 'max'"):
        Pretrained(path=bert_path, pool="max")
