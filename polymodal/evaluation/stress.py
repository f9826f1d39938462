"""How a run holds when the cells of one modality get worse, or go missing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base import lookup
from polymodal.evaluation.corrupted import corrupted
from polymodal.metrics.metrics import primary
from polymodal.metrics.robustness import effective_robustness, lost, relative_robustness
from polymodal.models import build
from polymodal.prepared.cells import cells, content
from polymodal.prepared.targets import Known
from polymodal.run.run import Run
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
# Every level of every corruption encodes its cells anew: so many rows are enough for a curve.
ROWS = 300


def stress(
    run: Run,
    table: Table,
    *,
    rows: int = ROWS,
    seed: int = 0,
    max_bad_rows: int = 0,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, Any]:
    """Scores over levels of every corruption, and over rates of missing cells, of every modality.

    Args:
        table: with the targets; evenly spaced rows of it are taken.
        rows: at most.
        seed: of the corruptions.
        progress: told of (curves done, of how many).

    Returns:
        Target -> {"metric", "levels", "rows", "corruptions": {modality: {name: curve}},
        "missing": {modality: curve}}, a curve being {"fused", "late_fusion", "singles":
        {modality: values}, "tau", "rho"}. Late fusion, the reference of rho, is the mean of the
        unimodal models' scores.
    """
    chosen = np.unique(np.linspace(0, len(table) - 1, min(rows, len(table))).astype(int))
    table = table.take(chosen)
    prepared = run.prepare(table, Ledger(), max_bad_rows=max_bad_rows)
    positions = np.arange(len(table))
    encoded = run.targets(table, max_bad_rows=max_bad_rows)
    truth = {name: Known(target, positions) for name, target in encoded.items()}
    clean = run.scores(prepared, positions)
    present = run.present(table, prepared)
    jobs = [
        (modality, name)
        for modality, columns in run.schema.modalities().items()
        for name in lookup.names(f"modalities/{build.folder_kind(columns)}/corruptions")
    ]
    found: dict[str, Any] = {
        target: {
            "metric": task.primary,
            "levels": list(LEVELS),
            "rows": len(table),
            "corruptions": {},
            "missing": {},
        }
        for target, task in run.tasks.items()
    }
    with tempfile.TemporaryDirectory() as cache:
        for i, (modality, name) in enumerate(jobs):
            worse = [(clean, present)]
            for level in LEVELS[1:]:
                spoilt = corrupted(
                    run, table, prepared, modality, name, level, cache=Path(cache), seed=seed
                )
                worse.append((run.scores(spoilt, positions), run.present(table, spoilt)))
            for target in found:
                curve = _curve(run, target, worse, truth[target])
                found[target]["corruptions"].setdefault(modality, {})[name] = curve
            progress(i + 1, len(jobs))
    keys = _keys(run, table)
    for modality in run.schema.modalities():
        without = run.scores(prepared, positions, [modality])
        mixed = []
        for rate in LEVELS:
            gone = lost(keys, modality, rate, seed)
            left = {**present, modality: present[modality] & ~gone}
            mixed.append((_either(without, clean, gone), left))
        for target in found:
            found[target]["missing"][modality] = _curve(run, target, mixed, truth[target])
    return found


def _curve(
    run: Run,
    target: str,
    levels: Sequence[tuple[dict[str, Any], Mapping[str, Any]]],
    known: Known,
) -> dict[str, Any]:
    """The metric at each level: of the fused model, of each rival and of their late fusion, where
    answers have a mean.

    Args:
        levels: members' scores, and which rows have which modality.
    """
    task = run.tasks[target]
    rivals = [who for who, shares in run.weights.items() if who != "fused" and target in shares]
    better = True
    values: dict[str, list[float]] = {who: [] for who in ("fused", *rivals)}
    late: list[float] = []

    def measure(scores: Sequence[Any]) -> float:
        nonlocal better
        metric = primary(task, known.of(scores), known.targets)
        better = metric.greater_is_better
        return float(metric.statistic(np.ones((1, len(known.rows))))[0])

    for scores, present in levels:
        answers = {who: run.combine(scores, who, [target], present)[target] for who in values}
        for who, own in answers.items():
            values[who].append(measure(own))
        if rivals and task.averaged:
            share = dict.fromkeys(rivals, 1 / len(rivals))
            late.append(measure(task.merge({who: answers[who] for who in rivals}, share)))
    fused = np.array(values.pop("fused"))
    curve: dict[str, Any] = {"fused": fused.tolist(), "singles": values}
    curve["tau"] = relative_robustness(fused, np.array(LEVELS), better)
    if late:
        curve["late_fusion"] = late
        curve["rho"] = effective_robustness(fused, np.array(late), better)
    return curve


def _either(changed: dict[str, Any], clean: dict[str, Any], which: np.ndarray[Any, Any]) -> Any:
    """Members' scores, of the rows in `which` from the first."""
    return {
        member: {
            target: [changed[member][target][i] if gone else own[i] for i, gone in enumerate(which)]
            for target, own in scores.items()
        }
        for member, scores in clean.items()
    }


def _keys(run: Run, table: Table) -> list[bytes]:
    """What each row holds, as bytes: equal for equal rows, wherever they stand."""
    parts = []
    for columns in run.schema.modalities().values():
        parts.append([content(cell) for cell in cells(table, columns)])
    return ["\0".join(row).encode("utf-8", "surrogatepass") for row in zip(*parts, strict=True)]
