"""A table with the reasons that a run writes in the place of people's: what a second run is fitted
on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from polymodal.base.errors import UserError
from polymodal.prepared.cache import usable_folder
from polymodal.reason.local import Local
from polymodal.reason.model import Asked
from polymodal.run.run import Run
from polymodal.table.read import absolute, read
from polymodal.tasks.reason import Reason


def rationales(
    run: Run,
    source: Any,
    *,
    target: str | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, list[Any]]:
    """The table's columns, with the run's own reasons in that of the rationales.

    Paths of media are made absolute, so that the table may be written anywhere. On rows that the
    run has learned from its reasons are better than on others, and a `temperature` above 0 makes
    mistakes that the second run can learn to mend.

    Args:
        run: has a task `reason`.
        source: rows with the target, as `read` takes it.
        target: the task; None: the only one that writes.
        temperature, seed: how the reasons are drawn.
        tell: called with how many rows are done.

    Raises:
        UserError: the run writes no reasons.
    """
    model = Local(run, source, target=target)
    task = model.task
    if not isinstance(task, Reason):
        raise UserError(
            f"{model.name} writes no reasons",
            expected="a run with the task `reason`",
            do="fit one on a table with a column of rationales",
        )
    reasons: list[str] = []
    for start in range(0, len(model.table), model.chunk):
        asked = [Asked(row) for row in range(start, min(start + model.chunk, len(model.table)))]
        found = model.chains(asked, 1, temperature, seed)
        reasons += [own[0].reason for own in found]
        tell(len(reasons), len(model.table))
    table = absolute(read(source, cache=usable_folder(), encoding=run.recipe.data.encoding))
    return {name: table.cells(name) for name in table.names} | {task.rationale: reasons}


def refuse_binary(columns: dict[str, list[Any]], out: Path) -> None:
    """UserError if cells are no texts or numbers, which a CSV file cannot hold."""
    for name, cells in columns.items():
        if any(isinstance(cell, bytes | dict) for cell in cells):
            raise UserError(
                f"The column '{name}' holds files, which {out} cannot",
                expected="paths of files, as a CSV table has them",
                do="write these files to a folder and name them in the table",
            )
