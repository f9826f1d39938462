"""Trained models to one run: what is combined, with which weights, and the leaderboard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from polymodal.contract.recipe import Recipe
from polymodal.contract.task import Answers, Task
from polymodal.fitting.job import Job
from polymodal.fitting.trials import Candidates
from polymodal.metrics.metrics import primary
from polymodal.metrics.statistics import interval
from polymodal.models.ensemble import greedy
from polymodal.prepared.targets import Known
from polymodal.run.pipeline import Pipeline
from polymodal.run.run import Run
from polymodal.table.ledger import Ledger
from polymodal.table.schema import CONSTANT, FUSED

# Of a line of the leaderboard: the model, a modality's own best, always the same answer, one of
# what the first two combine.
ROLES = ("fused", "rival", CONSTANT, "member")


def combine(job: Job, found: Candidates, recipe: Recipe, ledger: Ledger) -> Run:
    """Weights by validation for the fused model and for each modality's rival; leaderboard."""
    trained, rows = found.trained, found.rows
    groups = {FUSED: list(trained)}
    names = list(job.schema.modalities())
    for modality in names if len(names) > 1 else ():
        own = [n for n, t in trained.items() if list(t.spec.modalities) == [modality]]
        if own:
            groups[modality] = own
    weights: dict[str, dict[str, dict[str, float]]] = {g: {} for g in groups}
    board: list[dict[str, Any]] = []
    for target, task in job.tasks.items():
        known = Known(job.targets[target], rows)
        line = partial(_line, job, task, known, found)
        scores = {n: known.of(own[target]) for n, own in found.scores.items() if target in own}
        lines = []
        for group, candidates in groups.items():
            mine = {n: scores[n] for n in candidates if n in scores}
            chosen = greedy(mine, partial(_criterion, task, known.targets), task.averaged)
            weights[group][target] = chosen
            combined = task.merge({n: mine[n] for n in chosen}, chosen)
            lines.append(line(group, "fused" if group == FUSED else "rival", combined, chosen))
        # `combined` gives its shape: tags have an answer for every word.
        lines.append(line(CONSTANT, CONSTANT, task.constant(combined), {}))
        lines += [line(name, "member", own, {name: 1.0}) for name, own in scores.items()]
        board += best_first(lines)
    used = {n for g in weights.values() for shares in g.values() for n in shares}
    # Models are compared by what they say on other rows, whether or not they are used.
    kept = {n: t for n, t in trained.items() if n in used or recipe.compare}
    forms: dict[str, int] = {}
    for one in kept.values():
        for name, key in job.keys(one.spec).items():
            one.forms[name] = forms.setdefault(key, len(forms))
    models = [one.spec for one in trained.values()]
    pipeline = Pipeline(
        job.schema,
        [job.forms[key] for key in forms],
        [job.prepared[key].shape for key in forms],
        job.tasks,
        kept,
        weights,
    )
    resolved = recipe.model_copy(update={"models": models, "rivals": False})
    return Run(pipeline, resolved, board, ledger.to_json())


def _line(
    job: Job,
    task: Task,
    known: Known,
    found: Candidates,
    name: str,
    role: str,
    answers: Answers,
    shares: Mapping[str, float],
) -> dict[str, Any]:
    """One model's line of the leaderboard, of one target."""
    # Not every metric is defined on every table: no entity, no F1.
    metric = primary(task, answers, known.targets)
    clusters = None if job.groups is None else job.groups[known.rows]
    span = interval(metric, len(known.rows), clusters, seed=job.seed)
    facts = [found.trained[n].facts for n in shares]
    return {
        "name": name,
        "role": role,
        "target": task.name,
        "metric": task.primary,
        "greater_is_better": metric.greater_is_better,
        "value": span.value,
        "low": span.low,
        "high": span.high,
        "members": shares,
        "parameters": sum(one["parameters"] for one in facts),
        "seconds": round(sum(one["seconds"] for one in facts), 1),
    }


def best_first(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One target's lines by role, each role's best first."""

    def place(line: dict[str, Any]) -> tuple[int, float]:
        value = -line["value"] if line["greater_is_better"] else line["value"]
        return ROLES.index(line["role"]), math.inf if math.isnan(value) else value

    return sorted(lines, key=place)


def _criterion(task: Task, targets: Answers, answers: Answers) -> float:
    return task.criterion(answers, targets)
