"""Prefix: keys and values in every attention layer are learned."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from polymodal.base.errors import UserError
from polymodal.tuning._held import Around, Held, drawn

# What transformers calls attention that reads prefixes.
ATTENTION = "polymodal_prefix"


class Prefix(Held):
    """`length` keys and values before those of every attention layer learn, and what is new.

    They begin as keys and values that the frozen model itself has for real words (of a picture:
    patches) of the training rows, so that its attention reads something it knows.

    Args:
        length: keys and values a layer.
        lr: their peak rate; None: a twentieth of the deviation of the numbers that they begin with.
        names: of which modalities; none: of all that are pretrained.

    Papers: "Prefix-Tuning" (Li, Liang 2021, arXiv 2101.00190); "P-Tuning v2" (Liu et al. 2021,
    arXiv 2110.07602).
    """

    def __init__(
        self, *, length: int = 16, lr: float | None = None, names: list[str] | None = None
    ) -> None:
        if length < 1 or (lr is not None and lr <= 0):
            raise UserError(
                "'tuning: prefix' cannot be so",
                expected="a length of 1 or more, an lr above 0",
                got=f"length={length}, lr={lr}",
            )
        self.length, self.lr, self.names = length, lr, names or []

    def around(self, model: Any) -> Around:
        return _Prefixed(model, self.length)


class _Prefixed(Around):
    """A model whose attention layers, in the order of their calls, read vectors of its own too."""

    def __init__(self, model: Any, length: int) -> None:
        super().__init__(model)
        config, self.length = model.config, length
        layers, heads = _told(config, "num_hidden_layers"), _told(config, "num_attention_heads")
        self.heads = getattr(config, "num_key_value_heads", None) or heads
        size = getattr(config, "head_dim", None) or config.hidden_size // heads
        self.own_keys = nn.ModuleList(
            nn.Embedding(length, self.heads * size) for _ in range(layers)
        )
        self.own_values = nn.ModuleList(
            nn.Embedding(length, self.heads * size) for _ in range(layers)
        )
        self.noted: list[tuple[Tensor, Tensor]] = []
        _register()
        model.set_attn_implementation(ATTENTION)

    def forward(self, **inputs: Tensor) -> Any:
        with _reading(self) as calls:
            found = self.model(**inputs)
        if next(calls, None) is not None:
            raise RuntimeError("not all of its layers attend through transformers' interface")
        return found

    def begin(self) -> None:
        noted = zip(self.own_keys, self.own_values, self.noted, strict=True)
        for own_keys, own_values, (keys, values) in noted:
            own_keys.load_state_dict({"weight": keys})
            own_values.load_state_dict({"weight": values})
        self.noted = []

    def note(self, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
        """Remember one layer's keys and values, `(batch, heads, n, size)`, at real positions."""
        batch, _, length, _ = key.shape
        real = torch.ones(batch, length, dtype=torch.bool, device=key.device)
        if mask is not None:
            # The last query reads whatever any query may.
            last = mask[:, 0, -1, -length:]
            real = (last if last.dtype == torch.bool else last == 0).expand(batch, -1)
        places = drawn(real.nonzero(), self.length)
        at = places[:, 0], slice(None), places[:, 1]
        self.noted.append((key[at].flatten(1), value[at].flatten(1)))

    def lengthened(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """A layer's keys and values with its own before them."""
        return self._before(self.own_keys[layer], key), self._before(self.own_values[layer], value)

    def _before(self, own: nn.Module, given: Tensor) -> Tensor:
        assert isinstance(own, nn.Embedding)
        held = own.weight.to(given.dtype).view(self.length, self.heads, -1).transpose(0, 1)
        return torch.cat([held.expand(len(given), -1, -1, -1), given], 2)


# The model that is computed in this thread, and which of its layers comes next.
_current: ContextVar[tuple[_Prefixed, Iterator[int]]] = ContextVar("prefixed")


@contextmanager
def _reading(model: _Prefixed) -> Iterator[Iterator[int]]:
    calls = iter(range(len(model.own_keys)))
    token = _current.set((model, calls))
    try:
        yield calls
    finally:
        _current.reset(token)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **how: Any,
) -> Any:
    """Attention as transformers calls it, with the current model's prefix."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    model, calls = _current.get()
    layer = next(calls, None)
    if layer is None:
        raise RuntimeError("it attends more often than it has layers")
    if model.noting:
        model.note(key, value, attention_mask)
    else:
        key, value = model.lengthened(layer, key, value)
        if attention_mask is not None:
            free = 0.0 if attention_mask.dtype.is_floating_point else True
            attention_mask = nn.functional.pad(attention_mask, (model.length, 0), value=free)
    # What may be read stands in the mask.
    how["is_causal"] = False
    return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, attention_mask, **how)


def _register() -> None:
    """Make the attention known to transformers, with masks that are always spelled out."""
    from transformers import AttentionInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

    AttentionInterface.register(ATTENTION, _attend)
    AttentionMaskInterface.register(ATTENTION, ALL_MASK_ATTENTION_FUNCTIONS["eager"])


def _told(config: Any, setting: str) -> int:
    found = getattr(config, setting, None)
    if not isinstance(found, int):
        raise UserError(
            f"A {config.model_type} model has no layers that a prefix could be put into",
            expected=f"a Transformer, whose configuration tells {setting}",
            do="use tuning: lora, encoder or full",
        )
    return found
