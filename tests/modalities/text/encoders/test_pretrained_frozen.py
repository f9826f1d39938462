"""Frozen outputs, standardised and projected."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.modalities.text.encoders.pretrained import Pretrained
from polymodal.modalities.text.forms.pretrained import Pretrained as Form

TEXTS = ["the quick fox", "Anna", None, "a house in London"]


@pytest.mark.parametrize("pool", ["mean", "words"])
def test_tokens_are_a_linear_map_of_the_standardised_outputs(
    pool: str, bert_path: str, collate: Callable[..., Field]
) -> None:
    form = Form(path=bert_path, pool=pool)
    encoder = Pretrained(form, 8).eval()
    field = collate(form, TEXTS, extra=1, garbage=7)
    encoder.adapt([field])
    tokens = encoder(field)
    real = field.data[field.mask]
    scaled = (real - real.mean(0)) / real.std(0, correction=0)
    linear = encoder.frozen.project[1]
    torch.testing.assert_close(tokens.values[field.mask], linear(scaled), atol=1e-4, rtol=0)
    lengths = [3, 1, 0, 4] if pool == "words" else [1, 1, 0, 1]
    assert tokens.mask.sum(1).tolist() == lengths


def test_labelling_words_needs_a_vector_a_word(bert_path: str) -> None:
    Pretrained(Form(path=bert_path, pool="words"), 8, words=True)
    with pytest.raises(UserError, match="no vector for each word") as caught:
        Pretrained(Form(path=bert_path), 8, words=True)
    assert "words" in caught.value.expected
