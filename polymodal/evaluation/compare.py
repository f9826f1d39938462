"""Models compared on the same rows: every pair tested, corrected for their number, best first.

Every run is measured anew on one table, so the rows are the same whatever was measured before. The
folder that `evaluate` writes is no substitute for its run: it keeps decoded predictions, and the
metrics are of scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base import lookup
from polymodal.base.claims import refuse_others
from polymodal.base.errors import UserError
from polymodal.base.files import make_folder, write_json
from polymodal.base.spelling import several
from polymodal.checks.gathered import gathered
from polymodal.contract.coded import Coded
from polymodal.contract.metric import Metric
from polymodal.contract.task import Answers, Task
from polymodal.evaluation import judge
from polymodal.evaluation.part import Part, account, clusters_of
from polymodal.metrics._weighted import Array
from polymodal.metrics.statistics import EXCHANGES, Clusters, bootstrap, exact, holm
from polymodal.prepared.cache import usable_folder
from polymodal.report import compared
from polymodal.report.console import label
from polymodal.run.run import Run
from polymodal.run.saved import load
from polymodal.table.ledger import Ledger
from polymodal.table.read import read
from polymodal.table.schema import FUSED

# Target -> model -> its members' shares.
Models = dict[str, dict[str, dict[str, float]]]

FILE = "compare.json"
# Two models differ if the corrected p-value is at most this.
LEVEL = 0.05
# Exchanges for every pair: the least p-value possible, times the pairs, must stay below LEVEL.
EXCHANGES_A_PAIR = 200


@dataclass(repr=False)
class Comparison:
    """How models did on the same rows.

    Attributes:
        rows: of the table.
        skipped: models of a single run that were planned and not trained: name -> why.
        targets: target -> `ranked`; its models also have "members" (their shares) and "cost".
        ledger: what became of every row.
        warnings: what speaks against the figures, in words: rows that a run has learned from.
    """

    rows: int
    targets: dict[str, dict[str, Any]]
    ledger: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """In a line; `text` says it all."""
        return f"<Comparison: {', '.join(self.targets)} on {self.rows:,} rows>"

    def _repr_html_(self) -> str:
        """For notebooks: what a terminal shows."""
        return f"<pre>{escape(self.text())}</pre>"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def save(self, folder: Path) -> None:
        """Write compare.json."""
        make_folder(folder)
        refuse_others(folder, [FILE], FILE, ["rows", "targets"])
        write_json(folder / FILE, self.to_json())

    def text(self) -> str:
        """For a terminal: a table of each target, best first, and which models are as good."""
        parts = [f"warning: {warning}" for warning in self.warnings]
        parts += [compared.text(name, found) for name, found in self.targets.items()]
        lost = [f"Not trained, and not compared: {n} ({why})." for n, why in self.skipped.items()]
        return "\n\n".join(parts + lost)


def compare(
    runs: str | Path | Run | Sequence[str | Path | Run],
    data: Any,
    *,
    target: str | Sequence[str] | None = None,
    group: str | None = None,
    max_bad_rows: int = 0,
    trust: bool = False,
) -> Comparison:
    """Measure models on the same rows and test every pair of them.

    Args:
        runs: runs or their folders. Of several, the fused models are compared; of a single one,
            all models that it keeps: its members, its rivals and the fused one.
        data: a table with the targets, as `read` takes it.
        target: those to compare on; by default all, which must then be the same in every run.
        group: column whose equal values are one cluster; by default the one that the runs were
            fitted with, where the table has it.
        max_bad_rows: rows whose media may be unreadable; they are measured without them.
        trust: execute the components of the user's own that the runs bring.

    Raises:
        UserError: there are no two models to compare, or they answer different questions: their
            targets, classes, metrics or groups differ.
    """
    loaded = _loaded([runs] if isinstance(runs, str | Path | Run) else runs, trust)
    targets = _targets(loaded, several(target))
    models = {who: _models(run, targets, who, len(loaded) == 1) for who, run in loaded.items()}
    fitted_group = _group(loaded, group)
    # Each run reads the file by its own encoding, and the cells by its own schema.
    encodings = {folder: run.recipe.data.encoding for folder, run in loaded.items()}
    read_once = {
        one: read(data, cache=usable_folder(), encoding=one)
        for one in dict.fromkeys(encodings.values())
    }
    raw = {folder: read_once[one] for folder, one in encodings.items()}
    tables = {n: run.table(raw[n], require_targets=True) for n, run in loaded.items()}
    less = {n: gathered(tables[n], run.schema, [*run.tasks.values()]) for n, run in loaded.items()}
    # Runs that read other inputs may find other rows to be one: then each counts.
    if len({rows.tobytes() for _, rows, _ in less.values()}) == 1:
        tables = {n: own for n, (own, _, _) in less.items()}
    table = next(iter(tables.values()))
    clusters = clusters_of(table, group, fitted_group)
    first = next(iter(loaded.values()))
    encoded = first.targets(next(iter(tables.values())))
    known = {name: Part(first.tasks[name], encoded[name], clusters) for name in targets}
    ledger, rows = Ledger(), np.arange(len(table))
    answers: dict[str, dict[str, Answers]] = {name: {} for name in targets}
    facts: dict[str, dict[str, Any]] = {name: {} for name in targets}
    for folder, run in loaded.items():
        prepared = run.prepare(tables[folder], ledger, max_bad_rows=max_bad_rows)
        # What a run says the likelihood of is spelled as it spells it.
        spelled = encoded if run is first else run.targets(tables[folder])
        scores = run.scores(prepared, rows, cache=usable_folder(), targets=spelled)
        present = run.present(tables[folder], prepared)
        for name, chosen in models[folder].items():
            for who, shares in chosen.items():
                if shares == run.weights[FUSED][name]:
                    combined = run.combine(scores, FUSED, [name], present)[name]
                else:
                    combined = known[name].task.merge({m: scores[m][name] for m in shares}, shares)
                answers[name][who] = known[name].of(combined)
                seconds = sum(run.members[m].facts["seconds"] for m in shares)
                cost = {**judge.cost(run, prepared, shares), "training_seconds": seconds}
                facts[name][who] = {"members": shares, "cost": cost}
    account(ledger, {name: part.rows for name, part in known.items()}, rows)
    warnings = [
        f"{who}: {line}" for who, run in loaded.items() for line in run.warnings(tables[who])
    ]
    lost = _skipped(first) if len(loaded) == 1 else {}
    found = Comparison(len(table), {}, ledger.to_json(), warnings, lost)
    for name, part in known.items():
        own = ranked(part.task, answers[name], part.targets, part.clusters)
        own["models"] = [{**model, **facts[name][model["name"]]} for model in own["models"]]
        found.targets[name] = own
    return found


def ranked(
    task: Task,
    answers: Mapping[str, Answers],
    targets: Answers,
    clusters: Clusters | None,
) -> dict[str, Any]:
    """Models by their primary metric, and every pair's difference, tested as the verdict's is.

    Args:
        task: fitted.
        answers: two models or more -> scores of the same rows, whose target is known.
        targets: encoded.
        clusters: each row's cluster, or None where rows are independent.

    Returns:
        {"metric", "greater_is_better", "rows", "test", "models": best first, {"name", "value",
        "low", "high", "difference" to the best (None for the best), "p"}, "pairs": {"first",
        "second", "difference", "p"}, "undistinguished": the models not told from the best}. A
        difference is {"value", "low", "high"} with its 95 % interval, above 0 where the first is
        better (also of an error); "p" is Holm's, corrected for all pairs, and a pair's "raw" not.
    """
    metrics = {who: _primary(task, own, targets, who) for who, own in answers.items()}
    better = next(iter(metrics.values())).greater_is_better
    sign, rows = 1 if better else -1, len(targets)
    ones = np.ones((1, rows))
    order = sorted(metrics, key=lambda who: -sign * float(metrics[who].statistic(ones)[0]))
    pairs = list(combinations(order, 2))

    def figures(weights: Array) -> dict[tuple[str, ...], Array]:
        own = {who: metrics[who].statistic(weights) for who in order}
        alone: dict[tuple[str, ...], Array] = {(who,): values for who, values in own.items()}
        return alone | {(a, b): sign * (own[a] - own[b]) for a, b in pairs}

    spans = bootstrap(figures, rows, clusters)
    exchanges = max(EXCHANGES, EXCHANGES_A_PAIR * len(pairs))
    tests = [
        judge.paired_test(task, answers[a], answers[b], targets, clusters, exchanges)
        for a, b in pairs
    ]
    corrected = dict(zip(pairs, holm([test.p for test in tests]), strict=True))
    best, *others = order
    for who in order:
        spans[who,] = exact(spans[who,], metrics[who], rows, clusters)
    behind = {who: spans[best, who] for who in others}
    return {
        "metric": task.primary,
        "greater_is_better": better,
        "rows": rows,
        "test": tests[0].name,
        "models": [
            {"name": best, **asdict(spans[best,]), "difference": None, "p": None},
            *(
                {
                    "name": who,
                    **asdict(spans[who,]),
                    # From 0, or no difference would be -0.
                    "difference": {
                        "value": 0 - gain.value,
                        "low": 0 - gain.high,
                        "high": 0 - gain.low,
                    },
                    "p": corrected[best, who],
                }
                for who, gain in behind.items()
            ),
        ],
        "pairs": [
            {
                "first": a,
                "second": b,
                "difference": asdict(spans[a, b]),
                "raw": test.p,
                "p": corrected[a, b],
            }
            for (a, b), test in zip(pairs, tests, strict=True)
        ],
        "undistinguished": [who for who in others if corrected[best, who] > LEVEL],
    }


def _primary(task: Task, scores: Answers, targets: Answers, who: str) -> Metric:
    found = task.metrics(scores, targets).get(task.primary)
    if found is None:
        raise UserError(
            f"The {task.primary} of '{who}' is not defined on these rows",
            expected=f"rows of '{task.name}' with something of what it counts",
            do="compare on another table",
        )
    return found


def _loaded(runs: Sequence[str | Path | Run], trust: bool) -> dict[str, Run]:
    """What to call each run -> the run."""
    found: dict[str, Run] = {}
    for i, one in enumerate(runs):
        folder = one.folder if isinstance(one, Run) else Path(one)
        name = f"run {i + 1}" if folder is None else str(folder)
        if name in found:
            raise UserError(f"'{name}' is given twice", expected="different runs to compare")
        if isinstance(one, Run):
            found[name] = one
            continue
        if (Path(one) / "metrics.json").is_file() and not (Path(one) / "run.json").is_file():
            raise UserError(
                f"'{one}' is the evaluation of a run",
                expected="the folder of the run itself",
                do="give the run, and the table that it was evaluated on as `data`",
            )
        found[name] = load(one, trust=trust)
    if not found:
        raise UserError("No run was given", expected="the folder of at least one")
    return found


def _targets(runs: Mapping[str, Run], asked: Sequence[str]) -> list[str]:
    """The targets to compare on, after a look at whether every run means the same by them."""
    (reference, first), *others = runs.items()
    for who, run in runs.items():
        for name in asked:
            if name not in run.tasks:
                raise UserError(
                    f"'{who}' does not predict '{name}' (`target`)",
                    expected=f"one of {', '.join(run.tasks)}",
                )
        if not asked and set(run.tasks) != set(first.tasks):
            raise UserError(
                f"'{reference}' and '{who}' do not predict the same targets",
                expected=", ".join(first.tasks),
                got=", ".join(run.tasks),
                do="compare on one that they share: `target COLUMN`",
            )
    names = list(asked or first.tasks)
    for name in names:
        for who, run in others:
            _refuse_another_question(name, reference, first, who, run)
    return names


def _refuse_another_question(target: str, reference: str, first: Run, who: str, run: Run) -> None:
    """UserError unless both runs answer with the same classes and are measured by one metric."""
    one, other = first.tasks[target], run.tasks[target]
    kinds = [f"{task.primary} of {lookup.name_of(type(task))}" for task in (one, other)]
    if kinds[0] != kinds[1]:
        raise UserError(
            f"'{reference}' and '{who}' are not measured by the same metric on '{target}'",
            expected=kinds[0],
            got=kinds[1],
            do=f"fit both with the same task and kind for '{target}'",
        )
    if isinstance(one, Coded) and one.form.fingerprint != other.form.fingerprint:
        raise UserError(
            f"'{reference}' and '{who}' do not draw '{target}' in the same codes",
            expected="runs of one tokenizer: what a code costs says nothing of another's codes",
            do="evaluate each, and have a third model judge what they draw",
        )
    classes = [list(task.classes) for task in (one, other)]
    if classes[0] != classes[1]:
        only = [sorted(set(a) - set(b)) for a, b in (classes, classes[::-1])]
        raise UserError(
            f"'{reference}' and '{who}' do not know the same classes of '{target}'",
            expected="the same classes in both, so that both could have answered every row",
            got="; ".join(
                f"only '{folder}' knows {', '.join(names[:10])}"
                for folder, names in zip((reference, who), only, strict=True)
                if names
            ),
            do="fit both on rows that have every class",
        )


def _models(run: Run, targets: Sequence[str], who: str, alone: bool) -> Models:
    """What of a run is compared: its fused model, or if it is `alone` all its models."""
    if not alone:
        return {name: {who: run.weights[FUSED][name]} for name in targets}
    found = {name: _kept(run, name) for name in targets}
    for name, models in found.items():
        if len(models) < 2:
            raise UserError(
                f"'{who}' keeps only one model of '{name}', so there is nothing to compare",
                expected="several runs, or one with several models",
                got="; ".join(f"{n} was not trained: {why}" for n, why in _skipped(run).items()),
                do="give more runs, or fit with several fusions (`fusion`)",
            )
    return found


def _skipped(run: Run) -> dict[str, str]:
    """What a fit planned and did not train, and why."""
    return {one["name"]: one["skipped"] for one in run.attempts if one["skipped"]}


def _kept(run: Run, target: str) -> dict[str, dict[str, float]]:
    """The models of a run's leaderboard whose members it keeps, each once."""
    found: dict[str, dict[str, float]] = {}
    for line in run.leaderboard:
        members = line["members"]
        known = line["target"] == target and members and members.keys() <= run.members.keys()
        if known and members not in found.values():
            found[label(line)] = members
    return found


def _group(runs: Mapping[str, Run], asked: str | None) -> str | None:
    """The column that the runs were fitted to keep together."""
    groups = {run.schema.group for run in runs.values()} - {None}
    if asked is None and len(groups) > 1:
        raise UserError(
            "The runs were fitted with different groups",
            expected="one column whose equal values belong together",
            got=", ".join(sorted(str(group) for group in groups)),
            do="`group COLUMN`",
        )
    return next(iter(groups), None)
