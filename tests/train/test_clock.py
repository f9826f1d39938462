"""Steps where time is short or long."""

from __future__ import annotations

import pytest

from polymodal.base.deadline import Late
from polymodal.train.clock import Allowance


@pytest.mark.parametrize(("pace", "steps"), [(1.0, 100), (2.0, 50), (0.5, 150), (0.8, 125)])
def test_steps_follow_the_time_that_they_take(pace: float, steps: int) -> None:
    """100 steps in 100 s are planned, at most 150; one takes `pace` seconds."""
    allowance = Allowance(100, 100.0, most=150)
    step, planned = 0, 100
    while step < planned:
        step += 1
        planned = allowance.paced(step, pace * step, step, planned)
    assert planned == pytest.approx(steps, rel=0.02)


def test_too_few_steps_are_none_unless_they_must_be_made() -> None:
    """20 steps in 100 s are the least of 100; one takes 20 s."""
    with pytest.raises(Late, match="enough for 5 steps, fewer than the 20 that it needs"):
        Allowance(100, 100.0, 100, 20, must=False).paced(1, 20.0, 1, 100)
    assert Allowance(100, 100.0, 100, 20).paced(1, 20.0, 1, 100) == 20


def test_a_resumed_training_is_paced_by_what_it_made_itself() -> None:
    """10 of its steps took 20 of 100 s, after 40 that another process made: 40 more fit."""
    assert Allowance(200, 100.0).paced(10, 20.0, 50, 200) == 90
