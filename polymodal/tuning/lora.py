"""LoRA: products of two thin matrices are learned beside a pretrained model's weights."""

from __future__ import annotations

import importlib.util
from typing import Any, Literal

from torch import nn

from polymodal.base.errors import MissingExtra, UserError
from polymodal.contract.batch import Batch
from polymodal.contract.predictor import Predictor
from polymodal.tuning._parts import Chosen, as_model, blocks, feed_forward, freeze, linear


class Lora(Chosen):
    """Low-rank adaptation: W + (alpha / rank) B A, with B = 0 at the start; what is new learns too.

    Each layer of `inputs x outputs` has rank * (inputs + outputs) numbers more, in training alone:
    afterwards the products are added to the weights. The library is peft.

    Args:
        rank: of the products.
        alpha: their strength; None: twice the rank.
        layers: "all" linear layers of the blocks, those of their "attention", or "feed_forward".
        stabilised: alpha / sqrt(rank) instead, so that higher ranks learn as fast (rsLoRA).
        dora: lengths of the weights' columns learn apart from their directions (DoRA).
        dropout: of the products' inputs.
        lr: peak rate; about ten times that of full tuning.
        names: of which modalities; none: of all that are pretrained.

    Papers: "LoRA" (Hu et al. 2021, arXiv 2106.09685); "A Rank Stabilization Scaling Factor for
    Fine-Tuning with LoRA" (Kalajdzievski 2023, arXiv 2312.03732); "DoRA" (Liu et al. 2024, arXiv
    2402.09353).
    """

    def __init__(
        self,
        *,
        rank: int = 8,
        alpha: float | None = None,
        layers: Literal["all", "attention", "feed_forward"] = "all",
        stabilised: bool = False,
        dora: bool = False,
        dropout: float = 0.0,
        lr: float = 1e-3,
        names: list[str] | None = None,
    ) -> None:
        strength = 2.0 * rank if alpha is None else alpha
        if rank < 1 or strength <= 0 or not 0 <= dropout < 1 or lr <= 0:
            raise UserError(
                "'tuning: lora' cannot be so",
                expected="a rank of 1 or more, alpha and lr above 0, a dropout from 0 to below 1",
                got=f"rank={rank}, alpha={strength:g}, lr={lr:g}, dropout={dropout:g}",
            )
        self.rank, self.alpha, self.layers = rank, strength, layers
        self.stabilised, self.dora = stabilised, dora
        self.dropout, self.lr, self.names = dropout, lr, names or []

    def check(self) -> None:
        if importlib.util.find_spec("peft") is None:
            raise MissingExtra("peft", "peft", "tuning: lora")

    def choose(self, model: Predictor, batch: Batch) -> None:
        own = as_model(model)
        chosen = {name: self._wanted(name, stem) for name, stem in self.stems(own).items()}
        learns = {id(p) for p in own.parameters() if p.requires_grad}
        added: set[int] = set()
        for name, stem in freeze(own).items():
            if name in chosen:
                added |= self._adapt(stem, chosen[name])
        for name, p in own.named_parameters():
            p.requires_grad_(id(p) in learns or id(p) in added)
            if id(p) in added:
                own.rates[name] = self.lr

    def settle(self, model: Predictor) -> None:
        from peft.tuners.tuners_utils import BaseTunerLayer

        for name, module in list(model.named_modules()):
            if isinstance(module, BaseTunerLayer):
                module.merge()
                _set(model, name, module.get_base_layer())

    def _wanted(self, name: str, stem: nn.Module) -> list[str]:
        """Names of the layers that are adapted, as the stem calls them."""
        prefixes = {id(module): where for where, module in stem.named_modules()}
        found = []
        for block in blocks(stem):
            inner = [n for n, *_ in linear(block)]
            wide = set(feed_forward(block))
            chosen = {
                "all": inner,
                "attention": [n for n in inner if n not in wide],
                "feed_forward": sorted(wide),
            }[self.layers]
            found += [f"{prefixes[id(block)]}.{n}".removesuffix(".") for n in chosen]
        if not found:
            raise UserError(
                f"The pretrained model of '{name}' has no layers for tuning: lora",
                expected=f"linear layers in its blocks ({self.layers})",
                got=type(stem).__name__,
                do="use tuning: full or encoder",
            )
        return found

    def _adapt(self, stem: nn.Module, layers: list[str]) -> set[int]:
        """Put adapters into the stem's layers; the parameters that they add."""
        from peft import LoraConfig, inject_adapter_in_model

        before = {id(p) for p in stem.parameters()}
        # Layers of GPT-2's kind hold their weights the other way round, which peft wants told.
        turned = {n for n, layer, _ in linear(stem) if not isinstance(layer, nn.Linear)}
        options: dict[str, Any] = {
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "use_rslora": self.stabilised,
            "use_dora": self.dora,
            "fan_in_fan_out": bool(turned & set(layers)),
        }
        inject_adapter_in_model(LoraConfig(target_modules=layers, **options), stem)
        return {id(p) for p in stem.parameters()} - before


def _set(model: nn.Module, name: str, module: nn.Module) -> None:
    owner, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(owner), attribute, module)
