"""The report of an evaluation: one HTML page that needs no other file and no network.

Its size does not grow with the rows: plots are of binned counts, at most CLASSES classes are
listed, and examples show so many rows and pictures at most. The figures that it shows are those of
the JSON document inside it, which is metrics.json with no more classes than are listed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from importlib import resources
from string import Template
from typing import Any

from polymodal.base.files import finite
from polymodal.base.spelling import cut
from polymodal.report import aligned, explained, head, plots, sliced, worth
from polymodal.report.examples import Examples
from polymodal.report.plots import Line, Mark
from polymodal.report.sentences import SAME, headline, made_of, missing, pretrained, sentence
from polymodal.report.words import Path, Shown, card

# In the table of classes: those with the most rows. A confusion matrix up to NARROW classes fits
# into a column.
CLASSES, NARROW = 100, 12
STYLES = {
    "pays": "pays",
    "does not pay": "not",
    "undecided": "undecided",
    "nothing fused": "undecided",
}


def page(
    document: Mapping[str, Any],
    examples: Examples | None = None,
    about: Mapping[str, Any] | None = None,
) -> str:
    """The whole page.

    Args:
        document: `Evaluation.to_json()`.
        examples: draws the cells of rows; None where the table is not at hand.
        about: `Evaluation.origin`: which run, of which rows, measured on what, when.
    """
    document = _listed(finite(document))
    shown = Shown(document)
    targets = list(document["targets"])
    body = [head.section(shown, about or {})]
    body += [_verdict(shown, target) for target in targets]
    for target in targets:
        body += [f"<h2>{escape(cut(target, 60))}</h2>", *_details(shown, target, examples)]
    if shown.at("alignment"):
        body += ["<h2>Encoders</h2>", aligned.section(shown)]
    body.append(_ledger(shown))
    template = resources.files("polymodal.report").joinpath("report.html")
    return Template(template.read_text(encoding="utf-8")).substitute(
        title=escape(f"Evaluation: {cut(', '.join(targets), 80)}"),
        body="\n".join(body),
        # A "<" could end the script.
        document=json.dumps(document, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
    )


def _verdict(shown: Shown, target: str) -> str:
    """The first screen: whether fusion pays, by how much, against whom, at what cost."""
    name = escape(cut(target, 60))
    if target not in shown.at("verdicts"):
        metric = next(iter(shown.at("targets", target)))
        why = missing(shown, "unjudged", target)
        return card(
            f"{name}: {metric} {shown.number('targets', target, metric, 'value')}",
            '<p class="note">95 % interval '
            f"{shown.interval('targets', target, metric)}. {why}</p>"
            f"{head.plainly(shown, target)}<p>{_made_of(shown, target)}</p>",
        )
    at = ("verdicts", target)
    found = shown.at(*at)
    gain = plots.forest(
        shown,
        [Mark("gain", at, "gain", "strong")],
        [Line(0.0, "zero"), Line(found["least"], "least")],
        signed=True,
    )
    return (
        f'<section class="card verdict {STYLES[found["answer"]]}"><p>{name}</p>'
        f'<p class="answer">{headline(shown, *at)}</p>'
        f'{head.plainly(shown, target)}<p class="sentence">{sentence(shown, *at)}</p>'
        f"<p>{_made_of(shown, target)}</p>{gain}"
        '<p class="note"><span class="key"></span>no gain'
        '<span class="key least"></span>smallest gain worth having, '
        f"{shown.number(*at, 'least')}; whiskers are 95 % intervals</p>"
        f'<div class="grid"><div>{_rivals(shown, target)}</div>'
        f"<div>{_cost(shown, target)}</div></div></section>"
    )


def _made_of(shown: Shown, target: str) -> str:
    """Of which members, and with whose weights."""
    words = made_of(shown, "members", target)
    return f"{words} {pretrained(shown, 'origin', 'pretrained')}".rstrip()


def _rivals(shown: Shown, target: str) -> str:
    """The fused model and each modality's own, in the metric of the verdict."""
    metric = shown.at("verdicts", target, "metric")
    best = shown.at("verdicts", target, "best_single")
    marks = []
    # The rows may leave a metric undefined.
    if metric in shown.at("targets", target):
        marks.append(Mark("fused", ("targets", target, metric), style="strong"))
    for name, targets in shown.at("rivals").items():
        if metric in targets.get(target, {}):
            chosen = " <small>(best on validation)</small>" if name == best else ""
            label = f"only {escape(cut(name, 40))}{chosen}"
            marks.append(Mark(label, ("rivals", name, target, metric)))
    marks.append(Mark(SAME, ("verdicts", target, "constant")))
    return f"<h4>{metric}, each model trained on its own</h4>{plots.forest(shown, marks)}"


def _cost(shown: Shown, target: str) -> str:
    rows = {
        "parameters": "parameters",
        "rows_per_second": "rows a second, in batches",
        "latency_ms": "milliseconds for one row",
    }
    at = ("verdicts", target, "cost")
    lines = "".join(
        f'<tr><th scope="row">{words}</th><td>{shown.number(*at, "fused", key)}</td>'
        f"<td>{shown.number(*at, 'single', key)}</td></tr>"
        for key, words in rows.items()
    )
    best = escape(cut(shown.at("verdicts", target, "best_single"), 40))
    return (
        '<h4>Cost, reading and decoding left out</h4><div class="scroll"><table><thead><tr>'
        f"<th></th><th>fused</th><th>only {best}</th></tr></thead><tbody>{lines}</tbody></table>"
        "</div>"
    )


