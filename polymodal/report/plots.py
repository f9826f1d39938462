"""Plots as SVG and HTML, drawn from a document's figures; colours are the page's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

from polymodal.base.spelling import cut
from polymodal.report.words import Path, Shown, pointer


class Line(NamedTuple):
    """A value to compare with: where it lies, and its class in the page's style."""

    value: float
    style: str


@dataclass(frozen=True)
class Mark:
    """One line of a `forest`: a figure with its interval.

    Attributes:
        label: HTML.
        path: of a mapping with "low", "high" and `key`.
        key: where the figure itself is.
        style: a class in the page's style.
    """

    label: str
    path: Path
    key: str = "value"
    style: str = ""


@dataclass(frozen=True)
class Axis:
    """Numbers from `low` to `high`, drawn from 0 to 100 percent of a width."""

    low: float
    high: float
    ticks: list[float] = field(default_factory=list)

    @classmethod
    def over(cls, values: Sequence[float], room: float = 0.04) -> Axis:
        """The axis that holds all finite values, with room on both sides and round ticks."""
        known = [value for value in values if math.isfinite(value)] or [0.0]
        low, high = min(known), max(known)
        margin = room * (high - low) or 0.5 * abs(high) or 0.5
        low, high = low - margin, high + margin
        step = 10.0 ** math.floor(math.log10((high - low) / 3))
        step = next(step * k for k in (5, 2, 1) if (high - low) / (step * k) >= 3 or k == 1)
        first, last = math.ceil(low / step), math.floor(high / step)
        # Zero is 0, not what is left of .3 - .3.
        return cls(low, high, [float(f"{i * step:.9g}") for i in range(first, last + 1)])

    def at(self, value: float) -> str:
        """A percentage."""
        return f"{100 * (value - self.low) / (self.high - self.low):.2f}%"


def forest(
    shown: Shown,
    marks: Sequence[Mark],
    lines: Sequence[Line] = (),
    *,
    signed: bool = False,
    base: float | None = None,
) -> str:
    """Figures one above the other on one axis, each a dot with its interval as whiskers.

    Args:
        lines: to compare with.
        signed: whether + stands before what is above 0.
        base: where bars start, if there shall be any.
    """
    spans = [shown.at(*mark.path) for mark in marks]
    ends = [value for m, s in zip(marks, spans, strict=True) for value in _ends(s, m.key)]
    axis = Axis.over([*ends, *(line.value for line in lines), *([] if base is None else [base])])
    rows = [_row(shown, axis, mark, lines, signed, base) for mark in marks]
    ticks = "".join(f'<text x="{axis.at(t)}" y="1em">{t:g}</text>' for t in axis.ticks)
    foot = f'<div class="row axis"><span></span><svg class="track">{ticks}</svg></div>'
    return f'<div class="forest">{"".join(rows)}{foot}</div>'


def _row(
    shown: Shown, axis: Axis, mark: Mark, lines: Sequence[Line], signed: bool, base: float | None
) -> str:
    value, low, high = _ends(shown.at(*mark.path), mark.key)
    parts = [_vertical(axis.at(tick), "grid") for tick in axis.ticks]
    if base is not None and math.isfinite(value):
        left, right = sorted((base, value))
        width = 100 * (right - left) / (axis.high - axis.low)
        parts.append(
            f'<rect class="bar" x="{axis.at(left)}" y="20%" width="{width:.2f}%" height="60%"/>'
        )
    parts += [_vertical(axis.at(line.value), line.style) for line in lines]
    if math.isfinite(low + high):
        parts.append(
            f'<line class="whisker" x1="{axis.at(low)}" x2="{axis.at(high)}" y1="50%" y2="50%"/>'
        )
    where = pointer(*mark.path, mark.key)
    if math.isfinite(value):
        parts.append(f'<circle {where} cx="{axis.at(value)}" cy="50%" r="4.5"/>')
    figure = shown.number(*mark.path, mark.key, signed=signed)
    return (
        f'<div class="row {mark.style}"><span class="name">{mark.label}</span>'
        f'<svg class="track" aria-hidden="true">{"".join(parts)}</svg>'
        f'<span class="value">{figure} {shown.interval(*mark.path, signed=signed)}</span></div>'
    )


def reliability(shown: Shown, path: Path) -> str:
    """Bars of the accuracy in every bin of confidence against the diagonal, and the bins' rows."""
    bins = shown.at(*path)
    most = max(one["rows"] for one in bins)
    parts = []
    for i, one in enumerate(bins):
        x, width = 100 * one["low"], 100 * (one["high"] - one["low"])
        right = 100 * one["accuracy"]
        size = 24 * one["rows"] / most
        parts += [
            f'<rect class="bar" {pointer(*path, i, "accuracy")} x="{x:.2f}" y="{100 - right:.2f}" '
            f'width="{width:.2f}" height="{right:.2f}"/>',
            f'<line class="mean" x1="{x:.2f}" x2="{x + width:.2f}" '
            f'y1="{100 - 100 * one["confidence"]:.2f}" y2="{100 - 100 * one["confidence"]:.2f}"/>',
            f'<rect class="count" {pointer(*path, i, "rows")} x="{x:.2f}" y="{130 - size:.2f}" '
            f'width="{width:.2f}" height="{size:.2f}"/>',
        ]
    return _square(
        parts,
        "confidence",
        "share that is right",
        [(0, "0"), (50, "0.5"), (100, "1")],
        '<text class="tag" x="50" y="108">rows</text>',
        below=30,
    )


