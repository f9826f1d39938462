"""A time limit that long computations ask about as they go."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_END: ContextVar[float] = ContextVar("end", default=math.inf)


class Late(Exception):
    """The time is over; what was being computed is not finished, and the message says why."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give what runs inside `seconds`; an earlier limit around it still holds."""
    token = _END.set(min(_END.get(), time.perf_counter() + seconds))
    try:
        yield
    finally:
        _END.reset(token)


def left() -> float:
    """Seconds until the time is over; infinite without a limit."""
    return _END.get() - time.perf_counter()


def refuse(seconds: float) -> None:
    """Raise Late if what is to come takes longer than the time that is left."""
    if seconds > left():
        raise Late("it would not be done in its share of the time")


def check() -> None:
    """Raise Late if the time is over."""
    if left() < 0:
        raise Late("it was not done in its share of the time")
