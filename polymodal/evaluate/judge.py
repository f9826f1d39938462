"""The verdict on a run: its fused model against the best single modality, and what each costs."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from polymodal.contract import Metric, Objective
from polymodal.data.collate import Collator
from polymodal.data.prepare import Prepared
from polymodal.evaluate._weighted import Array
from polymodal.evaluate.statistics import Clusters, mcnemar
from polymodal.evaluate.verdict import Test, verdict_of_metric

if TYPE_CHECKING:
    from polymodal.run import Run

Scores = Sequence[Array]

# Costs are timed on this many rows, in batches like prediction's and one by one.
TIMED, ALONE = 256, 20


def best_single(run: Run, target: str) -> str | None:
    """The modality whose own model validated best; None if there is only one modality."""
    rivals = {
        line["name"]: line["value"] if line["greater_is_better"] else -line["value"]
        for line in run.leaderboard
        if line["target"] == target and line["role"] == "rival"
        # Not every metric is defined on every validation table.
        if line["value"] is not None and not math.isnan(line["value"])
    }
    return max(rivals, key=rivals.__getitem__) if rivals else None


def verdict(
    objective: Objective,
    fused: Scores,
    single: Scores,
    name: str,
    targets: Scores,
    clusters: Clusters | None,
) -> dict[str, Any]:
    """Whether the fused model's gain pays, on rows whose target is known.

    Args:
        fused, single: scores of the same rows.
        name: the single modality.
        targets: encoded.
    """
    both: Metric = objective.metrics([*fused, *single], [*targets, *targets])[objective.primary]
    test = None
    if clusters is None and objective.primary == "accuracy":
        truth = np.stack(list(targets))
        right = [np.stack(list(one)).argmax(1) == truth for one in (fused, single)]
        wins, losses = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
        test = Test("McNemar's mid-p", mcnemar(wins, losses).mid_p)
    found = verdict_of_metric(both, len(targets), name, clusters=clusters, test=test)
    rows = len(targets)
    halves = np.repeat([[1.0, 0.0], [0.0, 1.0]], rows, axis=1)
    values = both.statistic(halves)
    described = asdict(found)
    described["test"], described["p"] = found.test.name, found.test.p
    return {
        "metric": objective.primary,
        "fused": float(values[0]),
        "single": float(values[1]),
        **described,
    }


def cost(run: Run, prepared: Sequence[Prepared], who: str, target: str) -> dict[str, float]:
    """Parameters, rows a second in batches, and milliseconds for one row, of a combination.

    Reading and decoding of the cells is not in it: it is the same work for every model.
    """
    members = [run.members[name] for name in run.weights[who][target]]
    total = len(prepared[0])
    rows = np.arange(min(TIMED, total))
    collators = [Collator({m: prepared[i] for m, i in t.forms.items()}, {}) for t in members]

    def seconds(rows: Array) -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            for member, collator in zip(members, collators, strict=True):
                member.module(collator(rows).inputs)
        return time.perf_counter() - start

    for member in members:
        member.module.cpu().eval()
    seconds(rows)
    batch = min(seconds(rows) for _ in range(3))
    single = float(np.median([seconds(rows[i % len(rows)][None]) for i in range(ALONE)]))
    return {
        "parameters": sum(_size(member.module) for member in members),
        "rows_per_second": len(rows) / batch,
        "latency_ms": 1e3 * single,
    }


def _size(module: torch.nn.Module) -> int:
    """Numbers that the module holds: parameters, and an expert's fitted buffers."""
    return sum(t.numel() for t in module.state_dict().values())


ANSWERS = {
    "pays": "Fusion pays",
    "does not pay": "Fusion does not pay",
    "undecided": "Whether fusion pays is undecided",
}


def sentence(found: Mapping[str, Any]) -> str:
    """The verdict as one line."""
    fused, single = (found["cost"][who]["latency_ms"] for who in ("fused", "single"))
    needed = found["rows_needed"] if found["answer"] == "undecided" else None
    more = f"; about {needed:,} rows would decide" if needed is not None else ""
    return (
        f"{ANSWERS[found['answer']]}: {found['metric']} {found['fused']:.4f} against "
        f"{found['single']:.4f} of the best single modality ({found['best_single']}), gain "
        f"{found['gain']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}], "
        f"p = {found['p']:.2g} ({found['test']}), {fused / single:.1f} times the latency{more}."
    )
