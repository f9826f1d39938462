"""Mixed: a learning rate for each named part."""

from __future__ import annotations

from torch import nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch
from polymodal.contract.predictor import Predictor
from polymodal.contract.tuning import Tuning
from polymodal.models.model import Model
from polymodal.tuning._parts import as_model, blocks, check_names, stems

# What a modality's pretrained model is called, beside the whole of its encoder.
BACKBONE = ".backbone"


class Mixed(Tuning):
    """A peak learning rate for each named part; 0 freezes it.

    Parts are modalities (the whole encoder), `NAME.backbone` (its pretrained model alone),
    `fusion`, and targets (their heads); the narrower name counts. What is not named keeps
    `training.lr`, or `training.pretrained_lr` in a backbone.

    Args:
        rates: part -> rate.
        decay: of pretrained models, the rate of each block is that of the block above it times
            this; what lies below the blocks counts as one more. 1 for none.

    Paper, of `decay`: "ELECTRA" (Clark et al. 2020, arXiv 2003.10555), appendix A.
    """

    def __init__(self, *, rates: dict[str, float], decay: float = 1.0) -> None:
        wrong = [f"{name}: {rate:g}" for name, rate in rates.items() if not 0 <= rate < 10]
        if wrong or not 0 < decay <= 1:
            raise UserError(
                "'tuning: mixed' has a rate that is none",
                expected="rates from 0 on, such as 0.0005, and a decay above 0, 1 at most",
                got=", ".join(wrong) or f"decay: {decay:g}",
            )
        self.rates, self.decay = rates, decay

    def reaches(self, modality: str) -> bool:
        whole = self.rates.get(modality, 1.0)
        return self.rates.get(modality + BACKBONE, whole) > 0

    def choose(self, model: Predictor, batch: Batch) -> None:
        own = as_model(model)
        inner, names = stems(own), {id(p): name for name, p in own.named_parameters()}
        parts: dict[str, nn.Module] = {
            **dict(zip(own.names, own.encoders, strict=True)),
            "fusion": own.fusion,
            **dict(zip(own.targets, own.heads, strict=True)),
            **{name + BACKBONE: stem for name, stem in inner.items()},
        }
        check_names(self.rates, parts, "mixed")
        own.requires_grad_(True)
        # Backbones last: they are parts of encoders.
        for part, module in parts.items():
            if part in self.rates:
                rate = self.rates[part]
                module.requires_grad_(rate > 0)
                own.rates |= {names[id(p)]: rate for p in module.parameters()}
        if not any(p.requires_grad for p in own.parameters()):
            raise UserError(
                "'tuning: mixed' leaves nothing to learn",
                expected="a part with a rate above 0",
                got=", ".join(f"{name}: 0" for name in self.rates),
                do=f"give one a rate: {', '.join(parts)}",
            )
        for stem in inner.values() if self.decay < 1 else ():
            _decay(own, stem, names, self.decay)
        own.hold()


def _decay(model: Model, stem: nn.Module, names: dict[int, str], decay: float) -> None:
    """Lower the rates of a pretrained model's blocks, the more the deeper they lie."""
    layers = blocks(stem)
    depth = {id(p): len(layers) - 1 - i for i, one in enumerate(layers) for p in one.parameters()}
    above = True
    # Bottom first, as a model lists what it is made of: above the blocks there is nothing to lower.
    for p in reversed(list(stem.parameters())):
        above = above and id(p) not in depth
        lower = 0 if above else depth.get(id(p), len(layers))
        model.factors[names[id(p)]] = decay**lower
