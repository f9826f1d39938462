"""The tokenizers of media that are targets: trained as networks are, before all that draws with
them."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.contract.coded import Coded
from polymodal.contract.recipe import Recipe, Training
from polymodal.fitting import plan
from polymodal.fitting.clock import Clock
from polymodal.fitting.folder import checkpoints
from polymodal.fitting.job import Job, form_key
from polymodal.fitting.learn import learn
from polymodal.models import build
from polymodal.models.model import Model
from polymodal.prepared import targets as encoding
from polymodal.prepared.cache import default_folder
from polymodal.prepared.cells import Contents
from polymodal.prepared.prepare import Prepared
from polymodal.report.console import Show
from polymodal.table.ledger import Ledger
from polymodal.table.schema import Schema
from polymodal.tasks import _labels

Array = np.ndarray[Any, Any]

# What of a training says how it is computed.
COMPUTED = ("precision", "attention", "memory_format", "threads")
# What of the time that is left a tokenizer may take.
SHARE = 0.3


def pixels(
    task: Coded, contents: Contents, schema: Schema, recipe: Recipe, ledger: Ledger
) -> Prepared:
    """All rows' target media, as the task's tokenizer is to read them.

    Raises:
        UserError: cells cannot be read.
    """
    return _prepared(task, contents, schema, recipe, ledger, form=task.pixels)


def varied(task: Coded, found: Prepared, train: Array) -> None:
    """UserError if all training media are one, or there is none."""
    rows = train[found.present[train]]
    first = found.arrays(rows[:1])
    parts = (rows[i : i + 256] for i in range(0, len(rows), 256))
    if not any((found.gather(part).data.numpy() != first[0]).any() for part in parts):
        got = "the same picture in all rows" if first else "no picture at all"
        raise _labels.nothing_to_learn(task.columns[0], got)


def learned(
    job: Job,
    train: Array,
    valid: Array,
    clock: Clock,
    contents: Contents,
    out: Path,
    show: Show,
) -> Job:
    """The job with the targets of tasks that draw as codes, whose tokenizers are trained for it.

    Args:
        train, valid: rows.
        clock: of the members: tokenizers are computed as the first network is.
        out: the fit's folder: an interrupted training goes on there.
    """
    targets = dict(job.targets)
    for name, task in job.tasks.items():
        if isinstance(task, Coded):
            _train(job, task, targets[name], train, valid, clock, out, show)
            targets[name] = _prepared(task, contents, job.schema, clock.recipe, Ledger())
            rows = train[targets[name].present[train]]
            task.counted(targets[name].arrays(rows))
    return replace(job, targets=targets)


def _train(
    job: Job,
    task: Coded,
    found: Prepared,
    train: Array,
    valid: Array,
    clock: Clock,
    out: Path,
    show: Show,
) -> None:
    """Train a task's tokenizer, in its share of the time.

    Args:
        found: the media, as it reads them.
    """
    member, lesson = task.tokenizing()
    column = task.columns[0]
    schema = Schema((job.schema.column(column),), ())
    train, valid = (rows[found.present[rows]] for rows in (train, valid))
    # The number of rows says what the recipe does not.
    trainings = (one.training for one in clock.members)
    first = next((one for one in trainings if one is not None), Training())
    own = member.training.model_dump(exclude_unset=True) if member.training else {}
    how = {**first.model_dump(include=set(COMPUTED)), **own}
    settings = plan.training(len(train)).model_copy(update=how)
    member = member.model_copy(update={"training": settings})
    form = build.form_for(member, column, [job.schema.column(column)])
    form.state = task.pixels.state
    key = form_key(column, form)
    nothing = encoding.prepared(lesson, [None] * len(found))
    inner = replace(
        job,
        schema=schema,
        tasks={lesson.name: lesson},
        targets={lesson.name: nothing},
        prepared={key: found},
        forms={key: form},
        memo={},
        masked={},
        refitted=None,
        origin=None,
        blended={},
    )
    folder, time = checkpoints(out, member), SHARE * clock.left()
    trained, _ = learn(inner, member, train, valid, folder, time, must=True)
    show.trained(member.name, trained.facts)
    module = copy.deepcopy(trained.module)
    assert isinstance(module, Model)
    task.take(module.encoders[0], module.heads[0])


def _prepared(
    task: Coded,
    contents: Contents,
    schema: Schema,
    recipe: Recipe,
    ledger: Ledger,
    **more: Any,
) -> Prepared:
    return encoding.of_table(
        task,
        contents.table,
        schema,
        ledger=ledger,
        cache=default_folder(),
        max_bad_rows=recipe.data.max_bad_rows,
        workers=recipe.data.workers,
        contents=contents,
        **more,
    )
