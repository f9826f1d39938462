"""The head of the page: what was measured, of which run; and in plain words what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from polymodal.base.spelling import cut
from polymodal.metrics.texts import COMPARED
from polymodal.report.words import Shown

# Classes whose rows are counted in the head.
CLASSES = 6
# How a metric is said of a model to who knows none.
PLAIN = {
    "accuracy": "right in a share of {} of the rows",
    "rmse": "off by about {} (root of the mean square)",
    "micro_f1": "at {}, where one would be every label found and none made up",
    "wer": f"wrong in a share of {{}} of the words, {COMPARED}",
    "cer": f"wrong in a share of {{}} of the letters, {COMPARED}",
    "entity_f1": "at {}, where one would be every entity found whole and none made up",
}


def section(shown: Shown, about: Mapping[str, Any]) -> str:
    """File, date, rows, classes and run; above them what speaks against the figures.

    Args:
        about: as of `page`; what it lacks is left out.
    """
    targets = list(shown.at("targets"))
    lines = [
        f"{shown.number('rows')} rows{_of(about.get('data'))}{_on(about.get('measured'))}, "
        f"targets: {', '.join(_name(name, 60) for name in targets)}{_classes(shown, targets)}"
    ]
    if about.get("rows"):
        rows = _name(f"{about['rows']:,} rows", 40)
        lines.append(f"Trained on {rows}{_of(about.get('source'))}{_on(about.get('date'))}")
    if about.get("run"):
        lines.append(f"Run: {_name(about['run'], 120)}")
    warned = "".join(
        f'<section class="card verdict undecided"><p>{shown.text("warnings", i, most=400)}</p>'
        "</section>"
        for i in range(len(shown.document.get("warnings", ())))
    )
    spans = "".join(f"<div>{line}.</div>" for line in lines)
    return f"<header><h1>Evaluation</h1><div>{spans}</div></header>{warned}"


def plainly(shown: Shown, target: str) -> str:
    """One sentence for who knows no metric: how good answers are, and what none would reach."""
    numbers = shown.at("targets", target)
    if not numbers:
        return ""
    metric = next(iter(numbers))
    verdict = shown.at("verdicts").get(target)
    metric = verdict["metric"] if verdict and verdict["metric"] in numbers else metric
    words = PLAIN.get(metric, f"at {{}} in {metric.replace('_', ' ')}")
    said = words.format(f"<b>{shown.number('targets', target, metric, 'value')}</b>")
    if verdict is None:
        return f'<p class="plainly">The answers are {said}.</p>'
    constant = words.format(shown.number("verdicts", target, "constant", "value"))
    return f'<p class="plainly">The answers are {said}; always the same answer is {constant}.</p>'


def _classes(shown: Shown, targets: list[str]) -> str:
    """How many rows each of the largest classes has."""
    found = []
    for target in targets:
        classes = shown.at("reports").get(target, {}).get("classes", {})
        largest = sorted(classes, key=lambda name: -classes[name]["support"])
        counted = [
            f"{_name(name, 40)} {shown.number('reports', target, 'classes', name, 'support')}"
            for name in largest[:CLASSES]
        ]
        if counted:
            more = ", ..." if len(largest) > CLASSES else ""
            found.append(f" ({', '.join(counted)}{more})")
    return "".join(found)


def _of(source: str | None) -> str:
    return f" of {_name(source, 120)}" if source else ""


def _on(date: str | None) -> str:
    """Of a date with its time, to the minute."""
    return f", {_name(date[:16].replace('T', ' '), 20)}" if date else ""


def _name(text: str, most: int) -> str:
    return f'<span class="name">{escape(cut(text, most))}</span>'
