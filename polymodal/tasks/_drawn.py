"""The network that draws pictures, code by code."""

from __future__ import annotations

from typing import Any

import torch

from polymodal.contract.batch import Decided, Field, Fused
from polymodal.nn.decoder import Decoder
from polymodal.nn.decoding import write
from polymodal.nn.manner import Manner, Text
from polymodal.tasks._coder import ERROR
from polymodal.tasks._written import Projected, likeliest

# No code ends a picture: all have as many.
ENDLESS = -1


class Drawer(Projected):
    """The modalities' tokens, projected, and a decoder that goes on from them with codes.

    Args:
        decoder, width, count, dropout, crosses: as of `Projected`.
        manner: how codes are drawn; its `longest` is how many a picture has.
    """

    def __init__(
        self,
        decoder: Decoder,
        width: int,
        count: int,
        dropout: float,
        *,
        crosses: bool,
        manner: Manner,
    ) -> None:
        super().__init__(decoder, width, count, dropout, crosses=crosses)
        self.manner = manner

    def forward(self, fused: Fused, target: Field | None = None) -> Decided:
        """In training what the targets cost; else pictures, and what known targets would cost.

        Returns:
            As of `Writer`, with codes for pieces.
        """
        prompt = self.prompt(fused)
        found: dict[str, Any] = {}
        if target is not None:
            rows = target.present.nonzero()[:, 0]
            codes = target.data[rows, ERROR:]
            mask = torch.ones_like(codes, dtype=torch.bool)
            logs = self.decoder.taught(prompt.take(rows), codes, mask)
            found = {"nats": -logs.sum(1), "places": mask.sum(1), "row": rows}
        if self.silent and target is not None:
            found["written"] = [Text()] * len(target.present)
        elif not self.training:
            drawn = write(self.decoder, prompt, ENDLESS, self.manner)
            found["written"] = [likeliest(own, self.manner) for own in drawn]
        return Decided(found)
