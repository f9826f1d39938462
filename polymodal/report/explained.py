"""The report's part on single rows: which modality carried the answer, and which parts of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from polymodal.base.spelling import cut
from polymodal.report.examples import Examples
from polymodal.report.words import Path, Shown, card

# Cells of a row that are listed, the weightiest first; characters of one.
CELLS, CHARACTERS = 12, 60


def section(shown: Shown, target: str, examples: Examples | None) -> str:
    """All explained rows of a target."""
    at = ("explanations", target)
    rows = range(len(shown.at(*at, "rows")))
    drawn = "".join(_row(shown, (*at, "rows", i), examples) for i in rows)
    return card(
        "What carried the answer",
        f'<p class="note">Explained is {shown.text(*at, "of")}. Bars: what each modality adds to '
        "that of the answer to no input (Shapley values of the row). Below: what is lost when a "
        'part is replaced; <span class="chip for">blue</span> parts speak for the answer, '
        '<span class="chip against">red</span> ones against it, the stronger the more. Parts that '
        "repeat each other lose nothing alone. Pictures under patches are in grey.</p>"
        f'<div class="explained">{drawn}</div>',
    )


def _row(shown: Shown, at: Path, examples: Examples | None) -> str:
    found = shown.at(*at)
    parts = [(*at, "parts", i) for i in range(len(found["parts"]))]
    # One scale for the whole row: what matters little is pale.
    most = max((abs(loss) for part in parts for loss in _losses(shown, part)), default=0.0) or 1.0
    drawn = [_part(shown, part, found["row"], most, examples) for part in parts]
    return (
        f'<div class="example"><b>row {shown.number(*at, "row")}</b>: answered '
        f"<b>{shown.text(*at, 'answer')}</b>, true {shown.text(*at, 'true')}"
        f"{_shares(shown, at)}{''.join(drawn)}</div>"
    )


def _losses(shown: Shown, at: Path) -> list[float]:
    """Of a sort of parts; 0 where the model gave no number, as a missing figure says beside it."""
    return [loss or 0.0 for loss in shown.at(*at, "losses")]


def _shares(shown: Shown, at: Path) -> str:
    """A bar a modality, between the support of the answer to nothing and that of the row's."""
    shares = {name: share or 0.0 for name, share in shown.at(*at, "shapley").items()}
    most = max((abs(share) for share in shares.values()), default=0.0) or 1.0
    lines = [f"<li><span>no input</span>{shown.number(*at, 'nothing')}</li>"]
    for name, share in shares.items():
        width = 50 * abs(share) / most
        left = 50 - (width if share < 0 else 0)
        bar = (
            f'<svg class="share" aria-hidden="true"><rect class="{_side(share)}" x="{left:.1f}%" '
            f'width="{width:.1f}%" height="100%"/></svg>'
        )
        lines.append(
            f'<li><span class="name">{escape(cut(name, 40))}</span>{bar}'
            f"{shown.number(*at, 'shapley', name, signed=True)}</li>"
        )
    lines.append(f"<li><span>all of it</span>{shown.number(*at, 'support')}</li>")
    return f'<ul class="shares">{"".join(lines)}</ul>'


def _part(shown: Shown, at: Path, row: int, most: float, examples: Examples | None) -> str:
    """One sort of parts of one modality: its cell, and what each part is worth."""
    part = shown.at(*at)
    modality, losses = part["modality"], _losses(shown, at)
    if not losses:
        return ""
    head = (
        f'<h4><span class="name">{escape(cut(modality, 40))}</span>, {part["unit"]} '
        f"<small>replaced by {escape(part['replaced_by'])}</small></h4>"
    )
    if part["layout"] == "listed":
        return head + _cells(shown, at, row, most, examples)
    if part["layout"] == "running":
        return head + _words(shown, at, most)
    drawn = examples is not None and part["layout"] in ("grid", "along")
    cell = examples.cell(modality, row) if examples is not None and drawn else ""
    if part["layout"] == "grid":
        return f'{head}<div class="heatmap">{cell}{_grid(losses, part["columns"], most)}</div>' + (
            _strongest(shown, at)
        )
    return head + cell + _bars(losses, most) + _strongest(shown, at)


def _strongest(shown: Shown, at: Path) -> str:
    losses = _losses(shown, at)
    i = max(range(len(losses)), key=lambda i: abs(losses[i]))
    return (
        f'<p class="note">most: {shown.text(*at, "labels", i)}: '
        f"{shown.number(*at, 'losses', i, signed=True)}</p>"
    )


def _grid(losses: Sequence[float], columns: int, most: float) -> str:
    """Patches, to be laid over their picture."""
    lines = math.ceil(len(losses) / columns)
    squares = "".join(
        f'<rect class="{_side(loss)}" x="{i % columns}" y="{i // columns}" width="1" height="1" '
        f'fill-opacity="{0.85 * _strength(loss, most):.2f}"/>'
        for i, loss in enumerate(losses)
        if _strength(loss, most) > 0.02
    )
    return (
        f'<svg viewBox="0 0 {columns} {lines}" preserveAspectRatio="none" aria-hidden="true">'
        f"{squares}</svg>"
    )


def _bars(losses: Sequence[float], most: float) -> str:
    """A bar a part, up where it speaks for the answer and down where against."""
    bars = []
    for i, loss in enumerate(losses):
        height = 16 * abs(loss) / most
        top = 16 - (height if loss > 0 else 0)
        bars.append(
            f'<rect class="{_side(loss)}" x="{i + 0.05:.2f}" y="{top:.2f}" width=".9" '
            f'height="{height:.2f}"/>'
        )
    return (
        f'<svg class="bars" viewBox="0 0 {len(losses)} 32" preserveAspectRatio="none" '
        f'aria-hidden="true"><line x1="0" x2="{len(losses)}" y1="16" y2="16"/>{"".join(bars)}</svg>'
    )


def _words(shown: Shown, at: Path, most: float) -> str:
    words = []
    for i, loss in enumerate(_losses(shown, at)):
        shade = f'style="--s:{_strength(loss, most):.2f}"'
        words.append(
            f'<span class="{_side(loss)}" {shade}>{shown.text(*at, "labels", i, most=200)}</span>'
        )
    return f'<p class="words">{" ".join(words)}</p>{_strongest(shown, at)}'


def _cells(shown: Shown, at: Path, row: int, most: float, examples: Examples | None) -> str:
    losses = _losses(shown, at)
    order = sorted(range(len(losses)), key=lambda i: -abs(losses[i]))[:CELLS]
    lines = []
    for i in order:
        name = shown.at(*at, "labels", i)
        value = examples.value(name, row) if examples else ""
        shade = f'style="--s:{_strength(losses[i], most):.2f}"'
        lines.append(
            f"<tr><th>{escape(cut(name, CHARACTERS))}</th><td>{value}</td>"
            f'<td class="{_side(losses[i])}" {shade}>'
            f"{shown.number(*at, 'losses', i, signed=True)}</td></tr>"
        )
    more = ""
    if len(losses) > CELLS:
        more = '<p class="note">The weightiest cells; all are in metrics.json.</p>'
    return f'<table class="cells-of"><tbody>{"".join(lines)}</tbody></table>{more}'


def _side(loss: float) -> str:
    return "for" if loss >= 0 else "against"


def _strength(loss: float, most: float) -> float:
    """From 0 to 1."""
    return abs(loss) / most
