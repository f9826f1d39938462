"""How many updates a training makes: by its epochs, and by the time that it is allowed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from polymodal.base.deadline import Late

# Steps are cut or added when they miss their time by this factor, once a tenth of it has shown so.
SLACK = 1.15


@dataclass(frozen=True)
class Allowance:
    """What a training may take.

    Attributes:
        steps: how many updates, as planned.
        seconds: time for them; fewer are made if they turn out slower than planned, and more, up
            to `most`, if faster.
        most: updates at most; no less than `steps`.
        least: updates without which the model is worth nothing; no more than `steps`.
        must: make these even if the time is too short for them.
    """

    steps: int
    seconds: float = math.inf
    most: int = 0
    least: int = 0
    must: bool = True

    def paced(self, made: int, spent: float, step: int, steps: int) -> int:
        """The steps that the time allows, where they are not as fast as was measured.

        Args:
            made: updates made in this time.
            spent: seconds for them.
            step: updates made in all.
            steps: how many were to be made in all until now.

        Raises:
            Late: the time is too short for `least` updates, which need not be made.
        """
        if spent <= self.seconds / 10 or math.isinf(self.seconds):
            return steps
        least, left = min(self.least, self.steps), steps - step
        fitting = int(made * self.seconds / spent) - made
        if left + made > SLACK * (fitting + made):
            reached = step + max(0, fitting)
            if reached < least and not self.must:
                raise too_few(reached, least)
            return max(reached, least)
        if fitting + made > SLACK * (left + made):
            return max(steps, min(max(self.most, self.steps), step + fitting))
        return steps


def too_few(steps: int, least: int) -> Late:
    """What to raise where a model would make too few steps."""
    return Late(
        f"its share of the time is enough for {steps} steps, fewer than the {least} that it needs"
    )
