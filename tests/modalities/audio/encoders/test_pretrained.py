"""Speech is written down along a model that is trained on, if its positions are close enough."""

from __future__ import annotations

import pytest
import torch

from polymodal.contract.batch import Field
from polymodal.modalities.audio.encoders.pretrained import Pretrained
from polymodal.modalities.audio.forms.pretrained import Pretrained as Form


def field(counts: list[int], features: int) -> Field:
    longest = torch.arange(max(counts))
    mask = longest < torch.tensor(counts).unsqueeze(1)
    data = torch.randn(len(counts), max(counts), features)
    return Field(data, mask, torch.ones(len(counts), dtype=torch.bool))


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize(
    ("name", "features", "fine"), [("wav2vec2", 1, 2), ("hubert", 1, 2), ("whisper", 8, 2)]
)
def test_tokens_are_counted_before_they_are_made(checkpoint, name, features, fine, window) -> None:
    encoder = Pretrained(Form(path=checkpoint(name), tune=True), 8, window=window).eval()
    counts = [50, 51, 69, 70, 71, 88, 89, 90, 97]
    with torch.no_grad():
        tokens = encoder(field(counts, features))
    assert tokens.mask.sum(1).tolist() == encoder.lengths(torch.tensor(counts)).tolist()
    assert encoder.timed == (window <= fine)


def test_what_hears_in_long_steps_or_is_frozen_is_not_for_speech(checkpoint) -> None:
    assert not Pretrained(Form(path=checkpoint("ast"), tune=True), 8, window=2).timed
    assert not Pretrained(Form(path=checkpoint("wav2vec2")), 8, window=1).timed
    assert Pretrained.suited(["timed"]) == {"window": 1} and Pretrained.suited([]) == {}
