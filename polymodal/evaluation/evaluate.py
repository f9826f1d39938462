"""A run measured on a table: metrics with intervals, a classification report, predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base.claims import WRITTEN, refuse_input, refuse_others
from polymodal.base.files import make_folder, write_csv, write_json, write_predictions, write_text
from polymodal.contract.task import Answers
from polymodal.contract.writing import Writing
from polymodal.evaluation import game, judge, regions, sets, slices, stress, terminal, texts
from polymodal.evaluation.explain import explain as explain_rows
from polymodal.evaluation.part import Part, account, clusters_of, table_of
from polymodal.metrics._weighted import Array
from polymodal.metrics.contribution import Names
from polymodal.prepared.prepare import Prepared
from polymodal.report.examples import Examples
from polymodal.report.page import page
from polymodal.run.digest import digest
from polymodal.run.run import Run
from polymodal.run.saved import opened
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table
from polymodal.table.schema import Schema

Numbers = dict[str, dict[str, dict[str, float]]]

# Rows whose answers are explained.
EXPLAINED = 6

# What of an evaluation's origin another one of the same need not repeat.
PASSING = ("date", "run", "measured")

# The report's name in an evaluation's folder.
REPORT = "report.html"
# And what shows some of the texts that were written.
SAMPLES = "samples.csv"


@dataclass(repr=False)
class Evaluation:
    """What a run scored on a table.

    Attributes:
        rows: rows of the table.
        targets: target -> metric -> value, low, high (95 % interval).
        rivals: modality -> the same for its own best model, trained and chosen without the others.
        reports: target of classes -> its classification report.
        constants: target of texts -> the same of always the training rows' commonest text.
        predictions: columns of the predictions file.
        ledger: what became of every row.
        members: target -> what the fused model is made of (`Run.composition`).
        verdicts: target -> whether fusion pays, with the evidence and what speaks against it
            (`judge.verdict`), and what both models cost; without targets for which no single
            modality's model was validated.
        unjudged: those targets -> why there is no verdict (`judge.missing`).
        contributions: target -> what each modality and their combination are worth to the model
            (`game.contributions`, `game.interactions`).
        calibration: target of classes -> whether its probabilities are true.
        regions: target -> how often regions for 0.9 hold the truth, and their size (`regions`).
        robustness: target -> curves over what is corrupted or missing (`stress.stress`), if asked.
        figures: target of classes -> its confusion matrix; of a number -> where the rows lie in
            the plane of true and predicted values (`figures`).
        slices: target -> where the fused model errs and its rivals do not (`slices.describe`).
        alignment: how one member's encoders place the modalities (`alignment.describe`) and which
            one it is, on a sample of rows; empty where no member but experts has two.
        explanations: target -> why the fused model answered as it did to some of the slices' rows,
            with their true values (`explain.explain`).
        samples: columns of some rows with the texts that were written, and what was wanted
            (`texts.samples`); empty where no target is written.
        warnings: what speaks against the figures, in words: rows that were learned from.
        origin: of the run (`Run.origin`), with its folder under "run" and its `digest`, and of what
            was measured: "data" and "measured" (when).
        table: what was measured, for the report to show some of its rows.
        schema: of the run.
    """

    rows: int
    targets: Numbers
    rivals: dict[str, Numbers]
    reports: dict[str, dict[str, Any]]
    predictions: dict[str, list[Any]]
    ledger: dict[str, Any]
    constants: Numbers = field(default_factory=dict)
    members: dict[str, dict[str, Any]] = field(default_factory=dict)
    verdicts: dict[str, dict[str, Any]] = field(default_factory=dict)
    unjudged: dict[str, dict[str, Any]] = field(default_factory=dict)
    contributions: dict[str, dict[str, Any]] = field(default_factory=dict)
    calibration: dict[str, dict[str, Any]] = field(default_factory=dict)
    regions: dict[str, dict[str, Any]] = field(default_factory=dict)
    robustness: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    slices: dict[str, dict[str, Any]] = field(default_factory=dict)
    alignment: dict[str, Any] = field(default_factory=dict)
    explanations: dict[str, dict[str, Any]] = field(default_factory=dict)
    samples: dict[str, list[Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    origin: dict[str, Any] = field(default_factory=dict)
    table: Table | None = None
    schema: Schema | None = None

    def __repr__(self) -> str:
        """In a line; `text` says it all."""
        return f"<Evaluation: {', '.join(self.targets)} on {self.rows:,} rows>"

    def _repr_html_(self) -> str:
        """For notebooks: what a terminal shows."""
        return f"<pre>{escape(self.text())}</pre>"

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "warnings": self.warnings,
            "origin": {k: v for k, v in self.origin.items() if k not in PASSING},
            "targets": self.targets,
            "verdict": next(iter(self.verdicts.values()), None),
            "verdicts": self.verdicts,
            "unjudged": self.unjudged,
            "members": self.members,
            "contributions": self.contributions,
            "calibration": self.calibration,
            "regions": self.regions,
            "robustness": self.robustness,
            "rivals": self.rivals,
            "constants": self.constants,
            "reports": self.reports,
            "figures": self.figures,
            "slices": self.slices,
            "explanations": self.explanations,
            "alignment": self.alignment,
            "ledger": self.ledger,
        }

    def save(self, folder: Path) -> None:
        """Write metrics.json, predictions.csv, report.html and, of texts that were written,
        samples.csv; UserError if they are others'."""
        refuse(folder)
        make_folder(folder)
        write_json(folder / "metrics.json", self.to_json())
        write_predictions(folder / "predictions.csv", self.predictions)
        if self.samples:
            write_csv(folder / SAMPLES, self.samples)
        self.to_html(folder / REPORT)

    def to_html(self, path: str | Path) -> None:
        """Write the report: one page that needs nothing beside it and no network."""
        examples = None
        if self.table is not None and self.schema is not None:
            examples = Examples(self.table, self.schema)
        write_text(Path(path), page(self.to_json(), examples, self.origin))

    def text(self) -> str:
        """For a terminal: every metric of the model, beside the rivals' values."""
        return terminal.text(self.to_json())


