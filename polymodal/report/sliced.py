"""The page's rows on which models answer differently."""

from __future__ import annotations

from html import escape

from polymodal.base.spelling import cut
from polymodal.report import plots
from polymodal.report.examples import Examples
from polymodal.report.plots import Mark
from polymodal.report.words import Path, Shown, card

SLICES = {
    "harm": ("Fusion harm", "the fused model is wrong where a single modality's is right"),
    "help": ("Fusion help", "the fused model is right where the best single modality's is wrong"),
    "disagree": ("Modalities disagree", "the single modalities' models answer differently"),
    "worst": ("Worst rows", "the fused model's highest losses"),
}


def section(shown: Shown, target: str, examples: Examples | None) -> str:
    at = ("slices", target)
    found = shown.at(*at)
    note = f"{found['metric']} within each slice, with 95 % intervals."
    if found["tolerance"] is not None:
        note += (
            f" An answer is right within {shown.number(*at, 'tolerance')} of the true value, half "
            "a standard deviation; answers further apart than that disagree."
        )
    parts = []
    for name, (title, words) in SLICES.items():
        if name not in found["slices"]:
            continue
        place = (*at, "slices", name)
        head = f"{title}: {shown.number(*place, 'rows')} rows <small>{words}</small>"
        models = shown.at(*place, "scores")
        if not models:
            parts.append(f"<details><summary>{head}</summary></details>")
            continue
        marks = [Mark(_model(who), (*place, "scores", who)) for who in models]
        rows = [
            _example(shown, target, (*place, "examples", i), examples)
            for i in range(len(shown.at(*place, "examples")))
        ]
        opened = "" if any("<details open>" in part for part in parts) else " open"
        parts.append(
            f"<details{opened}><summary>{head}</summary>{plots.forest(shown, marks)}"
            f'<div class="examples">{"".join(rows)}</div></details>'
        )
    return card("Rows to look at", f'<p class="note">{note}</p>{"".join(parts)}')


def _example(shown: Shown, target: str, at: Path, examples: Examples | None) -> str:
    """One row: the truth, what every model answered, and its cells."""
    right = shown.at(*at, "right")
    answers = "".join(
        f'<li class="{"yes" if who in right else "no"}"><span>{_model(who)}</span>'
        f"{shown.text(*at, 'answers', who)}</li>"
        for who in shown.at(*at, "answers")
    )
    cells = examples.html(shown.at(*at, "row")) if examples else ""
    loss = "squared error" if shown.at("slices", target, "tolerance") is not None else "log loss"
    return (
        f'<div class="example"><b>row {shown.number(*at, "row")}</b><ul>'
        f"<li><span>true</span><b>{shown.text(*at, 'true')}</b></li>{answers}"
        f"<li><span>{loss}</span>{shown.number(*at, 'loss')}</li></ul>{cells}</div>"
    )


def _model(name: str) -> str:
    return name if name == "fused" else f"only {escape(cut(name, 40))}"