def _details(shown: Shown, target: str, examples: Examples | None) -> list[str]:
    parts = []
    if target in shown.at("contributions"):
        parts += worth.contributions(shown, target)
    if target in shown.at("calibration"):
        parts.append(_calibration(shown, target))
    figures = shown.at("figures").get(target, {})
    if "histogram" in figures:
        parts.append(
            card(
                "Predicted against true",
                '<p class="note">Rows by true and predicted value; darker is more, the dashed line '
                f"is no error.{_outside(shown, target)}</p>"
                f"{plots.histogram(shown, ('figures', target, 'histogram'))}",
            )
        )
    wide: list[str] = []
    if "confusion" in figures:
        matrix = card(
            "What is taken for what",
            '<p class="note">Rows by true and predicted class, the largest classes first; '
            "darker is a larger share of its line.</p>"
            + plots.confusion(shown, ("figures", target, "confusion")),
        )
        (parts if len(figures["confusion"]["counts"]) <= NARROW else wide).append(matrix)
    if target in shown.at("reports"):
        parts.append(_classes(shown, target))
    wide.append(_metrics(shown, target))
    if target in shown.at("robustness"):
        wide.append(worth.robustness(shown, target))
    if target in shown.at("explanations"):
        wide.append(explained.section(shown, target, examples))
    if target in shown.at("slices"):
        wide.append(sliced.section(shown, target, examples))
    return [f'<div class="columns">{"".join(parts)}</div>', *wide]


def _outside(shown: Shown, target: str) -> str:
    """How many predictions lie beyond the axes."""
    at = ("figures", target, "histogram", "outside")
    return f" Predictions beyond, at the edges: {shown.number(*at)}." if shown.at(*at) else ""


def _calibration(shown: Shown, target: str) -> str:
    at = ("calibration", target)
    ece = ""
    if "ece" in shown.at("targets", target):
        where = ("targets", target, "ece")
        ece = f"ECE <b>{shown.number(*where, 'value')}</b> {shown.interval(*where)}; "
    return card(
        "Are its probabilities true?",
        f"<p>{ece}true probabilities would score {shown.number(*at, 'null_ece')} on as many rows. "
        f"Class-wise ECE {shown.number(*at, 'classwise_ece', 'value')} "
        f"{shown.interval(*at, 'classwise_ece')}.</p>"
        f"{plots.reliability(shown, (*at, 'bins'))}"
        '<p class="note"><span class="key mean"></span>mean confidence of the bin'
        '<span class="key diagonal"></span>true probabilities; bars: share that is right</p>',
    )


def _metrics(shown: Shown, target: str) -> str:
    """Every metric of the model, of its rivals and, of texts, of always the same one."""
    rivals = [name for name, targets in shown.at("rivals").items() if target in targets]
    beside: list[tuple[str, Path]] = [
        (f"only {escape(cut(n, 40))}", ("rivals", n, target)) for n in rivals
    ]
    beside += [(SAME, ("constants", target))] if target in shown.at("constants") else []
    heads = "".join(f"<th>{head}</th>" for head, _ in beside)
    lines = []
    for metric in shown.at("targets", target):
        places: list[Path] = [("targets", target, metric)]
        places += [(*at, metric) for _, at in beside]
        cells = "".join(
            f"<td>{shown.number(*at, 'value')} {shown.interval(*at)}</td>"
            if metric in shown.at(*at[:-1])
            else "<td>–</td>"
            for at in places
        )
        lines.append(f'<tr><th scope="row">{metric}</th>{cells}</tr>')
    return card(
        "All metrics, with 95 % intervals",
        f'<div class="scroll"><table><thead><tr><th></th><th>fused</th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>",
    )


def _classes(shown: Shown, target: str) -> str:
    """The classification report."""
    at = ("reports", target)
    found = shown.at(*at)
    columns = ("precision", "recall", "f1", "support")
    places: list[tuple[str, Path]] = [
        (escape(cut(name, 40)), (*at, "classes", name)) for name in found["classes"]
    ]
    places += [(f"({name})", (*at, name)) for name in ("micro", "macro", "weighted")]
    lines = "".join(
        f'<tr><th scope="row">{label}</th>'
        + "".join(f"<td>{shown.number(*place, column)}</td>" for column in columns)
        + "</tr>"
        for label, place in places
    )
    heads = "".join(f"<th>{column}</th>" for column in columns)
    cut_off = ""
    if "not_listed" in found:
        cut_off = (
            f'<p class="note">The largest classes; {shown.number(*at, "not_listed")} more are in '
            "metrics.json.</p>"
        )
    return card(
        "Class by class",
        f'{cut_off}<div class="report"><table><thead><tr><th></th>{heads}</tr></thead><tbody>'
        f"{lines}</tbody></table></div>",
    )


def _ledger(shown: Shown) -> str:
    lines = [
        f'<tr><th scope="row">{what}: {escape(cut(why, 120))}</th>'
        f"<td>{shown.number('ledger', what, why)}</td></tr>"
        for what, reasons in shown.at("ledger").items()
        for why in reasons
    ]
    return card(
        "What became of the rows",
        f'<div class="scroll"><table><tbody>{"".join(lines)}</tbody></table></div>',
    )


def _listed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with CLASSES classes in every report, and the number of the others."""
    reports = {}
    for target, report in document["reports"].items():
        classes = report["classes"]
        if len(classes) > CLASSES:
            largest = sorted(classes, key=lambda name: -classes[name]["support"])[:CLASSES]
            listed = {name: classes[name] for name in largest}
            report = {**report, "classes": listed, "not_listed": len(classes) - CLASSES}
        reports[target] = report
    return {**document, "reports": reports}
