from __future__ import annotations

import torch

from polymodal.contract.batch import Field
from polymodal.modalities.series.encoders.statistics import Statistics
from polymodal.modalities.series.forms.summary import Summary


def summary() -> Summary:
    form = Summary()
    form.state = {"channels": 2, "transposed": False}
    return form


def test_units_do_not_matter_once_adapted() -> None:
    form = summary()
    torch.manual_seed(0)
    encoder = Statistics(form, 6).eval()
    data, present = torch.randn(8, form.size), torch.ones(8, dtype=torch.bool)
    field, other = Field(data, None, present), Field(1000 * data + 5, None, present)
    encoder.adapt([field])
    wanted = encoder(field).values
    assert wanted.shape == (8, 1, 6) and not torch.allclose(wanted[0], wanted[1])
    encoder.adapt([other])
    torch.testing.assert_close(encoder(other).values, wanted, atol=1e-3, rtol=1e-3)


def test_options_act() -> None:
    form = summary()
    field = Field(torch.randn(4, form.size), None, torch.ones(4, dtype=torch.bool))
    dropped = Statistics(form, 6, hidden=9, dropout=0.5)
    assert not torch.equal(dropped(field).values, dropped(field).values)
    kept = Statistics(form, 6, hidden=9, dropout=0.0)
    assert torch.equal(kept(field).values, kept(field).values)
    assert any(9 in p.shape for p in kept.parameters())
