"""Prompt: vectors before the input embeddings are learned."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from polymodal.base.errors import UserError
from polymodal.tuning._held import Around, Held, drawn
from polymodal.tuning._parts import vocabulary


class Prompt(Held):
    """`length` vectors before a pretrained model's input embeddings learn, and what is new.

    They begin as embeddings of real words (of a picture: patches) of the training rows, which is
    what makes them learn at all in small models; and their rate goes by how large those are. A
    text is cut so that the model has room for both.

    Args:
        length: vectors.
        lr: their peak rate; None: a twentieth of the deviation of the numbers that they begin with.
        names: of which modalities; none: of all that are pretrained.

    Papers: "The Power of Scale for Parameter-Efficient Prompt Tuning" (Lester et al. 2021, arXiv
    2104.08691); "Visual Prompt Tuning" (Jia et al. 2022, arXiv 2203.12119).
    """

    def __init__(
        self, *, length: int = 16, lr: float | None = None, names: list[str] | None = None
    ) -> None:
        if length < 1 or (lr is not None and lr <= 0):
            raise UserError(
                "'tuning: prompt' cannot be so",
                expected="a length of 1 or more, an lr above 0",
                got=f"length={length}, lr={lr}",
            )
        self.length, self.lr, self.names = length, lr, names or []

    def around(self, model: Any) -> Around:
        if vocabulary(model) is None:
            return _BeforePatches(model, self.length)
        return _BeforeWords(model, self.length)


class _Prompted(Around):
    """A model whose sequences begin with vectors of its own, which leave it unseen."""

    def __init__(self, model: Any, length: int) -> None:
        super().__init__(model)
        self.length = length
        # An embedding's weights do not decay.
        self.vectors = nn.Embedding(length, model.config.hidden_size)
        self.noted: Tensor | None = None

    def begin(self) -> None:
        assert self.noted is not None
        with torch.no_grad():
            self.vectors.weight.copy_(drawn(self.noted, self.length))
        self.noted = None

    def before(self, values: Tensor) -> Tensor:
        """`(batch, n, width)` -> `(batch, length + n, width)`."""
        own = self.vectors.weight.to(values.dtype).expand(len(values), -1, -1)
        return torch.cat([own, values], 1)


class _BeforeWords(_Prompted):
    def __init__(self, model: Any, length: int) -> None:
        super().__init__(model, length)
        self.most = _positions(model) - length
        if self.most < 1:
            raise UserError(
                f"The pretrained model has no room for a prompt of {length}",
                expected=f"fewer than its {self.most + length} positions",
                do="lower tuning.length",
            )

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        embedded = self.model.get_input_embeddings()(input_ids[:, : self.most])
        mask = attention_mask[:, : self.most]
        if self.noting:
            self.noted = embedded[mask.bool()]
        mask = torch.cat([mask.new_ones(len(mask), self.length), mask], 1)
        found = self.model(inputs_embeds=self.before(embedded), attention_mask=mask)
        values = found.last_hidden_state[:, self.length :]
        # Beyond what the model has room for there is nothing.
        room = (0, 0, 0, input_ids.shape[1] - values.shape[1])
        found.last_hidden_state = nn.functional.pad(values, room)
        return found


class _BeforePatches(_Prompted):
    def __init__(self, model: Any, length: int) -> None:
        embeds = isinstance(getattr(model, "embeddings", None), nn.Module)
        if not embeds or not hasattr(model.config, "hidden_size"):
            raise UserError(
                f"A {type(model).__name__} has no sequence of embeddings to put a prompt before",
                expected="a Transformer of words or patches",
                do="use tuning: lora, encoder or full",
            )
        super().__init__(model, length)

    def forward(self, **inputs: Tensor) -> Any:
        def lengthened(_: nn.Module, __: Any, found: Tensor) -> Tensor:
            if self.noting:
                self.noted = found.flatten(0, 1)
            return self.before(found)

        handle = self.model.embeddings.register_forward_hook(lengthened)
        try:
            found = self.model(**inputs)
        finally:
            handle.remove()
        found.last_hidden_state = found.last_hidden_state[:, self.length :]
        return found


def _positions(model: Any) -> int:
    """How many positions a model of words has; those that count from a padding have fewer."""
    tables = [
        module
        for name, module in model.named_modules()
        if "position" in name and isinstance(module, nn.Embedding)
    ]
    lost = max((t.padding_idx + 1 for t in tables if t.padding_idx is not None), default=0)
    return int(getattr(model.config, "max_position_embeddings", None) or 2**31) - lost
