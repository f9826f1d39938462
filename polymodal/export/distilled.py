"""A run as one small network, which has learned its answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe
from polymodal.fitting.fit import fit
from polymodal.report.console import Show
from polymodal.run.run import Run


def distilled(
    run: Run,
    out: Path,
    train: Any,
    recipe: Recipe | None,
    budget: float | None,
    show: Show | None = None,
) -> Run:
    """A network that has learned from a run as its teacher; interrupted, it is resumed in `out`.

    It reads raw cells: no model trained elsewhere goes along, unless the recipe names it.

    Args:
        train: the training table; None: where the run's own lies.
        recipe: whose models learn; None: one network of all modalities.
        budget: seconds.

    Raises:
        UserError: the run is not saved, its table is not there; or as `fit` raises it.
    """
    if run.folder is None:
        raise UserError(
            "A run that is not saved cannot be a teacher",
            expected="a run in a folder",
            do="fit it with `out`",
        )
    own = recipe or Recipe(pretrained="none")
    asked: dict[str, Any] = {
        "targets": run.recipe.targets,
        "data": run.recipe.data.model_dump(),
        "metric": run.recipe.metric,
        "teacher": {"run": str(run.folder)},
    }
    return fit(
        train if train is not None else run.recipe.train,
        valid=None if train is not None else run.recipe.valid,
        recipe=Recipe.model_validate({**own.model_dump(exclude_none=True), **asked}),
        budget=budget,
        out=out,
        show=show,
    )
