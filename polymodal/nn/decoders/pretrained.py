"""A causal language model that others trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.nn import causal, checkpoint
from polymodal.nn.decoder import Decoder
from polymodal.nn.held import Held
from polymodal.nn.tokens import Borrowed, Tokens


class Pretrained(Decoder):
    """A folder's, a hub id's or a package's model, such as `smollm2`, with its own tokenizer.

    Frozen, it is no part of what a run keeps: the run names it, and its files must be the same
    wherever the run is used. What learns then are the projections of what it reads, as in the first
    stage of "Visual Instruction Tuning" (Liu et al. 2023, arXiv 2304.08485).

    Args:
        vocabulary, crosses: as of `Decoder`; but its pieces are its own.
        path: a folder with config.json, safetensors and a tokenizer, a hub id, a package, or a
            GGUF file, whose quantised numbers become what they stand for.
        learns: whether its own numbers learn too, at `training.pretrained_lr`, or what a model's
            `tuning` says of them; they are then kept with the run.
    """

    knows: ClassVar[bool] = True

    def __init__(self, vocabulary: int, crosses: bool, *, path: str, learns: bool = False) -> None:
        planned = torch.get_default_device().type == "meta"
        if planned or learns:
            model, output = causal.causal(path, weights=not planned)
        else:
            model, output = causal.shared(path, checkpoint.digest(path, weights=True))
        super().__init__(model)
        self.output = output
        own = [self.backbone] if output is None else [self.backbone, output]
        for part in own if learns and not planned else ():
            # Moved at a rate of their own, and found by modes of tuning.
            setattr(part, "is_backbone", True)  # noqa: B010
        if not (planned or learns):
            self.backbone = Held(self.backbone)
            self.output = None if output is None else Held(output)

    @classmethod
    def tokens(cls, limit: int, options: Mapping[str, Any]) -> Tokens:
        path = str(options["path"])
        return Borrowed(path, causal.settings(path).vocab_size, limit)

    @classmethod
    def digest(cls, options: Mapping[str, Any]) -> str:
        if options.get("learns"):
            return ""
        return checkpoint.digest(str(options["path"]), weights=True)

    def logits(self, states: Tensor) -> Tensor:
        if self.output is None:
            return super().logits(states)
        layer: nn.Module = self.output.inner if isinstance(self.output, Held) else self.output
        assert isinstance(layer, nn.Linear)
        return F.linear(states, layer.weight, layer.bias).float()
