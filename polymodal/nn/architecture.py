"""A Hugging Face architecture of random weights, to be trained from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from polymodal.base.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# What kernels are called here, and there.
KERNELS = {"plain": "eager", "sdpa": "sdpa"}


class Architecture(nn.Module):
    """A model built from its configuration, called for its last hidden state.

    Args:
        model: of `transformers`, just built.

    Attributes:
        attention: the kernel, "sdpa" or "plain", which `train.kernels` measures and sets; None of
            a model that has no attention.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    @property
    def attention(self) -> str | None:
        if not self.model._supports_sdpa:
            return None
        return "sdpa" if self.model.config._attn_implementation == KERNELS["sdpa"] else "plain"

    @attention.setter
    def attention(self, kernel: str) -> None:
        self.model.set_attn_implementation(KERNELS[kernel])

    def forward(self, **inputs: Tensor) -> Tensor:
        """The model's inputs to `(batch, positions, width)`, or a map `(batch, width, h, w)`."""
        hidden: Tensor = self.model(**inputs).last_hidden_state
        return hidden


def check_sizes(hidden: int, heads: int, depth: int) -> None:
    """UserError unless a Transformer of these sizes can be built."""
    for name, value in (("hidden", hidden), ("heads", heads), ("depth", depth)):
        if value < 1:
            raise UserError(f"{name}={value} is too small", expected="1 or more")
    if hidden % heads:
        raise UserError(
            f"{heads} attention heads do not divide the width {hidden}",
            expected="heads that divide hidden",
            got=f"heads={heads}, hidden={hidden}",
            do="set heads to 1, 2, 4 or 8, or change hidden",
        )


def check_groups(hidden: int, heads: int, groups: int) -> None:
    """UserError unless heads of this width can have grouped keys and rotary positions."""
    if groups < 1 or heads % groups:
        raise UserError(
            f"{groups} groups of keys and values do not divide {heads} attention heads",
            expected="groups that divide heads",
            got=f"groups={groups}, heads={heads}",
            do="set groups to 1, or to as many as heads",
        )
    if hidden // heads % 2:
        raise UserError(
            "Rotary positions turn pairs of numbers, and heads are of an odd width",
            expected="hidden / heads is even",
            got=f"hidden={hidden}, heads={heads}",
            do="change hidden or heads",
        )
