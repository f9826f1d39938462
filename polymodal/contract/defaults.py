"""The task of a target column for which nobody names one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from polymodal.base import lookup
from polymodal.contract.task import Task


def default(
    kind: str, inputs: Sequence[str] = (), cells: Callable[[], Sequence[Any]] = tuple
) -> str | None:
    """The task that a target column of a kind has where nothing says another, if there is one; told
    from columns of the kinds `inputs` and, where that leaves a doubt, from its `cells`."""
    known = {name: lookup.find("tasks", name) for name in lookup.names("tasks")}
    alone = (n for n, cls in known.items() if cls.alone == (*inputs, kind) and cls.suits(cells()))
    return next(alone, next((name for name, cls in known.items() if cls.kind == kind), None))


def of_kind(kind: str) -> type[Task] | None:
    """The same as a class."""
    name = default(kind)
    return None if name is None else lookup.find("tasks", name)
