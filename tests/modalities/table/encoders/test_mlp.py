"""The table's perceptron: shapes, missing cells, and what it can learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from polymodal.contract.batch import Field
from polymodal.modalities.table.encoders.mlp import Mlp
from polymodal.modalities.table.forms.cells import Cells
from polymodal.models.model import encoded


def build(form: Cells, field: Field, **options: float) -> Mlp:
    torch.manual_seed(0)
    encoder = Mlp(form, 8, **options)  # type: ignore[arg-type]
    encoder.adapt([field])
    return encoder.eval()


def test_one_finite_token_a_row(form: Cells, field: Field) -> None:
    tokens = encoded(build(form, field), field)
    assert tokens.values.shape == (65, 1, 8) and torch.isfinite(tokens.values).all()
    assert tokens.mask[:, 0].tolist() == field.present.tolist()


def test_rows_do_not_mix(form: Cells, field: Field) -> None:
    encoder = build(form, field)
    whole = encoder(field).values
    part = encoder(Field(field.data[5:7], None, field.present[5:7])).values
    torch.testing.assert_close(part, whole[5:7])


@pytest.mark.parametrize("slot", range(6))
def test_every_slot_and_its_absence_count(form: Cells, field: Field, slot: int) -> None:
    encoder = build(form, field)
    with torch.no_grad():  # a category's code 0 starts as zeros, as no other does
        encoder.categories.embedding.weight[0] = 1
    row = torch.tensor([[3.0, 1, 1, 0, 0, 100.0]])
    changed, missing = row.clone(), row.clone()
    changed[0, slot] = 2 if slot == 1 else 1 - row[0, slot]
    missing[0, slice(2, 5) if slot in (2, 3, 4) else slot] = torch.nan
    present = torch.ones(1, dtype=torch.bool)
    outputs = [encoder(Field(x, None, present)).values for x in (row, changed, missing)]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert not torch.allclose(outputs[a], outputs[b])


def test_buffers_travel_with_the_weights(form: Cells, field: Field) -> None:
    encoder = build(form, field)
    other = Mlp(form, 8)
    other.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(other.eval()(field).values, encoder(field).values)


@pytest.mark.parametrize("kind", ["number", "category", "set"])
def test_one_kind_alone_is_enough(kind: str) -> None:
    form = Cells(columns=[{"name": "a", "kind": kind}])
    form.fit([{"a": v} for v in ("1", "2", "3")])
    data = torch.from_numpy(np.stack([form.encode({"a": v}) for v in ("1", "2", None)]))
    field = Field(data, None, torch.ones(3, dtype=torch.bool))
    encoder = build(form, field)
    assert torch.isfinite(encoder(field).values).all()
    assert not torch.allclose(encoder(field).values[0], encoder(field).values[1])


def test_double_precision(form: Cells, field: Field) -> None:
    encoder = build(form, field)
    single = encoder(field).values
    double = encoder.double()(field).values
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, atol=1e-4, rtol=1e-4)


def test_it_learns_what_no_line_can(form: Cells) -> None:
    # Class 1 where the number lies in the middle or the category is odd, but not both.
    rng = np.random.default_rng(0)
    x, c = rng.lognormal(size=600), rng.integers(0, 6, 600)
    label = torch.from_numpy(((x > 0.5) & (x < 2)) ^ (c % 2 == 1)).long()
    form = Cells(columns=[{"name": "x", "kind": "number"}, {"name": "c", "kind": "category"}])
    rows = [{"x": float(a), "c": int(b)} for a, b in zip(x, c, strict=True)]
    form.fit(rows[:400])
    data = torch.from_numpy(np.stack([form.encode(row) for row in rows]))
    field = Field(data, None, torch.ones(600, dtype=torch.bool))
    train = Field(data[:400], None, field.present[:400])
    torch.manual_seed(0)
    encoder, head = Mlp(form, 16, hidden=64), nn.Linear(16, 2)
    encoder.adapt([train])
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=5e-3)
    for _ in range(150):
        loss = nn.functional.cross_entropy(head(encoder(train).mean()), label[:400])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    encoder.eval()
    with torch.no_grad():
        right = head(encoder(field).mean()).argmax(1) == label
    assert right[400:].float().mean() > 0.93
