"""The conductor: read, check, divide, prepare, train, combine, save.

Each stage is a function, and hands what it found to the next: `Opened`, `Division`, `Aims`
(`data.py`), `Job` (`job.py`), `Candidates` (`trials.py`), `Run` (`combine.py`).
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base import brought, lookup
from polymodal.base.devices import refuse_several_processes, seeded
from polymodal.base.errors import UserError
from polymodal.base.files import write_json
from polymodal.base.spelling import seconds, several
from polymodal.checks import check as checks
from polymodal.checks._finding import Finding
from polymodal.checks.split import together
from polymodal.contract import named
from polymodal.contract.form import Form
from polymodal.contract.recipe import Member, Recipe, Spec
from polymodal.contract.resolve import overruled, recipe_of, share
from polymodal.fitting import codes, plan, trials
from polymodal.fitting.backbones import backbones
from polymodal.fitting.clock import Clock
from polymodal.fitting.combine import combine
from polymodal.fitting.data import (
    Aims,
    Opened,
    account,
    aimed,
    checked,
    divided,
    opened,
    refuse_division,
)
from polymodal.fitting.folder import claimed, mark, resumed, spend, spent, unmark
from polymodal.fitting.job import Cells, Forms, Job, form_key
from polymodal.fitting.parent import Origin, origin, settled
from polymodal.fitting.room import leave_out
from polymodal.fitting.teacher import teaching
from polymodal.metrics import statistics
from polymodal.models import build
from polymodal.prepared.cache import default_folder
from polymodal.prepared.cells import cells, digest
from polymodal.prepared.prepare import Prepared, prepare
from polymodal.report.console import Show
from polymodal.run.run import Run
from polymodal.run.saved import save
from polymodal.table.ledger import Ledger
from polymodal.train.trackers import Trackers


def fit(
    train: Any = None,
    target: str | Sequence[str] | None = None,
    *,
    valid: Any = None,
    recipe: Recipe | str | Path | None = None,
    kinds: Mapping[str, str] | None = None,
    drop: str | Sequence[str] = (),
    decimal: Mapping[str, str] | None = None,
    date: Mapping[str, str] | None = None,
    missing: Mapping[str, str | Sequence[str]] | None = None,
    encoding: str | None = None,
    group: str | None = None,
    split: str | None = None,
    folds: int | None = None,
    metric: str | None = None,
    max_bad_rows: int | None = None,
    budget: float | str | None = None,
    seed: int | None = None,
    fusion: Spec | Sequence[Spec] | None = None,
    pretrained: str | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    trackers: str | Sequence[str] = (),
    show: Show | None = None,
    parent: str | Path | Mapping[str, Any] | None = None,
    teacher: str | Path | Mapping[str, Any] | None = None,
    trust: bool = False,
) -> Run:
    """Train, compare and combine models of a table.

    Args:
        train: any source that `polymodal.table.read.read` takes.
        target: column or columns to predict.
        valid: validation table, or the share of the rows of `train` that is held out (0.2).
        recipe: everything spelled out, or its file; the other arguments overrule it.
        kinds: column -> kind, overruling what is inferred.
        decimal: column -> "." or ",", or "*" for all: what "6,174" means.
        date: column -> "dmy", "mdy", "ymd" or a format such as "%d.%m.%y", or "*" for all dates.
        missing: column -> words that say that nothing is known, or "*" for all.
        encoding: of CSV files that are not UTF-8, such as "cp1252".
        drop: columns to leave out.
        group: column whose equal values stay on one side of every split.
        split: how validation rows are taken: "random", "stratified", "group", "time:COLUMN".
        folds: cross-validate with this many instead.
        metric: what models are chosen, shown and judged by, instead of each task's primary metric.
        max_bad_rows: so many unreadable cells of a modality count as missing.
        budget: seconds for the whole fit, or "30s", "5m", "2h".
        seed: same seed, same data, same machine: same run, unless a budget decides by the clock
            how long each member trains.
        fusion: this fusion instead of the plan's models, or several to be compared: each has the
            same time, the rivals less. Each modality is trained alone too.
        pretrained: models trained elsewhere that may read cells: "installed" (what packages and the
            hub's local cache have), "hub" (a short list may be downloaded too) or "none".
        out: folder of the run; the same fit, interrupted there, is resumed.
        overwrite: replace a finished run in `out`, or an interrupted fit of something else.
        trackers: "tensorboard", "wandb", "mlflow": also log there.
        show: where progress goes; by default standard error, and nowhere with `Show.silent()`.
        parent: folder of a run to start from, such as `pretrain` makes: networks take over encoders
            and forms of the columns that have the same names. Or a mapping with the folder under
            "run" and, under "columns", this table's columns -> what the parent calls them.
        teacher: folder of a run whose answers one network learns in the labels' place, or a mapping
            of it under "run" and of their "share" (.9).
        trust: execute the components of the user's own that parent and teacher bring.

    Returns:
        The run, saved in `out` if given.

    Raises:
        UserError: the input is at fault.
        Interrupted: Ctrl-C; what was done is kept in `out`.
    """
    start = time.perf_counter()
    part = share(valid)
    valid = None if part is not None else valid
    recipe = overruled(
        recipe_of(recipe),
        target=target,
        kinds=kinds,
        drop=drop,
        fusion=fusion,
        pretrained=pretrained,
        seed=seed,
        budget=seconds(budget) if isinstance(budget, str) else budget,
        group=group,
        split=split,
        folds=folds,
        metric=metric,
        max_bad_rows=max_bad_rows,
        decimal=decimal or None,
        date=date or None,
        missing={name: several(words) for name, words in missing.items()} if missing else None,
        encoding=encoding,
        valid=part,
        parent=str(parent) if isinstance(parent, Path) else parent,
        teacher=str(teacher) if isinstance(teacher, Path) else teacher,
    )
    refuse_several_processes()
    train = train if train is not None else recipe.train
    valid = valid if valid is not None or part is not None else recipe.valid
    if train is None:
        raise UserError(
            "No training table was given", do="name one, or put `train` into the recipe"
        )
    if not recipe.targets:
        raise UserError(
            "No target was given",
            expected="at least one column to predict",
            do="name it: `target COLUMN`",
        )
    if valid is not None:
        refuse_division(recipe)
    # Where a saved recipe lies, the tables do not: their paths must not depend on it.
    paths: dict[str, Any] = {"train": _absolute(recipe.train), "valid": _absolute(recipe.valid)}
    for key in ("parent", "teacher"):
        if (named_run := getattr(recipe, key)) is not None:
            folder_ = str(Path(named_run.run).resolve())
            paths[key] = named_run.model_copy(update={"run": folder_})
    recipe = recipe.model_copy(update=paths)
    temporary = out is None
    folder = default_folder() / "unsaved" / str(time.time_ns()) if out is None else Path(out)
    show = show or Show(sys.stderr)
    config = {"seed": recipe.seed, "targets": ", ".join(recipe.targets)}
    with show, claimed(folder, overwrite, temporary):
        show.doing("read the table", "reading")
        logs = Trackers(several(trackers), folder / "logs", config)
        data = opened(train, valid, recipe, default_folder())
        show.schema(data.schema, data.table, data.named)
        with lookup.blaming(lambda: named.names(recipe.model_dump())):
            run, report = _fitted(data, recipe, folder, overwrite, start, logs, show, trust)
        show.doing("save", "combining")
        if not temporary:
            write_json(folder / "check.json", report.to_json())
            save(run, folder)
            unmark(folder)
        show.done(run, time.perf_counter() - start)
        return run


def _fitted(
    data: Opened,
    recipe: Recipe,
    out: Path,
    overwrite: bool,
    start: float,
    logs: Trackers,
    show: Show,
    trust: bool,
) -> tuple[Run, checks.Report]:
    """From the tables to the run, and what was found in them."""
    ledger = Ledger()
    show.doing("look for trouble in the table", "checks")
    report = checked(data, recipe)
    show.findings(report)
    show.doing("divide the rows and plan the models", "planning")
    division = divided(data, recipe)
    aims = aimed(data, division, recipe, ledger)
    show.findings(checks.Report(aims.findings))
    parent = None if recipe.parent is None else origin(recipe.parent, data.schema, trust)
    request = _request(data, recipe)
    request |= {} if parent is None else {"parent": parent.hash}
    taught = None if recipe.teacher is None else teaching(recipe.teacher, trust)
    request |= {} if taught is None else {"teacher": taught.hash}
    members = resumed(out, request, recipe.budget, overwrite)
    taken = 0.0 if members is None else spent(out, request, recipe.budget)
    if members is None:
        rows, tasks = len(division.train), aims.tasks.values()
        vectors = {} if parent is None or recipe.models else parent.vectors()
        tagged, written = plan.tagged(tasks), plan.written(tasks)
        read = backbones(data.contents, data.schema, recipe, tagged, vectors, written)
        show.findings(checks.Report(read.findings))
        known = plan.facts(data.table, data.schema, rows, recipe, tasks, read)
        if parent is not None:
            known = replace(known, started=parent.modalities(), width=parent.width)
        members = plan.members(data.schema, known, recipe)
    for member in members:
        build.check(member, data.schema.modalities(), aims.tasks)
    blended = {}
    if taught is not None:
        show.doing("ask the teacher", "encoding")
        blended = taught.blended(members, data.table, division.train, aims.tasks, aims.targets)
    show.doing("encode the cells", "encoding")
    job = _prepared(data, division.train, aims, members, recipe, ledger, logs, show, parent)
    job = replace(job, blended=blended)
    short = leave_out(job, members, division, ledger)
    show.findings(checks.Report(short))
    lineage = None if parent is None else _started(job, members, parent, show)
    account(ledger, job.known(), aims.unseen)
    train, valid = (int(job.known()[own].sum()) for own in (division.train, division.valid))
    show.plan(members, train, valid, len(division.folds), recipe.budget is None)
    mark(out, request, recipe.budget, members, overwrite)
    # A fit that goes on has what its budget has left.
    start -= taken
    logs.start()
    try:
        clock = Clock(recipe, members, start)
        job = codes.learned(job, division.train, division.valid, clock, data.contents, out, show)
        found = trials.train(job, members, division, clock, out, show)
    finally:
        logs.close()
        spend(out, time.perf_counter() - start)
    show.doing("combine the models", "combining")
    run = combine(found.job, found, recipe, ledger, data.contents)
    run.origin |= {} if lineage is None else {"parent": lineage}
    run.origin |= {} if taught is None else {"teacher": taught.described()}
    return run, checks.Report([*report.findings, *aims.findings, *short])


def _started(job: Job, members: Sequence[Member], parent: Origin, show: Show) -> dict[str, Any]:
    """What starts from the parent and what does not: shown, and kept in the run."""
    found = []
    with seeded(job.seed):
        for member in members:
            forms = {name: job.forms[key] for name, key in job.keys(member).items()}
            found.append(parent.start(build.module(member, job.schema, forms, job.tasks)))
    started = settled(found, parent)
    lineage = parent.described(started)
    show.lineage(lineage)
    return lineage


def _absolute(source: str | None) -> str | None:
    """A table's path wherever one stands; what is no path stays as it is."""
    return str(Path(source).resolve()) if source is not None and Path(source).exists() else source


def _request(data: Opened, recipe: Recipe) -> dict[str, Any]:
    """What makes a fit this one, its budget apart: recipe, the user's own code, data."""
    content = digest(data.contents, [*data.schema])
    asked = recipe.model_dump(exclude={"budget", "train", "valid"})
    return {"recipe": asked, "code": brought.contents(named.names(asked)), "data": content}


def _prepared(
    data: Opened,
    train: np.ndarray[Any, Any],
    aims: Aims,
    members: Sequence[Member],
    recipe: Recipe,
    ledger: Ledger,
    logs: Trackers,
    show: Show,
    parent: Origin | None,
) -> Job:
    """Every form that some member needs: fitted on training rows, all cells encoded once.

    Where there are folds, each fits what depends on rows anew (`Job.within`).
    """
    table, schema, group = data.table, data.schema, data.schema.group
    grouped = schema.modalities()
    wanted: dict[str, tuple[str, Form]] = {}
    learned: set[str] = set()
    for member in members:
        for name in member.modalities:
            form = build.form_for(member, name, grouped[name])
            key = form_key(name, form)
            theirs = None if parent is None else parent.form(name, form)
            learned |= set() if theirs is None else {key}
            wanted.setdefault(key, (name, theirs or form))

    def fitted(name: str, form: Form, rows: np.ndarray[Any, Any]) -> Form:
        form.fit(cell for cell in cells(table, grouped[name], rows) if cell is not None)
        return form

    def encoded(name: str, form: Form, told: Ledger) -> Prepared:
        return prepare(
            table,
            grouped[name],
            form,
            cache=default_folder(),
            workers=recipe.data.workers,
            ledger=told,
            max_bad_rows=recipe.data.max_bad_rows,
            progress=show.preparing(name, form),
            contents=data.contents,
        )

    def refitted(forms: Forms, prepared: Cells, rows: np.ndarray[Any, Any]) -> tuple[Forms, Cells]:
        forms, prepared = dict(forms), dict(prepared)
        for key, form in forms.items():
            name = wanted[key][0]
            # What learns nothing from rows, or nothing else from these, is the same.
            anew = form.state and key not in learned
            own = fitted(name, copy.deepcopy(form), rows) if anew else form
            if own.state and own.state != form.state:
                # What is wrong with cells was noted when they were encoded first.
                forms[key], prepared[key] = own, encoded(name, own, Ledger())
        return forms, prepared

    groups = None if group is None else statistics.codes(table.cells(group))
    how, time = recipe.data.split, recipe.data.time
    units = groups
    if groups is None or time is not None:
        units = together(data.contents, schema, how, time=time)
    forms = {
        key: form if key in learned else fitted(name, form, train)
        for key, (name, form) in wanted.items()
    }
    # Two forms of a modality may say the same.
    notes = [(wanted[key][0], note) for key, form in forms.items() for note in form.notes]
    what = [f"Cells of '{name}' {note}" for name, note in dict.fromkeys(notes)]
    show.findings(checks.Report([Finding("info", one, len(train)) for one in what]))
    return Job(
        schema,
        aims.tasks,
        aims.targets,
        prepared={key: encoded(wanted[key][0], form, ledger) for key, form in forms.items()},
        forms=forms,
        seed=recipe.seed,
        report=show.step,
        log=logs.log,
        groups=groups,
        units=units,
        refitted=refitted,
        origin=parent,
    )
