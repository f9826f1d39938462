"""Networks that read the same modalities, with and without models trained elsewhere.

Which of them finds more is not known beforehand, and half of the time each may be too little for
both. What their modalities tell one by one, read either way, is known by then: the network of the
better reading comes first, and the other has what is left over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from polymodal.contract.recipe import Member
from polymodal.contract.task import Answers
from polymodal.fitting.job import Job
from polymodal.fitting.learner import Pace
from polymodal.prepared.targets import Known

# A step that takes this part of another's is cheap: both networks have their time.
CHEAP = 0.25
# One reading tells more where its loss is lower by this part of a constant answer's.
CLEAR = 0.02


def behind(
    networks: Sequence[Member],
    members: Sequence[Member],
    job: Job,
    scores: Mapping[str, Mapping[str, Answers]],
    rows: np.ndarray[Any, Any],
    paces: Mapping[str, Pace],
) -> list[Member]:
    """Of networks of several modalities those that wait until their twins had all their time.

    Args:
        networks: in the order in which they come.
        members: all of the fit's.
        scores: model -> target -> answers to `rows`, of what was trained before.
        rows: for validation.
        paces: of networks, by name; one that lacks is not trained.
    """
    told: dict[tuple[str, str | None], float] = {}
    for member in members:
        if member.name in scores and len(member.modalities) == 1:
            ((modality, how),) = member.modalities.items()
            key = modality, how.pretrained
            told[key] = min(told.get(key, 1.0), _loss(job, scores[member.name], rows))
    waiting: list[Member] = []
    for one, other in combinations((m for m in networks if m.name in paces), 2):
        costs = sorted(paces[m.name].seconds for m in (one, other))
        if one.modalities.keys() == other.modalities.keys() and costs[0] >= CHEAP * costs[1]:
            gain = 0.0
            for modality, how in one.modalities.items():
                gain += told.get((modality, how.pretrained), 1.0)
                gain -= told.get((modality, other.modalities[modality].pretrained), 1.0)
            waiting.append(one if gain > CLEAR else other)
    return waiting


def _loss(job: Job, answers: Mapping[str, Answers], rows: np.ndarray[Any, Any]) -> float:
    """A model's loss as a part of a constant answer's, mean over targets."""
    found = []
    for target, given in answers.items():
        task, known = job.tasks[target], Known(job.targets[target], rows)
        own = known.of(given)
        most = abs(task.criterion(task.constant(own), known.targets))
        found.append(task.criterion(own, known.targets) / most if most > 0 else 1.0)
    return float(np.mean(found))
