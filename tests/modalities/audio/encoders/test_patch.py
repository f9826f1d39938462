from __future__ import annotations

import torch

from polymodal.contract.batch import Field
from polymodal.modalities.audio.encoders.patch import Patch
from polymodal.modalities.audio.forms.mel import Mel


def test_one_token_a_window_that_sees_only_its_window() -> None:
    encoder = Patch(Mel(mels=12), 6, window=4)
    mask = torch.arange(10) < torch.tensor([[10], [5]])
    field = Field(torch.randn(2, 10, 12), mask, torch.tensor([True, True]))
    encoder.adapt([field])
    before = encoder(field)
    assert before.mask.tolist() == [[True, True, True], [True, True, False]]
    field.data[0, 6] += 1
    changed = (encoder(field).values != before.values).any(2)
    assert changed.tolist() == [[False, True, False], [False, False, False]]


def test_window_is_the_number_of_steps_in_a_token() -> None:
    field = Field(torch.randn(1, 10, 12), torch.ones(1, 10, dtype=torch.bool), torch.tensor([True]))
    assert Patch(Mel(mels=12), 6, window=2)(field).mask.shape == (1, 5)
