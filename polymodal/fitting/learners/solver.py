"""Predictors that are solved for as a whole."""

from __future__ import annotations

import math
from typing import Any

from threadpoolctl import threadpool_limits

from polymodal.base import deadline
from polymodal.fitting.learner import Learner, Trial
from polymodal.models.solved import Solved
from polymodal.train.kernels import Kernels


class Solver(Learner[Solved]):
    """Asks the predictor to fit itself, and breaks it off when its time is over."""

    def learn(self, predictor: Solved, trial: Trial) -> tuple[Kernels, dict[str, Any]]:
        lesson, job = trial.lesson, trial.job
        held_out = lesson.valid if len(lesson.valid) else None
        # One thread: solvers alternate between numpy's and torch's threads, and two pools that
        # spin for the same cores made small fits a hundred times slower.
        one = threadpool_limits(1), Kernels(threads=1).threads_set()
        with one[0], one[1], deadline.within(math.inf if trial.must else trial.left()):
            predictor.fit(
                lesson.collator.inputs,
                lesson.train,
                held_out,
                lesson.collator.targets,
                # The fit's own: members that share `memo` have to cut the rows alike.
                job.seed,
                job.units,
                job.memo,
            )
        return Kernels(), {}
