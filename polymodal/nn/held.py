"""Held: a module that is computed and moves along, but whose numbers are somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


def settle(owner: nn.Module, names: Iterable[str], learns: bool) -> None:
    """Let pretrained parts of a module learn, or hold them.

    Args:
        names: of the attributes that they are; None is left out. The first is what modes of tuning
            reach.
    """
    for name in names:
        part = getattr(owner, name)
        if part is None:
            continue
        if learns:
            # Moved at a rate of its own, and found by modes of tuning.
            part.is_backbone = True
        else:
            setattr(owner, name, Held(part))
