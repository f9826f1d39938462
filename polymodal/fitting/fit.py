"""The conductor: read, check, split, prepare, train, combine, save."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base import brought, lookup
from polymodal.base.deadline import Late
from polymodal.base.devices import refuse_several_processes
from polymodal.base.errors import UserError
from polymodal.base.files import write_json
from polymodal.checks import check as checks
from polymodal.checks import split as splits
from polymodal.checks._finding import Finding
from polymodal.contract.recipe import Member, Recipe, Spec, overruled
from polymodal.contract.task import Task
from polymodal.evaluation.game import constant
from polymodal.fitting import learn, plan
from polymodal.fitting.folder import checkpoints, claimed, mark, resumed, unmark
from polymodal.metrics.metrics import primary
from polymodal.metrics.statistics import codes, interval
from polymodal.models import build
from polymodal.models.ensemble import average, greedy
from polymodal.prepared.cache import Files, default_folder
from polymodal.prepared.cells import cells, digest
from polymodal.prepared.collate import Targets
from polymodal.prepared.prepare import prepare
from polymodal.report.console import Show
from polymodal.run.run import Run, Trained
from polymodal.table import infer
from polymodal.table.ledger import Ledger
from polymodal.table.read import read
from polymodal.table.schema import CONSTANT, FUSED
from polymodal.train.loop import Scores
from polymodal.train.trackers import Trackers

Rows = Sequence[np.ndarray[Any, Any]]

# The task that a target's kind means.
TASK = {"category": "classify", "number": "regress", "set": "multilabel", "tags": "tag"}
# Of a line of the leaderboard: the model, a modality's own best, always the same answer, one of
# what the first two combine.
ROLES = ("fused", "rival", CONSTANT, "member")
# Share of the rows that validation takes where nothing says another.
VALID = 0.15
# What of the budget is left for reading back, measuring and saving after the last member.
RESERVE = 0.06
# Parts of the time that is left for those that learn by gradient: of one that fuses, and of each
# modality's rival.
FUSED_PART, RIVAL_PART = 8.0, 1.0
# An expert may take this much of the time that is left; most need far less, and in a short time
# nothing reaches as far.
EXPERT_SHARE = 0.5


def fit(
    train: Any = None,
    target: str | Sequence[str] | None = None,
    *,
    valid: Any = None,
    recipe: Recipe | None = None,
    kinds: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    group: str | None = None,
    split: str | None = None,
    folds: int | None = None,
    max_bad_rows: int | None = None,
    budget: float | None = None,
    seed: int | None = None,
    fusion: Spec | Sequence[Spec] | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    trackers: Sequence[str] = (),
    show: Show | None = None,
) -> Run:
    """Train, compare and combine models of a table.

    Args:
        train: any source that `polymodal.table.read.read` takes.
        target: column or columns to predict.
        valid: validation table; otherwise rows are split from `train`.
        recipe: everything spelled out; the other arguments overrule it.
        kinds: column -> kind, overruling what is inferred.
        drop: columns to leave out.
        group: column whose equal values stay on one side of every split.
        split: how validation rows are taken: "random", "stratified", "group", "time:COLUMN".
        folds: cross-validate with this many instead.
        max_bad_rows: so many unreadable cells of a modality count as missing.
        budget: seconds for the whole fit.
        seed: same seed, same data, same machine: same run, unless a budget decides by the clock
            how long each member trains.
        fusion: this fusion instead of the plan's models, or several to be compared: each has the
            same time, the rivals less. Each modality is trained alone too.
        out: folder of the run; the same fit, interrupted there, is resumed.
        overwrite: replace a finished run in `out`, or an interrupted fit of something else.
        trackers: "tensorboard", "wandb", "mlflow": also log there.
        show: where progress goes; None shows nothing.

    Returns:
        The run, saved in `out` if given.

    Raises:
        UserError: the input is at fault.
        Interrupted: Ctrl-C; what was done is kept in `out`.
    """
    recipe = overruled(
        recipe or Recipe(),
        target=target,
        kinds=kinds,
        drop=drop,
        fusion=fusion,
        seed=seed,
        budget=budget,
        group=group,
        split=split,
        folds=folds,
        max_bad_rows=max_bad_rows,
    )
    refuse_several_processes()
    train = train if train is not None else recipe.train
    valid = valid if valid is not None else recipe.valid
    if train is None:
        raise UserError(
            "No training table was given", do="name one, or put `train` into the recipe"
        )
    if not recipe.targets:
        raise UserError(
            "No target was given",
            expected="at least one column to predict",
            do="name it: `target` COLUMN",
        )
    if valid is not None and (unused := recipe.data.division()):
        raise UserError(
            f"{', '.join(unused)} cannot divide rows that are already divided",
            expected="either a validation table, or how to take validation rows from the training "
            "table",
            do=f"leave out {', '.join(unused)}, or the validation table",
        )
    temporary = out is None
    folder = default_folder() / "unsaved" / str(time.time_ns()) if out is None else Path(out)
    with claimed(folder, overwrite, temporary):
        fitted = _Fit(train, valid, recipe, folder, trackers, show or Show.silent())
        return fitted.run(overwrite=overwrite, temporary=temporary)


class _Fit:
    def __init__(
        self,
        train: Any,
        valid: Any,
        recipe: Recipe,
        out: Path,
        trackers: Sequence[str],
        show: Show,
    ) -> None:
        self.start = time.perf_counter()
        self.recipe, self.show = recipe, show
        self.cache = default_folder()
        self.ledger = Ledger()
        self.out = out
        config = {"seed": recipe.seed, "targets": ", ".join(recipe.targets)}
        self.trackers = Trackers(trackers, self.out / "logs", config)
        self.table = read(train, cache=self.cache)
        self.given_valid = 0
        own = len(self.table)
        if valid is not None:
            second = read(valid, cache=self.cache)
            self.given_valid = len(second)
            self.table = self.table.concat(second)
        self.own = own
        self.schema = infer.infer(
            self.table, list(recipe.targets), recipe.data.kinds, recipe.data.drop, recipe.data.group
        )
        show.schema(self.schema, self.table)

    def run(self, *, overwrite: bool, temporary: bool) -> Run:
        self._check()
        train, valid, folds = self._split()
        self.tasks = self._tasks(train)
        targets = self._targets(valid)
        request, budget = self._request(), self.recipe.budget
        self.members = resumed(self.out, request, budget, overwrite) or self._planned(len(train))
        for member in self.members:
            build.check(member, self.schema.modalities())
        self.job = learn.Job(
            self.schema,
            self.tasks,
            targets,
            self._tagged(),
            {},
            {},
            self.cache,
            self.recipe.seed,
            self.show.step,
            self.trackers.log,
        )
        if self.schema.group is not None:
            self.job.groups = codes(self.table.cells(self.schema.group))
        self._prepare(train)
        self.show.plan(self.members, len(train), len(valid), len(folds))
        mark(self.out, request, budget, self.members, overwrite)
        self.trackers.start()
        try:
            trained, scores, rows = self._train(train, valid, folds)
        finally:
            self.trackers.close()
        run = self._combine(trained, scores, rows)
        self._save(run, temporary)
        return run

    # -- before training ---------------------------------------------------------------------

    def _check(self) -> None:
        train = self.table.slice(0, self.own)
        valid = self.table.slice(self.own) if self.given_valid else None
        allowed = self.recipe.data.max_bad_rows
        report = checks.check(train, self.schema, valid=valid, max_bad_rows=allowed)
        self.show.findings(report)
        self.findings = report

    def _split(self) -> tuple[Any, Any, list[tuple[Any, Any]]]:
        data = self.recipe.data
        if self.given_valid:
            return np.arange(self.own), np.arange(self.own, len(self.table)), []
        count = data.folds
        free = data.valid is None and not self.recipe.models
        if not count and free and len(self.table) < plan.FEW_ROWS:
            count = plan.FOLDS
        if count:
            folds = splits.folds(
                self.table,
                self.schema,
                count,
                data.split,
                seed=self.recipe.seed,
                group=data.group,
                time=data.time,
            )
            return np.arange(len(self.table)), np.arange(0), folds
        train, valid = splits.split(
            self.table,
            self.schema,
            data.split,
            valid=data.valid or VALID,
            seed=self.recipe.seed,
            group=data.group,
            time=data.time,
        )
        return train, valid, []

    def _tasks(self, train: np.ndarray[Any, Any]) -> dict[str, Task]:
        found = {}
        for column in self.schema.targets:
            spec = self.recipe.targets.get(column.name) or TASK[column.kind]
            task: Task = lookup.build("tasks", spec, column.name)
            cells = self.table.cells(column.name)
            task.fit([cells[i] for i in train])
            found[column.name] = task
        return found

    def _targets(self, valid: np.ndarray[Any, Any]) -> dict[str, Targets]:
        """Encoded targets; a validation row whose class no training row had lacks its own."""
        found = {}
        self.unseen = np.zeros(len(self.table), bool)
        for name, task in self.tasks.items():
            cells = self.table.cells(name)
            unseen = [row for row in valid.tolist() if task.is_unseen(cells[row])]
            if unseen:
                what = f"a class of '{name}' that no training row has"
                self._warn(
                    f"{len(unseen):,} of {len(valid):,} validation rows have {what}",
                    len(unseen),
                    f"{cells[unseen[0]]!r} in row {unseen[0]}",
                    "They are not measured, so the figures say nothing about new classes",
                )
                self.ledger.add("skipped", f"validation with {what}", unseen)
            for row in unseen:
                cells[row] = None
            self.unseen[unseen] = True
            found[name] = Targets(task, cells)
            if len(valid) and not found[name].known()[valid].any():
                raise UserError(
                    f"No validation row has a value of '{name}' that training rows have too",
                    expected="at least one, to choose models by",
                    do="split otherwise (`split`), or give other validation rows (`valid`)",
                )
        return found

    def _warn(self, what: str, count: int, example: str, advice: str) -> None:
        """One more finding, which only the split has shown."""
        finding = Finding("warning", what, count, example, advice)
        self.show.findings(checks.Report([finding]))
        self.findings = checks.Report([*self.findings.findings, finding])

    def _tagged(self) -> dict[str, str]:
        """Tag target -> the text modality whose words it labels."""
        return {c.name: c.details["text"] for c in self.schema.targets if c.kind == "tags"}

    def _planned(self, rows: int) -> list[Member]:
        known = plan.facts(self.table, self.schema, rows, self.recipe)
        return plan.members(self.schema, known, self.recipe)

    def _request(self) -> dict[str, Any]:
        """What makes a fit this one, its budget apart: recipe, the user's own code, data."""
        with Files(self.cache) as files:
            data = digest(self.table, self.schema.inputs, files)
        recipe = self.recipe.model_dump(exclude={"budget", "train", "valid"})
        return {"recipe": recipe, "code": brought.contents(recipe), "data": data}

    def _prepare(self, train: np.ndarray[Any, Any]) -> None:
        """Every form that some member needs: fitted on training rows, all cells encoded once."""
        grouped = self.schema.modalities()
        data = self.recipe.data
        for member in self.members:
            for name in member.modalities:
                form = build.form_for(member, name, grouped[name])
                key = learn.form_key(name, form)
                if key in self.job.forms:
                    continue
                present = cells(self.table, grouped[name], train)
                form.fit(cell for cell in present if cell is not None)
                prepared = prepare(
                    self.table,
                    grouped[name],
                    form,
                    cache=self.cache,
                    workers=data.workers,
                    ledger=self.ledger,
                    max_bad_rows=data.max_bad_rows,
                    progress=self.show.preparing(name, form),
                )
                self.job.forms[key], self.job.prepared[key] = form, prepared
        known = self._known(np.arange(len(self.table)))
        self.ledger.add("skipped", "no value in any target", np.flatnonzero(~known & ~self.unseen))
        self.ledger.add("used", "training or validation", np.flatnonzero(known))

    # -- training ----------------------------------------------------------------------------

    def _train(
        self, train: np.ndarray[Any, Any], valid: np.ndarray[Any, Any], folds: list[tuple[Any, Any]]
    ) -> tuple[dict[str, Trained], dict[str, Scores], np.ndarray[Any, Any]]:
        """All members; their scores are of `rows`: the validation rows, or every row by folds."""
        trained: dict[str, Trained] = {}
        scores: dict[str, Scores] = {}
        rows = np.sort(np.concatenate([b for _, b in folds])) if folds else valid
        rows = rows[self._known(rows)]
        self.left_at_first = self._left()

        def attempt(member: Member, allowance: float, must: bool = False) -> None:
            folder = checkpoints(self.out, member)
            if folds:
                found = self._by_folds(member, train, folds, rows, folder, allowance, must)
            else:
                found = learn.learn(self.job, member, train, rows, folder, allowance, must=must)
            trained[member.name], scores[member.name] = found
            self.show.trained(member.name, found[0].facts)

        longest, skipped = 0.0, []
        for i, member in enumerate(self.members):
            allowance = self._allowance(i)
            try:
                if allowance <= 0:
                    raise Late("the budget is spent")
                if self._is_further(i) and allowance < longest:
                    raise Late("it would have less time than those before it had")
                attempt(member, allowance)
                if not build.is_expert(member):
                    longest = max(longest, trained[member.name].facts["seconds"])
            except Late as late:
                self.show.skipped(member.name, str(late))
                skipped.append(member)
        # What others have left over: without a rival a modality cannot win against the fusion.
        lacking = [m for m in skipped if self._is_lacking(m, trained)]
        for i, member in enumerate(lacking):
            allowance = self._left() / (len(lacking) - i)
            if allowance > 0:
                with contextlib.suppress(Late):
                    attempt(member, allowance)
                    skipped.remove(member)
        if skipped and self.recipe.budget is not None:
            self.show.too_short(len(skipped), self.recipe.budget, len(folds))
        if not trained:
            # One model there must be, and the first is the best that little time can give: the
            # plan's is the linear expert on everything, part of which may be done already.
            attempt(self.members[0], 0.0, must=True)
        return trained, scores, rows

    @staticmethod
    def _is_lacking(member: Member, trained: Mapping[str, Trained]) -> bool:
        """Whether a member is of one modality that no trained member is of."""
        has = [list(one.spec.modalities) for one in trained.values()]
        return len(member.modalities) == 1 and list(member.modalities) not in has

    def _known(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        known = np.zeros(len(self.table), bool)
        for target in self.job.targets.values():
            known |= target.known()
        return known[rows]

    def _by_folds(
        self,
        member: Member,
        train: np.ndarray[Any, Any],
        folds: list[tuple[Any, Any]],
        rows: np.ndarray[Any, Any],
        folder: Path,
        allowance: float,
        must: bool,
    ) -> tuple[Trained, Scores]:
        """Out-of-fold scores, then one model of all rows, for as long as the folds found best.

        Raises:
            Late: as `learn` does; that an expert will not be done in time the first fold may show.
        """
        place = {row: i for i, row in enumerate(rows)}
        collected: dict[str, list[Any]] = {n: [None] * len(rows) for n in self.tasks}
        shares, seconds = [], 0.0
        expert, end = build.is_expert(member), time.perf_counter() + allowance

        def part() -> float:
            """A network is told its steps; an expert takes what it needs of all that is left."""
            return end - time.perf_counter() if expert else allowance / (len(folds) + 1)

        for k, (inner, outer) in enumerate(folds):
            outer = outer[self._known(outer)]
            job = replace(self.job, log=partial(self._log_fold, k))
            one, scores = learn.learn(job, member, inner, outer, folder / str(k), part(), must=must)
            if k == 0 and expert and not must and one.facts["seconds"] * len(folds) > part():
                raise Late("it would not be done in its part of the time")
            for target, values in scores.items():
                for row, value in zip(outer, values, strict=True):
                    collected[target][place[row]] = value
            seconds += one.facts["seconds"]
            if "best_step" in one.facts:
                shares.append(one.facts["best_step"] / one.facts["planned_steps"])
        share = float(np.median(shares)) if shares else 1.0
        # What the folds have cost is lost without this one: a network makes its least steps.
        must |= not expert
        last, least = folder / "all", max(share, 0.2)
        whole, _ = learn.learn(
            self.job, member, train, np.arange(0), last, part(), share=least, must=must
        )
        facts = {**whole.facts, "seconds": round(seconds + whole.facts["seconds"], 2)}
        return replace(whole, facts=facts), collected

    def _log_fold(self, k: int, member: str, step: int, numbers: dict[str, float]) -> None:
        self.trackers.log(f"{member}/fold {k}", step, numbers)

    def _allowance(self, position: int) -> float:
        """Seconds for a member: its part of what is left; what it does not use is the others'."""
        left = self._left()
        learners = [i for i, m in enumerate(self.members) if not build.is_expert(m)]
        if position not in learners:
            return left * EXPERT_SHARE
        if self._is_further(position):
            return left / (len(self.members) - position)

        def part(i: int) -> float:
            return RIVAL_PART if len(self.members[i].modalities) == 1 else FUSED_PART

        if self.recipe.compare:
            # What one leaves is nobody's: the next would be compared at an advantage.
            wanting, left = learners, self.left_at_first if left > 0 else 0.0
        else:
            wanting = [i for i in learners if i >= position and not self._is_further(i)]
        return left * part(position) / sum(part(i) for i in wanting)

    def _left(self) -> float:
        """Seconds of the budget for all that is still to be trained."""
        if self.recipe.budget is None:
            return math.inf
        return self.recipe.budget * (1 - RESERVE) - (time.perf_counter() - self.start)

    def _is_further(self, position: int) -> bool:
        """Whether a member is one of the plan's fusions that only left-over time goes to."""
        return not self.recipe.models and self.members[position].fusion in plan.FURTHER

    # -- after training ----------------------------------------------------------------------

    def _combine(
        self, trained: dict[str, Trained], scores: dict[str, Scores], rows: np.ndarray[Any, Any]
    ) -> Run:
        """Weights by validation for the fused model and for each modality's rival; leaderboard."""
        groups = {FUSED: list(trained)}
        names = list(self.schema.modalities())
        if len(names) > 1:
            for modality in names:
                own = [n for n, t in trained.items() if list(t.spec.modalities) == [modality]]
                if own:
                    groups[modality] = own
        weights: dict[str, dict[str, dict[str, float]]] = {g: {} for g in groups}
        board: list[dict[str, Any]] = []
        for target, task in self.tasks.items():
            values = [self.job.targets[target].values[row] for row in rows]
            lines = []
            for group, candidates in groups.items():
                mine = {n: scores[n][target] for n in candidates if target in scores[n]}
                chosen = greedy(mine, partial(_criterion, task, values))
                weights[group][target] = chosen
                combined = average({n: mine[n] for n in chosen}, chosen)
                role = "fused" if group == FUSED else "rival"
                lines.append(self._line(group, role, target, combined, rows, chosen, trained))
            # `combined` gives its shape: tags have an answer for every word.
            same = constant(task, combined)
            lines.append(self._line(CONSTANT, CONSTANT, target, same, rows, {}, trained))
            for name in trained:
                found, alone = scores[name][target], {name: 1.0}
                lines.append(self._line(name, "member", target, found, rows, alone, trained))
            board += best_first(lines)
        used = {n for g in weights.values() for shares in g.values() for n in shares}
        # Fusions are compared by what they say on other rows, whether or not they are used.
        kept = {n: t for n, t in trained.items() if n in used or self.recipe.compare}
        forms = self._numbered(kept)
        shapes = [self.job.prepared[key].shape for key in forms]
        recipe = self.recipe.model_copy(
            update={
                "models": [t.spec for t in trained.values()],
                "rivals": False,
            }
        )
        return Run(
            recipe,
            self.schema,
            [self.job.forms[key] for key in forms],
            shapes,
            self.tasks,
            self.job.tagged,
            kept,
            weights,
            board,
            self.ledger.to_json(),
        )

    def _line(
        self,
        name: str,
        role: str,
        target: str,
        scores: list[np.ndarray[Any, Any]],
        rows: np.ndarray[Any, Any],
        shares: dict[str, float],
        trained: dict[str, Trained],
    ) -> dict[str, Any]:
        task, job = self.tasks[target], self.job
        values = [job.targets[target].values[row] for row in rows]
        # Not every metric is defined on every table: no entity, no F1.
        metric = primary(task, scores, values)
        clusters = None if job.groups is None else job.groups[rows]
        found = interval(metric, len(values), clusters, seed=self.recipe.seed)
        return {
            "name": name,
            "role": role,
            "target": target,
            "metric": task.primary,
            "greater_is_better": metric.greater_is_better,
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "members": shares,
            "parameters": sum(trained[n].facts["parameters"] for n in shares),
            "seconds": round(sum(trained[n].facts["seconds"] for n in shares), 1),
        }

    def _numbered(self, kept: dict[str, Trained]) -> list[str]:
        """Keys of the forms that kept members read; sets each member's positions in the list."""
        order: dict[str, int] = {}
        for trained in kept.values():
            for name, key in self.job.keys(trained.spec).items():
                trained.forms[name] = order.setdefault(key, len(order))
        return list(order)

    def _save(self, run: Run, temporary: bool) -> None:
        if not temporary:
            write_json(self.out / "check.json", self.findings.to_json())
            run.save(self.out)
            unmark(self.out)
        self.show.done(run, time.perf_counter() - self.start)


def preflight(
    train: Any,
    targets: Sequence[str],
    valid: Any,
    test: Any,
    kinds: Mapping[str, str],
    drop: Sequence[str],
    group: str | None,
    max_bad_rows: int,
    show: Show,
) -> checks.Report:
    """The checks of a fit without the fit; shows the schema and what was found."""
    read_cached = partial(read, cache=default_folder())
    table = read_cached(train)
    schema = infer.infer(table, list(targets), dict(kinds), list(drop), group)
    show.schema(schema, table)
    valid, test = (None if source is None else read_cached(source) for source in (valid, test))
    # A fit decodes every cell itself, and tells of each that is bad.
    forms = build.media_forms(schema)
    report = checks.check(table, schema, valid, test, forms=forms, max_bad_rows=max_bad_rows)
    show.findings(report)
    return report


def best_first(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One target's lines by role, each role's best first."""

    def place(line: dict[str, Any]) -> tuple[int, float]:
        value = -line["value"] if line["greater_is_better"] else line["value"]
        return ROLES.index(line["role"]), math.inf if math.isnan(value) else value

    return sorted(lines, key=place)


def _criterion(task: Task, values: Rows, scores: Rows) -> float:
    return task.criterion(scores, values)
