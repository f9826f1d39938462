"""How strange the truth may be to answers, so that it is no stranger with a stated probability."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.metrics.conformal import Strangeness
from polymodal.run import patterns
from polymodal.run.standing import Present, Standing


def limits(
    target: str,
    count: int,
    level: float,
    strange: Mapping[frozenset[str] | None, Strangeness] | None,
    standing: Standing,
    present: Present | None,
) -> np.ndarray[Any, Any]:
    """Of each of `count` answers to a target: `(rows,)`.

    A row that lacks modalities goes by validation rows that lacked them too. Infinite where these
    were too few to say it.

    Args:
        level: the probability.
        strange: the target's part of `Pipeline.held_out`; None: it has none.
        present: what the rows have, as `Pipeline.present` says it; None: all.

    Raises:
        UserError: nothing is known of the target, or the level is no probability.
    """
    if not 0 < level < 1:
        raise UserError(
            f"{level:g} is no probability to hold the truth with",
            expected="a number between 0 and 1, such as 0.9 (`interval`)",
        )
    if strange is None:
        raise UserError(
            f"There is no interval of '{target}'",
            expected="a target that is a number or one of some classes",
            got=type(standing.tasks[target]).__name__.lower(),
            do="leave `interval` out",
        )
    own = {team: one.within(level) for team, one in strange.items()}
    found = np.full(count, own.get(None, math.inf))
    if present is not None:
        for here, rows in patterns.grouped(present):
            found[rows] = own.get(standing.team(target, here), math.inf)
    return found
