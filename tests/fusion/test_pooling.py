"""Shares of the present modalities."""

from __future__ import annotations

import pytest
import torch

from polymodal.fusion import _pooling

PRESENT = torch.tensor([[True, True], [True, False], [False, False]])


def test_shares_are_over_what_is_present():
    shares = _pooling.shares(torch.tensor([0.75, 0.25]).log(), PRESENT)
    assert shares.tolist() == [pytest.approx([0.75, 0.25]), [1, 0], [0.5, 0.5]]


def test_a_modality_of_no_weight_still_decides_alone():
    alpha = torch.tensor([-torch.inf, 0.0], requires_grad=True)
    shares = _pooling.shares(alpha, PRESENT)
    assert shares.tolist() == [pytest.approx([0, 1], abs=1e-9), [1, 0], [0.5, 0.5]]
    shares[:, 0].sum().backward()
    assert alpha.grad.isfinite().all()


def test_shares_by_feature():
    logits = torch.zeros(3, 2, 4)
    logits[0, 0, 1] = 100
    shares = _pooling.shares(logits, PRESENT)
    assert shares[0, 0].tolist() == [0.5, 1, 0.5, 0.5]
    assert (shares.sum(1) == 1).all() and (shares[1, 1] == 0).all()
