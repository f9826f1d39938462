"""What of a model learns, in figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from polymodal.models.model import Model
from polymodal.nn.held import Held

# AdamW keeps two numbers beside each that learns.
KEPT = 2


@dataclass(frozen=True)
class Learned:
    """What of a model learns.

    Attributes:
        trainable: numbers that learn.
        frozen: numbers that do not, pretrained models whose outputs are kept included.
        optimizer_bytes: memory of the optimiser's state.
        still: parts of the model that are frozen, or in which something is.
        tuning: the mode that chose, as people call it; "" if none was asked.
    """

    trainable: int
    frozen: int
    optimizer_bytes: int
    still: list[str]
    tuning: str = ""

    @property
    def share(self) -> float:
        """Of the numbers, 0 to 1."""
        return self.trainable / max(1, self.trainable + self.frozen)

    def sentence(self) -> str:
        """For people."""
        held = f"; frozen: {', '.join(self.still)}" if self.still else "; nothing is frozen"
        mode = f"{self.tuning}: " if self.tuning else ""
        return (
            f"{mode}{self.trainable:,} of {self.trainable + self.frozen:,} numbers learn "
            f"({100 * self.share:.2f} %), optimiser state {self.optimizer_bytes / 2**20:.1f} MiB"
            f"{held}"
        )


def learned(model: Model, kept: Mapping[str, int] | None = None, tuning: str = "") -> Learned:
    """What of a model learns, by its parameters' `requires_grad`.

    Args:
        kept: modality -> numbers of a pretrained model of which there are only outputs.
        tuning: what people call the mode that chose.
    """
    free = [p for p in model.parameters() if p.requires_grad]
    parts: dict[str, nn.Module] = {
        **dict(zip(model.names, model.encoders, strict=True)),
        "fusion": model.fusion,
        **dict(zip(model.targets, model.heads, strict=True)),
    }
    still = []
    for name, part in parts.items():
        held = _frozen(part)
        whole = held + sum(p.numel() for p in part.parameters() if p.requires_grad)
        if held:
            still.append(name if held == whole else f"{held:,} numbers of {name}")
    outside = kept or {}
    still += [f"the pretrained model of {name}" for name in outside]
    return Learned(
        sum(p.numel() for p in free),
        _frozen(model) + sum(outside.values()),
        sum(KEPT * p.numel() * p.element_size() for p in free),
        still,
        tuning,
    )


def _frozen(part: nn.Module) -> int:
    """Numbers that do not learn: its own, and those of what it only holds (`nn.held`)."""
    own = sum(p.numel() for p in part.parameters() if not p.requires_grad)
    return own + sum(module.held for module in part.modules() if isinstance(module, Held))
