"""Trained models to one run: what is combined, with which weights, and the leaderboard."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from polymodal.checks.seen import seen
from polymodal.contract.answers import CONSTANT
from polymodal.contract.recipe import Recipe
from polymodal.contract.task import Answers, Task
from polymodal.contract.writing import Writing
from polymodal.fitting.backbones import used as read_with
from polymodal.fitting.job import Job
from polymodal.fitting.trials import Candidates
from polymodal.metrics.conformal import Strangeness, strangeness
from polymodal.metrics.doubts import evenly
from polymodal.metrics.metrics import primary
from polymodal.metrics.statistics import interval
from polymodal.models.ensemble import greedy
from polymodal.prepared.cells import Contents
from polymodal.prepared.targets import Known
from polymodal.run import patterns
from polymodal.run.pipeline import Pipeline
from polymodal.run.run import Run
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table
from polymodal.table.schema import FUSED

# Of a line of the leaderboard: the model, a modality's own best, always the same answer, one of
# what the first two combine.
ROLES = ("fused", "rival", CONSTANT, "member")
# As `Pipeline.held_out`.
Strange = dict[str, dict[frozenset[str] | None, Strangeness]]
# Nothing is chosen on fewer validation rows.
LEAST_ROWS = 10


def combine(job: Job, found: Candidates, recipe: Recipe, ledger: Ledger, contents: Contents) -> Run:
    """Weights by validation for the fused model and for each modality's rival; leaderboard.

    Args:
        contents: of all rows, for what the run says of its origin.
    """
    trained, rows = found.trained, found.rows
    groups = {FUSED: list(trained)}
    names = list(job.schema.modalities())
    for modality in names if len(names) > 1 else ():
        own = [n for n, t in trained.items() if list(t.spec.modalities) == [modality]]
        if own:
            groups[modality] = own
    weights: dict[str, dict[str, dict[str, float]]] = {g: {} for g in groups}
    even: dict[str, dict[str, float]] = {}
    for target, task in job.tasks.items():
        known = Known(job.targets[target], rows)
        scores = {n: known.of(own[target]) for n, own in found.scores.items() if target in own}
        for group, candidates in groups.items():
            mine = {n: scores[n] for n in candidates if n in scores}
            loss = partial(_criterion, task, known.targets)
            weights[group][target] = greedy(mine, loss, task.averaged)
            if group == FUSED:
                chosen = weights[group][target]
                allowed = evenly(found.attempts, mine, chosen)
                even[target] = greedy(mine, loss, task.averaged, allowed) if allowed else chosen
    used = {n for g in weights.values() for shares in g.values() for n in shares}
    used |= {n for shares in even.values() for n in shares}
    # Models are compared by what they say on other rows, whether or not they are used.
    kept = {n: t for n, t in trained.items() if n in used or recipe.compare}
    forms: dict[str, int] = {}
    for one in kept.values():
        for name, key in job.keys(one.spec).items():
            one.forms[name] = forms.setdefault(key, len(forms))
    pipeline = Pipeline(
        job.schema,
        [job.forms[key] for key in forms],
        [job.prepared[key].shape for key in forms],
        job.tasks,
        kept,
        weights,
        *lacking(job, found, used),
    )
    for target in job.tasks:
        _note_whole(pipeline, job, found, target)
    models = [one.spec for one in trained.values()]
    resolved = recipe.model_copy(update={"models": models, "rivals": False})
    board = [line for target in job.tasks for line in _board(job, found, pipeline, target)]
    learned = seen(contents, job.schema)
    learned = replace(learned, rows=learned.rows[job.known()])
    for line in board:
        if line["role"] == "fused":
            line["evenly"] = even[line["target"]]
    attempts = [asdict(one) for one in found.attempts]
    origin = _origin(job, contents.table)
    origin["pretrained"] = read_with([one.spec for one in kept.values()], job.schema)
    about = ledger.to_json(), origin, learned
    return Run(pipeline, resolved, board, *about, attempts=attempts)


def _origin(job: Job, table: Table) -> dict[str, Any]:
    """What the run says of where it comes from: `Run.origin`."""
    every = np.arange(len(table))
    classes = {}
    for name, task in job.tasks.items():
        labels = task.labels(Known(job.targets[name], every).targets)
        if labels is not None:
            classes[name] = dict(Counter(labels).most_common())
    return {
        "source": table.source,
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "rows": int(job.known().sum()),
        "types": {
            column: str(table.data.schema.field(column).type)
            for task in job.tasks.values()
            for column in task.columns
        },
        "classes": classes,
    }


def lacking(
    job: Job, found: Candidates, used: Collection[str]
) -> tuple[dict[frozenset[str], dict[str, dict[str, float]]], Strange]:
    """What answers rows that have some of the modalities only: `Pipeline.partial`, `.held_out`.

    Every set of modalities is tried on the validation rows that have them, with all others left
    out: members are weighed as for the whole, and with them the constant, so that a member that is
    too sure of what it half sees is held back by as much as it takes.

    Args:
        used: the members that the run keeps for other reasons.
    """
    present = job.present()
    place = {row: i for i, row in enumerate(found.rows.tolist())}
    chosen: dict[frozenset[str], dict[str, dict[str, float]]] = {}
    strange: Strange = {}
    for team in job.sets():
        has = np.all([present[name] for name in team], axis=0) & job.known()
        for target, task in job.tasks.items():
            answers: dict[str, dict[int, Any]] = {}
            for name in sorted(used):
                reads = frozenset(found.trained[name].spec.modalities)
                own = found.scores[name].get(target)
                if own is None or not reads & team:
                    continue
                if reads <= team:
                    answers[name] = {row: own[i] for row, i in place.items()}
                else:
                    masked = job.masked.get(name, {}).get(reads - team, {})
                    answers[name] = masked.get(target, {})
            targets = job.targets[target]
            rows = [
                row
                for row in sorted(set(place).intersection(*answers.values()))
                if has[row] and targets.present[row]
            ]
            # Fewer say nothing; a row goes by what it has less of, then.
            if not answers or len(rows) < LEAST_ROWS:
                continue
            given = {name: [own[row] for row in rows] for name, own in answers.items()}
            given[CONSTANT] = task.constant(next(iter(given.values())))
            known = Known(targets, np.array(rows))
            loss = partial(_criterion, task, known.targets)
            shares = chosen.setdefault(team, {})[target] = greedy(given, loss, task.averaged)
            merged = task.merge({name: given[name] for name in shares}, shares)
            _note(strange, job, target, team, merged, known)
    return chosen, strange


def _note_whole(pipeline: Pipeline, job: Job, found: Candidates, target: str) -> None:
    """How strange the truth was to the fused model where it answers, and to the constant."""
    present = {name: own[found.rows] for name, own in job.present().items()}
    combined = pipeline.combine(found.scores, targets=[target])[target]
    standing, whole = pipeline.standing(), np.zeros(len(found.rows), bool)
    for here, rows in patterns.grouped(present):
        whole[rows] = standing.team(target, here) is None
    known = Known(job.targets[target], found.rows[whole])
    answers = known.of([combined[i] for i in np.flatnonzero(whole).tolist()])
    _note(pipeline.held_out, job, target, None, answers, known)
    every = Known(job.targets[target], found.rows)
    constant = job.tasks[target].constant(every.of(combined))
    _note(pipeline.held_out, job, target, frozenset(), constant, every)


def _note(
    into: Strange,
    job: Job,
    target: str,
    team: frozenset[str] | None,
    answers: Answers,
    known: Known,
) -> None:
    """How strange the truth was to these answers, where the task can say it."""
    scores = job.tasks[target].strangeness(answers, known.targets) if len(answers) else None
    if scores is not None:
        units = None if job.units is None else job.units[known.rows]
        into.setdefault(target, {})[team] = strangeness(scores, units)


def _board(job: Job, found: Candidates, pipeline: Pipeline, target: str) -> list[dict[str, Any]]:
    """The leaderboard's lines of a target: all of them on the same validation rows."""
    task, known = job.tasks[target], Known(job.targets[target], found.rows)
    line = partial(_line, job, task, known, found)
    scores = {n: known.of(own[target]) for n, own in found.scores.items() if target in own}
    present = {name: own[found.rows] for name, own in job.present().items()}
    lines = []
    for group, of_targets in pipeline.weights.items():
        shares = of_targets[target]
        combined = pipeline.combine(found.scores, group, [target], present)[target]
        role = "fused" if group == FUSED else "rival"
        own = known.of(combined)
        lines.append(line(group, role, own, shares))
        if role == "fused" and isinstance(task, Writing):
            lines[-1]["empty"] = float(np.mean([not t.strip() for t in task.decode(own)[target]]))
    # `combined` gives its shape: tags have an answer for every word.
    lines.append(line(CONSTANT, CONSTANT, task.constant(known.of(combined)), {}))
    lines += [line(name, "member", own, {name: 1.0}) for name, own in scores.items()]
    return best_first(lines)


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
    """What the choice among models minimises: the task's own, or the metric that was asked for."""
    if task.asked is None:
        return task.criterion(answers, targets)
    metric = primary(task, answers, targets)
    value = float(metric.statistic(np.ones((1, len(targets))))[0])
    return -value if metric.greater_is_better else value
