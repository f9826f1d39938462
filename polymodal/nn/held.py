"""Held: a module that is computed and moves along, but whose numbers are somebody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


class Held(nn.Module):
    """A frozen module: its numbers neither learn nor are saved, and copies share them.

    Args:
        inner: it stays in evaluation mode.

    Attributes:
        held: how many numbers it has.
    """

    inner: nn.Module

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        # Not registered: what is asked of its owner's parameters does not find it.
        self.__dict__["inner"] = inner.requires_grad_(False).eval()
        self.held = sum(parameter.numel() for parameter in inner.parameters())

    def forward(self, *args: Any, **more: Any) -> Any:
        return self.inner(*args, **more)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Held:
        self.inner._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Held:
        return type(self)(self.inner)
