"""FT-Transformer against the paper: its size, its formulas, missing cells, a problem to solve."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.modalities.table.encoders.ft_transformer import FtTransformer
from polymodal.modalities.table.forms.cells import Cells


def small(form: Cells, field: Field, **options: Any) -> FtTransformer:
    torch.manual_seed(0)
    given = {"hidden": 16, "heads": 2, "depth": 2, "bins": 0} | options
    encoder = FtTransformer(form, 8, **given).eval()
    encoder.adapt([field])
    return encoder


def numbers(count: int) -> Cells:
    return Cells(columns=[{"name": str(i), "kind": "number"} for i in range(count)])


def test_the_paper_s_size() -> None:
    """Its default has 929K parameters with 100 numbers (appendix, default FT-Transformer)."""
    encoder = FtTransformer(numbers(100), 1, hidden=192, heads=8, depth=3, bins=0)
    parts = [*encoder.tokens.parameters(), *encoder.blocks.parameters()]
    assert sum(p.numel() for p in parts) == 929_664
    head = sum(p.numel() for p in encoder.project.parameters())
    assert head == 2 * 192 + 193


def test_the_paper_s_formulas() -> None:
    """One block over two numbers, computed by hand with PyTorch's own attention."""
    form = numbers(2)
    rows = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    field = Field(rows, None, torch.ones(5, dtype=torch.bool))
    encoder = small(form, field, depth=1)
    block = encoder.blocks[0]
    scaled = encoder.tokens.numbers(rows)[..., :1]
    cells = scaled * encoder.tokens.weight[:, 0] + encoder.tokens.bias
    first = encoder.tokens.cls.expand(5, 1, -1)
    tokens = torch.cat([first, cells], 1)
    theirs = nn.MultiheadAttention(16, 2, batch_first=True)
    ours = block.attention
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        ours.query.bias.normal_()
        ours.key_value.bias.normal_()
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    hidden = tokens + theirs(tokens, tokens, tokens, need_weights=False)[0]
    normed = F.layer_norm(hidden, (16,))
    inner = normed @ block.before[1].weight.T + block.before[1].bias
    kept, gate = inner[..., :21], inner[..., 21:]
    hidden = hidden + (kept * gate.relu()) @ block.after[1].weight.T + block.after[1].bias
    last = encoder.project[2]
    wanted = F.layer_norm(hidden[:, :1], (16,)).relu() @ last.weight.T + last.bias
    torch.testing.assert_close(encoder(field).values, wanted, atol=1e-5, rtol=1e-5)


def test_a_missing_cell_is_as_if_its_column_were_not_there(form: Cells, field: Field) -> None:
    encoder = small(form, field, columns=True)
    tokens = encoder(field)
    assert tokens.values.shape == (65, 5, 8)
    data = field.data[:64]
    for position, slots in enumerate([form.slots[0], form.slots[3], form.slots[1], form.slots[2]]):
        part = data[:, slots.start : slots.stop]
        missing = part.isnan().all(1) if slots.kind != "category" else (part == 0)[:, 0]
        assert torch.equal(tokens.mask[:64, 1 + position], ~missing)
    row = field.data[:1].clone()
    row[0, form.slots[0].start] = math.nan
    one = Field(row, None, torch.ones(1, dtype=torch.bool))
    before = encoder(one).values[:, 0]
    with torch.no_grad():
        encoder.tokens.bias[0] += 9
        encoder.tokens.weight[0] += 9
    torch.testing.assert_close(encoder(one).values[:, 0], before)


def test_cls_alone_is_the_first_of_all(form: Cells, field: Field) -> None:
    alone, every = small(form, field), small(form, field, columns=True)
    assert alone(field).values.shape == (65, 1, 8)
    torch.testing.assert_close(alone(field).values[:, 0], every(field).values[:, 0])
    assert alone(field).mask.all()


def test_bins_are_more_to_learn_from(form: Cells, field: Field) -> None:
    assert small(form, field, bins=5).tokens.weight.shape == (2, 6, 16)
    assert small(form, field, bins=5)(field).values.isfinite().all()


def test_attention_s_weights_are_dropped_in_training(form: Cells, field: Field) -> None:
    encoder = small(form, field, dropout=0.0, attention_dropout=0.5)
    assert torch.equal(encoder(field).values, encoder(field).values)
    encoder.train()
    for kernel in ("plain", "sdpa"):
        for block in encoder.blocks:
            block.attention.attention = kernel
        assert not torch.equal(encoder(field).values, encoder(field).values)


def test_it_learns_which_of_two_signs_agree() -> None:
    """Neither column alone tells."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(64, 2, generator=generator) + 0.5
    rows = rows * (torch.randint(0, 2, (64, 2), generator=generator) * 2 - 1)
    labels = (rows[:, 0] * rows[:, 1] > 0).long()
    field = Field(rows, None, torch.ones(64, dtype=torch.bool))
    encoder = small(numbers(2), field, depth=1, dropout=0.0, attention_dropout=0.0).train()
    head = nn.Linear(8, 2)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(60):
        loss = F.cross_entropy(head(encoder(field).mean()), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert torch.equal(head(encoder.eval()(field).mean()).argmax(1), labels)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(UserError, match="do not divide"):
        FtTransformer(numbers(2), 8, hidden=20, heads=8)
    with pytest.raises(UserError, match="depth=0"):
        FtTransformer(numbers(2), 8, depth=0)
