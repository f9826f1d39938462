"""The network around encoders and a fusion: what training hides of a row."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from polymodal.contract.batch import Field, Fused, Tokens
from polymodal.models.model import Model, encoded

ROWS = 400


class Seen(nn.Module):
    """Stands for a fusion, and keeps which modalities came to it."""

    decides = False
    masks: Tensor

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        self.masks = torch.stack([one.present() for one in tokens.values()], 1)
        return Fused(tokens["a"].mean(), dict(tokens))


def test_the_dropout_of_modalities_leaves_every_row_one() -> None:
    present = torch.ones(ROWS, 2, dtype=torch.bool)
    present[: ROWS // 2, 1] = False
    tokens = {
        name: Tokens(torch.ones(ROWS, 1, 4), present[:, i, None]) for i, name in enumerate("ab")
    }
    seen = Seen()
    model = Model({"a": nn.Identity(), "b": nn.Identity()}, seen, {}, 4, modality_dropout=0.9)  # type: ignore[arg-type, dict-item]
    torch.manual_seed(0)
    model.train().fuse(tokens)
    assert seen.masks.any(1).all()
    assert not (seen.masks & ~present).any()
    assert 0 < seen.masks[ROWS // 2 :].all(1).sum() < ROWS // 2
    model.eval().fuse(tokens)
    assert torch.equal(seen.masks, present)


class Counting(nn.Module):
    """Stands for an encoder, and counts the rows that it computes."""

    rows = 0

    def forward(self, field: Field) -> Tokens:
        assert field.mask is not None
        self.rows += len(field.data)
        spelled = field.data.byte()
        return Tokens(field.data.unsqueeze(-1).expand(-1, -1, 4) + 1, field.mask, spelled)


def test_what_all_rows_lack_is_computed_for_one_of_them_and_is_as_absent() -> None:
    encoder, data, mask = Counting().eval(), torch.rand(6, 5), torch.ones(6, 5, dtype=torch.bool)
    present = torch.zeros(6, dtype=torch.bool)
    found = encoded(encoder, Field(data, mask, present))
    assert encoder.rows == 1
    assert found.values.shape == (6, 5, 4) and not found.values.any() and not found.mask.any()
    assert found.spelled is not None and found.spelled.shape == (6, 5)
    present[3] = True
    some = encoded(encoder, Field(data, mask, present))
    assert encoder.rows == 7
    # Rows that lack it are the same whether or not another one has it.
    assert torch.equal(some.values[:3], found.values[:3]) and some.values[3].all()
    # In training a norm would learn from that one.
    encoded(encoder.train(), Field(data, mask, torch.zeros(6, dtype=torch.bool)))
    assert encoder.rows == 13