def refuse(folder: Path, *sources: Any) -> None:
    """UserError if files that `Evaluation.save` would replace are tables to read, or others'."""
    names = ("metrics.json", "predictions.csv", SAMPLES, REPORT)
    for name in names:
        refuse_input(folder / name, *sources)
    refuse_others(folder, names, "metrics.json", WRITTEN)


def evaluate(
    run: Run | str | Path,
    source: Any,
    *,
    group: str | None = None,
    robustness: bool = False,
    contributions: str | None = None,
    explain: int | None = None,
    max_bad_rows: int = 0,
    tell: Callable[[str], None] | None = None,
) -> Evaluation:
    """Measure a run, or that of a folder, on a table that has its target columns.

    Every encoder runs once a batch: the scores with every set of modalities come from its output.

    Args:
        group: column whose equal values are one cluster of the bootstrap; by default the group
            column that the run was fitted with, where the table has it.
        robustness: also score corrupted and missing cells (`stress.stress`): minutes more.
        contributions: of which sets of modalities, on which rows: "exact", "sampled" or "none";
            see `sets.plan`.
        explain: explain the answers to so many rows, the most telling ones of every slice;
            EXPLAINED by default.
        max_bad_rows: cells of a modality that may be unreadable; they count as missing.
        tell: called with a line about how long scoring takes, before it begins; None: that is not
            measured.
    """
    run, ledger = opened(run), Ledger()
    table, told = table_of(run, source)
    clusters = clusters_of(table, group, run.schema.group)
    prepared = run.prepare(table, ledger, max_bad_rows=max_bad_rows)
    rows, targets = np.arange(len(table)), run.targets(table, ledger, max_bad_rows)
    planned = sets.plan(list(run.schema.modalities()), len(table), contributions)
    if planned is not None and tell is not None:
        tell(sets.announcement(run, prepared, len(table), planned, targets))
    scores, played = sets.play(run, prepared, len(table), planned, targets)
    present = run.present(table, prepared)
    combined = run.combine(scores, present=present)
    predictions = run.pipeline.decoded(table, combined, present)
    found = Evaluation(len(table), {}, {}, {}, predictions, {}, table=table, schema=run.schema)
    found.warnings = [*run.warnings(table), *told]
    found.origin = {
        **run.origin,
        "digest": digest(run),
        "run": None if run.folder is None else str(run.folder),
        "data": table.source,
        "measured": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    known, wanted = {}, {}
    for name, values in targets.items():
        part = Part(run.tasks[name], values, clusters)
        known[name] = part.rows
        if isinstance(part.task, Writing):
            references = map(part.task.truth, part.targets)
            wanted[name] = dict(zip(part.rows.tolist(), references, strict=True))
        exchange = None
        if len(run.schema.modalities()) > 1:
            drawn = sets.drawn(len(part.rows), game.SAMPLE)
            exchange = game.Exchange(run, prepared, part.rows[drawn], name)
            found.alignment = found.alignment or game.alignments(exchange, part)
        _measure(found, run, part, combined[name], scores, prepared)
        if region := regions.describe(run, part, combined[name], present):
            found.regions[name] = region
        if planned is not None and exchange is not None and part.is_played:
            worth = _contributions(part, planned, played, exchange, present)
            found.contributions |= {name: worth} if worth else {}
        most = EXPLAINED if explain is None else explain
        found.explanations |= _explanations(found, run, name, most, max_bad_rows)
    if wanted:
        own = {name: predictions[name] for name in wanted}
        found.samples = texts.samples(table, run.schema, own, wanted)
    measured = account(ledger, known, rows)
    found.ledger = ledger.to_json()
    if robustness:
        whole = table.take(np.flatnonzero(np.isin(rows, measured)))
        found.robustness = stress.stress(run, whole, max_bad_rows=max_bad_rows)
    return found


def _measure(
    found: Evaluation,
    run: Run,
    part: Part,
    fused: Answers,
    scores: Mapping[str, Any],
    prepared: Sequence[Prepared],
) -> None:
    """Everything about one target.

    Args:
        fused: the fused model's scores of all rows.
        scores: member -> target -> scores of all rows.
    """
    name, task = part.name, part.task
    found.targets[name] = part.metrics(fused)
    found.members[name] = run.composition(name)
    if isinstance(task, Writing):
        found.constants[name], warned = texts.beside(part, fused, found.predictions[name])
        found.warnings += warned
    rivals = {
        who: run.combine(scores, who, [name])[name]
        for who, weights in run.weights.items()
        if who != "fused" and name in weights
    }
    for who, theirs in rivals.items():
        found.rivals.setdefault(who, {})[name] = part.metrics(theirs)
    mine = part.of(fused)
    for into, one in (
        (found.reports, task.report(mine, part.targets)),
        (found.calibration, task.reliability(mine, part.targets, part.clusters)),
        (found.figures, task.figures(mine, part.targets)),
    ):
        if one is not None:
            into[name] = one
    best = judge.best_single(run, name)
    assert found.table is not None
    called = np.array([found.table.number(row) for row in part.rows.tolist()])
    answers = {"fused": mine, **{who: part.of(theirs) for who, theirs in rivals.items()}}
    found.slices[name] = slices.describe(task, answers, part.targets, called, best, part.clusters)
    even = judge.evenly(run, name)
    own = {member: scores[member][name] for member in even or ()}
    if best is None:
        found.unjudged[name] = judge.missing(run, not task.columns)
    else:
        found.verdicts[name] = {
            "target": name,
            **judge.verdict(
                task,
                mine,
                {who: answers[who] for who in rivals},
                best,
                judge.hardest(run, name),
                part.targets,
                part.clusters,
                doubted=judge.doubted(run, task, rivals),
                evenly=None if even is None else part.of(task.merge(own, even)),
                unfused=judge.unfused(run, name),
            ),
            "cost": {
                "fused": judge.cost(run, prepared, run.weights["fused"][name]),
                "single": judge.cost(run, prepared, run.weights[best][name]),
            },
        }


def _contributions(
    part: Part,
    planned: sets.Plan,
    played: Mapping[Names, Mapping[str, Any]],
    exchange: game.Exchange,
    present: Mapping[str, Array],
) -> dict[str, Any]:
    """What modalities are worth to one target; {} if no planned row has it.

    Args:
        played: set of present modalities -> member -> target -> scores of the planned rows.
        exchange: of a sample of the target's rows.
        present: modality -> which of all rows have it.
    """
    at = np.flatnonzero(np.isin(planned.rows, part.rows))
    if not len(at):
        return {}
    own = np.searchsorted(part.rows, planned.rows[at])
    values: dict[Names, Answers] = {}
    felt = exchange.run.pipeline.standing().felt(part.name, present)
    for team, scores in played.items():
        # What is not felt is left out of every set: it has no share.
        kept = team & felt
        here = {name: own[planned.rows] & (name in kept) for name, own in present.items()}
        combined = exchange.run.combine(scores, targets=[part.name], present=here)[part.name]
        values[team] = [combined[i] for i in at.tolist()]
    values[frozenset()] = part.task.constant(values[max(played, key=len)])
    targets = [part.targets[i] for i in own]
    clusters = None if part.clusters is None else part.clusters[own]
    found = game.contributions(part.task, values, targets, clusters, planned.walks)
    if part.task.averaged:  # else there are no sums that interactions could be held against
        drawn = np.searchsorted(part.rows, exchange.rows)
        beside = None if part.clusters is None else part.clusters[drawn]
        true = [part.targets[i] for i in drawn]
        found["sample"] = game.interactions(exchange, true, beside)
    return found


def _explanations(
    found: Evaluation, run: Run, target: str, most: int, max_bad_rows: int
) -> dict[str, dict[str, Any]]:
    """Of `most` rows, taken from the target's slices in turn; nothing if there are to be none."""
    examples = [one["examples"] for one in found.slices[target]["slices"].values()]
    turns = (row for turn in zip_longest(*examples) for row in turn if row is not None)
    true = {example["row"]: example["true"] for example in turns}
    rows = list(true)[:most]
    if not rows or found.table is None:
        return {}
    places = [found.table.place(row) for row in rows]
    explained = explain_rows(run, found.table, places, [target], max_bad_rows=max_bad_rows)
    for row, one in zip(rows, explained[target]["rows"], strict=True):
        one |= {"row": row, "true": true[row]}
    return explained
