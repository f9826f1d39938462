"""A run without the models that are not missed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.answers import Answers, Array
from polymodal.contract.task import Task
from polymodal.metrics.statistics import codes
from polymodal.prepared.cache import usable_folder
from polymodal.prepared.targets import Known
from polymodal.run.run import Run
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table
from polymodal.table.schema import FUSED


def pruned(run: Run, table: Table) -> tuple[Run, Table]:
    """Leave out, one by one, the models without which the fused one is best, while its losses are
    within a standard error of the whole one's.

    Ensembles are pruned backwards so (Caruana, Munson and Niculescu-Mizil 2006), and the rule of
    one standard error chooses the smallest of them (Breiman et al. 1984). Models that answer rows
    that lack something stay.

    Args:
        table: rows with their targets, which the run has not learned from.

    Raises:
        UserError: each target is answered by a single model already.

    Returns:
        The smaller run, and the rows that have not chosen it.
    """
    shares = run.weights[FUSED]
    if all(len(own) == 1 for own in shares.values()):
        names = {name for own in shares.values() for name in own}
        raise UserError(
            "There is nothing to prune: no target is answered by several models",
            expected="a run whose fused model combines some",
            got=", ".join(sorted(names)),
            do="`to int8` or `to distilled`",
        )
    choosing, others = _halves(run, table)
    rows = np.arange(len(choosing))
    prepared = run.prepare(choosing, Ledger(), max_bad_rows=len(choosing))
    scores = run.scores(prepared, rows, cache=usable_folder())
    fused = {}
    for target, own in shares.items():
        known = Known(run.targets(choosing)[target], rows)
        answers = {name: known.of(scores[name][target]) for name in own}
        fused[target] = fewer(run.tasks[target], own, answers, known.targets)
    kept = {name for own in fused.values() for name in own}
    kept |= {name for own in run.pipeline.partial.values() for s in own.values() for name in s}
    members = {name: one for name, one in run.members.items() if name in kept}
    weights = {FUSED: fused}
    model = replace(run.pipeline, members=members, weights=weights)
    return replace(run, pipeline=model), others


def fewer(
    task: Task, shares: dict[str, float], answers: Mapping[str, Answers], targets: Answers
) -> dict[str, float]:
    """The fewest members, and their shares, whose losses are within a standard error."""

    def losses(own: dict[str, float]) -> Array:
        merged = task.merge({name: answers[name] for name in own}, own)
        return task.judged(merged, targets).loss

    def without(own: dict[str, float], gone: str) -> dict[str, float]:
        left = 1 - own[gone]
        return {name: share / left for name, share in own.items() if name != gone}

    whole, best, own = losses(shares), shares, shares
    while len(own) > 1:
        own = min((without(own, name) for name in own), key=lambda one: losses(one).mean())
        more = losses(own) - whole
        if more.mean() <= more.std() / np.sqrt(len(more)):
            best = own
    return best


def _halves(run: Run, table: Table) -> tuple[Table, Table]:
    """Rows to choose by and rows to measure; a group is on one side."""
    name = run.schema.group
    grouped = name is not None and name in table.names
    units = codes(table.cells(str(name))) if grouped else np.arange(len(table))
    order = np.random.default_rng(run.recipe.seed).permutation(int(units.max()) + 1)
    first = np.isin(units, order[: len(order) // 2])
    if first.all() or not first.any():
        raise UserError(
            "There are too few rows to choose by one half and measure by the other",
            expected="rows of two groups at least" if grouped else "two rows at least",
            got=str(len(table)),
            do="give more rows",
        )
    return table.take(np.flatnonzero(first)), table.take(np.flatnonzero(~first))
