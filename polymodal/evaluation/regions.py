"""Whether regions that are to hold the truth with a stated probability do so, and their size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from polymodal.contract.task import Answers
from polymodal.evaluation.part import Part
from polymodal.metrics._weighted import Array
from polymodal.metrics.conformal import coverage
from polymodal.metrics.statistics import interval
from polymodal.report.words import span, written
from polymodal.run.run import Run

# The probability that is tried.
LEVEL = 0.9


def describe(run: Run, part: Part, fused: Answers, present: Mapping[str, Array]) -> dict[str, Any]:
    """One target's "level", "coverage" with its interval and mean "size"; {} without regions.

    Args:
        fused: the fused model's answers to all rows.
        present: modality -> which of all rows have it.
    """
    if part.name not in run.pipeline.held_out:
        return {}
    mine = part.of(fused)
    within = run.pipeline.regions(part.name, fused, LEVEL, present)[part.rows]
    scores = part.task.strangeness(mine, part.targets)
    assert scores is not None
    # As precise as the scores that the limit is one of.
    inside = scores.astype(np.float32) <= within
    return {
        "level": LEVEL,
        "coverage": asdict(interval(coverage(inside), len(inside), part.clusters)),
        "size": float(part.task.extent(mine, within).mean()),
    }


def text(found: Mapping[str, Any]) -> str:
    """In a line for a terminal."""
    share, size = found["coverage"], written(found["size"])
    return (
        f"  {written(share['value'])} {span(share)} of the true values lie in regions for "
        f"a probability of {found['level']:g} (`predict` gives them), whose mean size is {size}"
    )
