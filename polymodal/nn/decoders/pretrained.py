"""A causal language model that others trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from polymodal.base.errors import UserError
from polymodal.nn import causal, checkpoint
from polymodal.nn.borrowed import Borrowed
from polymodal.nn.decoder import Decoder
from polymodal.nn.held import settle
from polymodal.nn.tokens import Tokens


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
        if not planned:
            settle(self, ("backbone", "output"), learns)

    @classmethod
    def tokens(cls, limit: int, options: Mapping[str, Any]) -> Tokens:
        path = str(options["path"])
        config = causal.settings(path)
        if getattr(config, "vocab_size", None) is None:
            raise UserError(
                f"'{path}' is no plain language model",
                expected="a model of texts alone, such as those of Llama, Qwen or GPT-2",
                got=f"a model of the type {config.model_type}",
                do="name one that reads pictures too by `decoder: {name: vision_language}`",
            )
        return Borrowed(path, config.vocab_size, limit)

    @classmethod
    def digest(cls, options: Mapping[str, Any]) -> str:
        if options.get("learns"):
            return ""
        return checkpoint.digest(str(options["path"]), weights=True)
