"""What is said of a model whose texts are no better than always the same one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from polymodal.contract.answers import CONSTANT
from polymodal.contract.writing import Writing
from polymodal.report.words import counted, written
from polymodal.run.run import Run


def validated(run: Run) -> list[str]:
    """Of each target whose texts validation found worse than always the same one: what was found,
    how long it was learned, and what to do.

    Options stand in backticks, as advice of a fit does.
    """
    return list(_validated(run))


def _validated(run: Run) -> Iterator[str]:
    for target, task in run.tasks.items():
        if not isinstance(task, Writing):
            continue
        lines = {one["role"]: one for one in reversed(run.leaderboard) if one["target"] == target}
        what = said(task, lines["fused"], lines[CONSTANT], lines["fused"].get("empty", 0.0))
        if not what:
            continue
        steps = max(run.members[name].facts.get("steps", 0) for name in lines["fused"]["members"])
        limit = run.recipe.budget
        within = "" if limit is None else f" within {limit:g} s"
        longer = "More epochs let" if limit is None else "A larger `budget` lets"
        smaller = (
            "" if limit is None else ", and so does a smaller network, whose steps are quicker"
        )
        metric = "" if task.asked else f"; `metric {task.primary}` chooses models by that figure"
        yield (
            f"{what} (validation rows). It learned for {counted(steps, 'step')}{within}. {longer} "
            f"it learn more{smaller}{metric}"
        )


def said(task: Writing, mine: Mapping[str, Any], same: Mapping[str, Any], empty: float) -> str:
    """That texts are worse than always the same one, or say nothing; "" if they are not so.

    Args:
        mine, same: "metric", "value" and "greater_is_better" of the texts, and of the one text.
        empty: the share of the texts in which nothing is written.
    """
    gain = mine["value"] - same["value"]
    worse = gain < 0 if mine["greater_is_better"] else gain > 0
    if not worse and empty < 1:
        return ""
    figures = f"{mine['metric']} {written(mine['value'])} against {written(same['value'])}"
    if empty < 1:
        return f"What is written for '{task.name}' is worse than always the same text: {figures}"
    return f"Nothing is written for '{task.name}' in any row: {figures} of always the same text"