def histogram(shown: Shown, path: Path) -> str:
    """Rows in the plane of true (across) and predicted numbers (up); darker is more."""
    found = shown.at(*path)
    counts = found["counts"]
    side = 100 / len(counts)
    most = max(max(line) for line in counts)
    parts = [
        f'<rect class="heat" {pointer(*path, "counts", i, j)} x="{i * side:.2f}" '
        f'y="{100 - (j + 1) * side:.2f}" width="{side:.2f}" height="{side:.2f}" '
        f'fill-opacity="{_shade(count / most):.2f}"><title>{count:,}</title></rect>'
        for i, line in enumerate(counts)
        for j, count in enumerate(line)
        if count
    ]
    axis = Axis.over([found["low"], found["high"]], room=0.0)
    ticks = [(float(axis.at(t).rstrip("%")), f"{t:g}") for t in axis.ticks]
    return _square(parts, "true", "predicted", ticks)


def curves(shown: Shown, path: Path, levels: Sequence[float], axis: Axis) -> str:
    """A score over levels from 0 to 1: of the fused model, late fusion and each single modality.

    Args:
        path: of {"fused": values, "singles": {modality: values}, "late_fusion": values, if any}.
        axis: of the scores.
    """
    found = shown.at(*path)
    lines = [("single", (*path, "singles", name)) for name in found["singles"]]
    lines += [("late", (*path, "late_fusion"))] if "late_fusion" in found else []
    parts = []
    for style, place in [*lines, ("fused", (*path, "fused"))]:
        heights = [60 - 0.6 * float(axis.at(y).rstrip("%")) for y in shown.at(*place)]
        points = " ".join(f"{100 * x:g},{y:.2f}" for x, y in zip(levels, heights, strict=True))
        parts.append(f'<polyline class="{style}" {pointer(*place)} points="{points}"/>')
    marks = "".join(
        f'<text class="y" x="-3" y="{60 - 0.6 * float(axis.at(t).rstrip("%")):.2f}">{t:g}</text>'
        for t in axis.ticks
    )
    return (
        f'<svg class="curves" viewBox="-16 -3 120 72" aria-hidden="true">'
        f'<rect class="frame" width="100" height="60"/>{"".join(parts)}<g class="axis">{marks}'
        '<text x="0" y="67">0</text><text x="100" y="67">1</text></g></svg>'
    )


def scatter(groups: Iterable[Sequence[Sequence[float]]]) -> str:
    """Points `(n, 2)` within -1 and 1, each group in a colour of its own, the first above all."""
    drawn = []
    for i, points in reversed(list(enumerate(groups))):
        # A line of no length, round at both ends, is a dot: one element for all of them.
        dots = "".join(f"M{50 + 46 * x:.1f} {50 - 46 * y:.1f}h0" for x, y in points)
        drawn.append(f'<path class="c{i}" d="{dots}"/>')
    return (
        '<svg class="scatter" viewBox="0 0 100 100" aria-hidden="true">'
        f'<rect class="frame" width="100" height="100"/>{"".join(drawn)}</svg>'
    )


def confusion(shown: Shown, path: Path) -> str:
    """Rows of every true class (a line each) by the class they were taken for."""
    found = shown.at(*path)
    names = [escape(cut(name, 24)) for name in found["classes"]]
    if found["merged"]:
        names.append(f"{shown.number(*path, 'merged')} others")
    heads = "".join(f'<th scope="col"><span>{name}</span></th>' for name in names)
    lines = []
    for i, (name, line) in enumerate(zip(names, found["counts"], strict=True)):
        total = max(1, sum(line))
        cells = "".join(
            _cell(shown, (*path, "counts", i, j), n / total, i == j) for j, n in enumerate(line)
        )
        lines.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    return (
        '<div class="scroll"><table class="confusion"><thead><tr><th>true \\ predicted</th>'
        f"{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _cell(shown: Shown, path: Path, share: float, right: bool) -> str:
    if not share:
        return "<td></td>"
    style = "right" if right else "wrong"
    return f'<td class="{style}" style="--s:{_shade(share):.2f}">{shown.number(*path)}</td>'


def _square(
    parts: Sequence[str],
    across: str,
    up: str,
    ticks: Sequence[tuple[float, str]],
    extra: str = "",
    below: int = 0,
) -> str:
    """A plot of 100 by 100 with its diagonal, both axes ticked alike; `below` is room for more."""
    foot = 100 + below
    marks = "".join(
        f'<text class="x" x="{at:.2f}" y="{foot + 7}">{label}</text>'
        f'<text class="y" x="-3" y="{100 - at:.2f}">{label}</text>'
        for at, label in ticks
    )
    return (
        f'<svg class="plot" viewBox="-22 -4 128 {foot + 22}" role="img" '
        f'aria-label="{up} by {across}">'
        f'<rect class="frame" width="100" height="100"/>{"".join(parts)}'
        f'<line class="diagonal" x1="0" y1="100" x2="100" y2="0"/>{extra}'
        f'<g class="axis">{marks}<text class="x" x="50" y="{foot + 15}">{across}</text>'
        f'<text class="x" transform="translate(-17 50) rotate(-90)">{up}</text></g></svg>'
    )


def _ends(span: dict[str, float | None], key: str) -> list[float]:
    """Value, low, high; NaN where there is none."""
    found = [span[name] for name in (key, "low", "high")]
    return [math.nan if value is None else value for value in found]


def _vertical(x: str, style: str) -> str:
    return f'<line class="{style}" x1="{x}" x2="{x}" y1="0" y2="100%"/>'


def _shade(share: float) -> float:
    """Few rows are seen too."""
    return 0.12 + 0.88 * math.sqrt(share)
