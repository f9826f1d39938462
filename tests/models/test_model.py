"""The network around encoders and a fusion: what training hides of a row."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from polymodal.contract.batch import Fused, Tokens
from polymodal.models.model import Model

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
