"""How fast decoders are trained."""

from __future__ import annotations

import torch
from torch import nn

from polymodal.base import lookup
from polymodal.nn.decoder import Work
from polymodal.train import pace
from polymodal.train.kernels import Kernels
from polymodal.train.pace import Pace, operations


def decoder():
    spec = {"name": "llama", "hidden": 16, "depth": 2, "heads": 2, "groups": 1}
    return lookup.build("nn/decoders", spec, 30, False)


def test_operations_are_six_a_number_and_place_and_twelve_a_pair():
    own = decoder()
    own.work = Work(10, 20, 100)
    numbers = sum(p.numel() for p in own.model.parameters())
    assert operations(own) == 6 * numbers * 10 + 12 * 2 * 16 * 100
    own.requires_grad_(False)
    assert operations(own) == 4 * numbers * 10 + 12 * 2 * 16 * 100


def test_numbers_are_of_the_steps_since_the_last_time(monkeypatch):
    own, place = decoder(), torch.device("cpu")
    monkeypatch.setattr(pace, "_peak", lambda *_: 1e9)
    kept = Pace(nn.Sequential(own), Kernels(), place)
    assert kept.numbers() == {}
    with kept.timed():
        own.work.note(15, torch.zeros(2, 10))
    found = kept.numbers()
    assert found["train/padding"] == 0.25
    assert found["train/tokens_per_second"] > 0 and found["train/utilisation"] > 0
    assert kept.numbers() == {} and own.work == Work()


def test_models_without_a_decoder_have_no_pace():
    kept = Pace(nn.Linear(2, 2), Kernels(), torch.device("cpu"))
    with kept.timed():
        pass
    assert kept.numbers() == {}


def test_the_peak_is_a_number_of_operations():
    assert pace._peak(False, 1, torch.device("cpu")) > 1e8


def test_measuring_the_machine_draws_nothing_of_a_training():
    pace._peak.cache_clear()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        before = torch.get_rng_state()
        assert pace._peak(False, 1, torch.device("cpu")) > 0
        assert torch.equal(torch.get_rng_state(), before)
