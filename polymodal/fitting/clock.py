"""What time each member of a fit may take."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

from polymodal.contract.recipe import Member, Recipe
from polymodal.fitting import plan
from polymodal.fitting.learner import Pace

# What of the budget is left for reading back, measuring and saving after the last member.
RESERVE = 0.06
# What an expert may take of the time that is left, on several modalities and on one; most need far
# less, and in a short time nothing reaches as far.
EXPERT_SHARE, ALONE_SHARE = 0.5, 0.25
# What the first of them may take: the best that little time can give.
FIRST_SHARE = 0.7
# Of that an expert which is one more try may take this part: else networks would have no time.
EXTRA_PART = 0.2
# So much of the budget is the networks' before any such.
SPARED = 0.4
# A fusion has so many times a rival's steps: that it learns what no modality shows matters more
# than an answer whether it pays, which is "undecided" where the time is short.
FUSED_PART = 4.0
# So many seconds over the budget are worth giving to rivals' experts that need no more than one.
GRACE = 5.0
# What part of the budget may be spent over it, for the one model that there has to be.
OVERTIME = 0.1


class Clock:
    """Time of the budget, and who may have it.

    Args:
        recipe: with the budget.
        members: all that are to be trained.
        start: when the fit began, by `time.perf_counter`.
    """

    def __init__(self, recipe: Recipe, members: Sequence[Member], start: float) -> None:
        self.recipe, self.members, self.start = recipe, members, start

    @property
    def limited(self) -> bool:
        """Whether there is a budget."""
        return self.recipe.budget is not None

    @property
    def divides(self) -> bool:
        """Whether the plan's networks share a budget."""
        return self.limited and not self.recipe.models

    def left(self) -> float:
        """Seconds of the budget for all that is still to be trained."""
        if self.recipe.budget is None:
            return math.inf
        return self.recipe.budget * (1 - RESERVE) - (time.perf_counter() - self.start)

    def overtime(self) -> float:
        """Seconds for the one model that there has to be, where none was trained in time."""
        over = OVERTIME * (self.recipe.budget or math.inf) + GRACE
        return max(over, over + self.left())

    def expert(self, member: Member) -> float:
        """Seconds for a member that takes what it needs."""
        several = len(member.modalities) > 1 or all(len(m.modalities) < 2 for m in self.members)
        left = self.left()
        if self.is_extra(member):
            left *= EXTRA_PART * (left >= SPARED * (self.recipe.budget or 0))
        if several or left == 0:
            return left * (FIRST_SHARE if member is self.members[0] else EXPERT_SHARE)
        # What the one of all modalities has solved for is most of what those of one need.
        return max(left * ALONE_SHARE, min(1.0, GRACE + left))

    def weights(self, members: Sequence[Member], paces: Mapping[str, Pace]) -> list[float]:
        """How members that learn in steps share time: a fusion has several times a rival's steps.

        Fusions that are to be compared have the same time each, whatever their steps take, and
        rivals as many steps as the fastest of them.

        Args:
            paces: by name; one that lacks takes no time.
        """
        own = [paces[m.name].seconds if m.name in paces else 0.0 for m in members]
        fused = [s for m, s in zip(members, own, strict=True) if len(m.modalities) > 1 and s > 0]
        if not self.recipe.compare or not fused:
            alone = any(len(m.modalities) == 1 for m in members)
            return [
                s * FUSED_PART if alone and len(m.modalities) > 1 else s
                for m, s in zip(members, own, strict=True)
            ]
        most, more = max(fused), max(fused) / min(fused)
        return [
            min(s, most) * more if len(m.modalities) == 1 else most * (s > 0)
            for m, s in zip(members, own, strict=True)
        ]

    def is_extra(self, member: Member) -> bool:
        """Whether an expert is one of the plan's that are tried beside those that it always has."""
        return not self.recipe.models and plan.is_extra(member)

    def is_further(self, member: Member) -> bool:
        """Whether a member is one of the plan's networks that only left-over time goes to."""
        return not self.recipe.models and plan.is_further(member, self.members)
