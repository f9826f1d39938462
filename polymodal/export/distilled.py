"""A run as one small network, which has learned its answers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from polymodal.base import sealed
from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe
from polymodal.fitting.fit import fit
from polymodal.report.console import Show
from polymodal.run.run import Run
from polymodal.run.saved import JSON, load


def distilled(
    run: Run,
    out: Path,
    train: Any,
    recipe: Recipe | None,
    budget: float | None,
    show: Show | None = None,
    trust: bool = False,
) -> Run:
    """A network that has learned from a run as its teacher.

    It reads raw cells: no model trained elsewhere goes along, unless the recipe names it. Its
    folder lies beside `out`, by a name that what is asked says: the same is resumed there, or is
    there already.

    Args:
        train: the training table; None: the recipe's, or where the run's own lies.
        recipe: whose models learn, and what of the fit is other than the run's; None: one network
            of all modalities.
        budget: seconds.
        trust: execute the components of the user's own that the run brings.

    Raises:
        UserError: the run is not saved, its table is not there; or as `fit` raises it.
    """
    if run.folder is None:
        raise UserError(
            "A run that is not saved cannot be a teacher",
            expected="a run in a folder",
            do="fit it with `out`",
        )
    own = (recipe or Recipe(pretrained="none")).model_dump(exclude_unset=True)
    asked: dict[str, Any] = {
        "metric": run.recipe.metric,
        **own,
        "targets": run.recipe.targets,
        "data": {**run.recipe.data.model_dump(), **own.get("data", {})},
        "teacher": {**(own.get("teacher") or {}), "run": str(run.folder)},
    }
    valid = asked.get("valid") if train is not None or "train" in own else run.recipe.valid
    table = train if train is not None else asked.get("train", run.recipe.train)
    made = Recipe.model_validate(asked)
    facts = [made.model_dump(), budget, str(table), sealed.hashed(run.folder / JSON)]
    digest = hashlib.blake2b(json.dumps(facts).encode(), digest_size=4).hexdigest()
    folder = out.with_name(f"{out.name}.student-{digest}")
    if (folder / JSON).exists():
        return load(folder, trust=trust)
    how: dict[str, Any] = {"budget": budget, "show": show, "trust": trust}
    return fit(table, valid=valid, recipe=made, out=folder, **how)
