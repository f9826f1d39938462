"""What a run answers to rows that lack modalities, beside always the same answer.

    python benchmarks/missing.py runs/first test.csv

For every set of present modalities, the others left out of every row: the criterion that
validation minimises (of classes the log loss) of the run's answers, that of the constant, and the
share of rows that are right beside the mean confidence.
"""

from __future__ import annotations

import argparse

import numpy as np

import polymodal as pm
from polymodal.evaluation.part import Part
from polymodal.metrics.contribution import subsets
from polymodal.table.ledger import Ledger


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("data")
    given = parser.parse_args()
    for line in measured(pm.load(given.run), given.data):
        print(line, flush=True)


def measured(run: pm.Run, data: str) -> list[str]:
    """One line for every target and set of present modalities."""
    table = run.table(data, require_targets=True)
    prepared = run.prepare(table, Ledger())
    names, rows = list(run.schema.modalities()), np.arange(len(table))
    teams = subsets(names)[1:]
    gone = [frozenset(names) - team for team in teams]
    lines = []
    targets = run.targets(table)
    for team, absent, scores in zip(
        teams, gone, run.scores_without(prepared, rows, gone), strict=True
    ):
        present = run.present(table, prepared, absent)
        for target, answers in run.combine(scores, present=present).items():
            part = Part(run.tasks[target], targets[target], None)
            own = part.of(answers)
            loss = part.task.criterion(own, part.targets)
            constant = part.task.criterion(part.task.constant(own), part.targets)
            right = part.task.judged(own, part.targets).right.mean()
            sure = np.mean([np.max(answer) for answer in own])
            verdict = "" if loss <= constant + 0.02 else "  ABOVE"
            lines.append(
                f"{target} from {'+'.join(sorted(team))}: {loss:.4f}, constant {constant:.4f}, "
                f"right {right:.3f}, confidence {sure:.3f}{verdict}"
            )
    return lines


if __name__ == "__main__":
    main()
