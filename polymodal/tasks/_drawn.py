"""The network that draws pictures, code by code."""

from __future__ import annotations

import torch
from torch import Tensor

from polymodal.contract.batch import Field
from polymodal.nn.decoder import Prompt
from polymodal.nn.decoding import write
from polymodal.nn.manner import Manner, Text
from polymodal.tasks._coder import ERROR
from polymodal.tasks._written import Projected

# No code ends a picture: all have as many.
ENDLESS = -1


class Drawer(Projected):
    """The modalities' tokens, projected, and a decoder that goes on from them with codes.

    The manner's `longest` is how many a picture has.
    """

    def told(self, target: Field) -> tuple[Tensor, Tensor, Tensor]:
        rows = target.present.nonzero()[:, 0]
        codes = target.data[rows, ERROR:]
        return codes, torch.ones_like(codes, dtype=torch.bool), rows

    def write(self, prompt: Prompt, manner: Manner) -> list[list[Text]]:
        return write(self.decoder, prompt, ENDLESS, manner)

    def kept(self, texts: list[Text]) -> list[Text]:
        return texts
