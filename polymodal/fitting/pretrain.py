"""Pretraining: a fit whose tasks need no labels, of one network on all that a table has.

What it learns, `fit` may start from (`parent`); its run is measured, searched and embeds rows as
any other does.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.base.spelling import several
from polymodal.contract.kind import kinds
from polymodal.contract.recipe import Member, Modality, Recipe, Spec, Training, name_of, options_of
from polymodal.contract.resolve import overruled, recipe_of
from polymodal.contract.task import Task
from polymodal.fitting.data import opened
from polymodal.fitting.fit import fit
from polymodal.models import build
from polymodal.prepared.cache import default_folder
from polymodal.report.console import Show
from polymodal.run.run import Run
from polymodal.table.read import read
from polymodal.table.schema import Schema

# The one network's name, and its fusion: tasks that hide something learn to tell it from the other
# modalities, all others see each modality by itself.
NAME, FUSION, HIDING = "pretrained", "sum", "cross_attention"
# Every row of a batch is told from the others, so batches are as large as a set of this many times
# the rows allows; and so often a row may be seen, if nothing says that more does not help.
PARTS, SMALLEST, LARGEST, EPOCHS = 8, 32, 128, 200
DROPOUT = 0.1


def pretrain(
    train: Any = None,
    *,
    task: Spec | Sequence[Spec] | None = None,
    columns: str | Sequence[str] = (),
    recipe: Recipe | str | Path | None = None,
    drop: str | Sequence[str] = (),
    fusion: Spec | None = None,
    budget: float | str | None = None,
    out: str | Path | None = None,
    show: Show | None = None,
    **how: Any,
) -> Run:
    """Learn representations of a table's columns from rows without labels.

    Args:
        train: any source that `polymodal.table.read.read` takes; no column of it is a target.
        task: what to learn, one or several of `tasks/` that need no labels; by default those that
            suit the table's columns.
        columns: the only ones to read; by default all.
        recipe: everything spelled out, or its file; its targets are the tasks, unless `task` names
            some.
        drop: columns to leave out, above all what is to be predicted later.
        fusion: of the network, a recipe's too; by default one that suits the tasks.
        budget: seconds, or "30s", "5m", "2h".
        out: folder of the run; the same pretraining, interrupted there, is resumed.
        show: where progress goes; by default standard error, and nowhere with `Show.silent()`.
        how: `valid`, `kinds`, `decimal`, `date`, `missing`, `encoding`, `group`, `split`,
            `max_bad_rows`, `seed`, `overwrite`, `trackers`, as `fit` takes them.

    Returns:
        The run, saved in `out` if given.

    Raises:
        UserError: the input is at fault, or has nothing that a task could learn without labels.
        Interrupted: Ctrl-C; what was done is kept in `out`.
    """
    recipe = recipe_of(recipe)
    source = train if train is not None else recipe.train
    if source is None:
        raise UserError("No table was given", do="name one, or put `train` into the recipe")
    keys = ("kinds", "decimal", "date", "missing", "encoding")
    reading = overruled(recipe, drop=drop, **{key: how.get(key) or None for key in keys})
    # Tables are read once: cells that were fetched for it need not be fetched again.
    cache = default_folder()
    table = read(source, cache=cache, encoding=reading.data.encoding)
    schema = opened(table, None, reading.model_copy(update={"targets": {}}), cache).schema
    left = _others(schema, several(columns))
    modalities = {
        name: own
        for name, cells in schema.modalities().items()
        if (own := [column for column in cells if column.name not in left])
    }
    known = {name: build.folder_kind(cells) for name, cells in modalities.items()}
    asked = [task] if isinstance(task, str | dict) else list(task or ())
    targets = dict(recipe.targets) if recipe.targets and not asked else chosen(known, asked)
    given = recipe if fusion is None or not recipe.models else overruled(recipe, fusion=fusion)
    models = given.models or [network(targets, known, len(table), fusion)]
    made = recipe.model_copy(update={"targets": targets, "models": models})
    return fit(
        table,
        recipe=made,
        drop=[*several(drop), *left],
        budget=budget,
        out=out,
        show=show or Show(sys.stderr),
        **how,
    )


def chosen(known: Mapping[str, str], asked: Sequence[Spec]) -> dict[str, Spec | None]:
    """Name -> task of what can be learned from modalities without labels.

    Args:
        known: modality -> its kind's name.
        asked: the tasks to take; none: all that are usual and suit, of which those that hide
            something only if there are no others.

    Raises:
        UserError: nothing suits, or a task that was asked for does not.
    """
    found: dict[str, Spec | None] = {}
    names = ", ".join(f"{name} ({kind})" for name, kind in known.items()) or "no column to read"
    for spec in asked or lookup.names("tasks"):
        task: type[Task] = lookup.find("tasks", name_of(spec))
        if not asked and not task.usual:
            continue
        own = task.pretrains(known)
        if asked and not own:
            raise UserError(
                f"The task '{name_of(spec)}' cannot be pretrained on this table",
                expected=task.needs,
                got=names,
                do="name another task, other columns, or none: what suits is chosen",
            )
        for name, options in own.items():
            found[name] = {"name": name_of(spec), **options, **options_of(spec)}
    if not asked:
        # A task that hides something takes a forward pass of its own: where there is another to
        # learn from, the time is better spent on more steps of that.
        plain = {n: one for n, one in found.items() if not _hides(one)}
        found = plain or found
    if not found:
        usual = [one for n in lookup.names("tasks") if (one := lookup.find("tasks", n)).usual]
        raise UserError(
            "There is nothing to learn from this table without labels",
            expected="; or ".join(dict.fromkeys(one.needs for one in usual)),
            got=names,
            do="read more columns, or fit a target",
        )
    return found


def _hides(spec: Spec | None) -> bool:
    """Whether a task hides something from the network."""
    return spec is not None and bool(lookup.find("tasks", name_of(spec)).spoils)


def _others(schema: Schema, columns: Sequence[str]) -> list[str]:
    """The input columns that are none of those to read; none where nothing says which."""
    known = [column.name for column in schema.inputs]
    for name in columns:
        if name not in known:
            why = schema.skipped.get(name)
            what = f"There is no column '{name}' to learn from" + (f": {why}" if why else "")
            raise lookup.unknown(what, name, known, "see `polymodal check` for the columns")
    return [name for name in known if name not in columns] if columns else []


def network(
    targets: Mapping[str, Spec | None], known: Mapping[str, str], rows: int, fusion: Spec | None
) -> Member:
    """The network for some tasks, all of which are named.

    Args:
        known: modality -> its kind's name.
    """
    hides = any(_hides(spec) for spec in targets.values())
    size = max(SMALLEST, min(LARGEST, 2 ** ((rows // PARTS).bit_length() - 1) if rows else 0))
    # A row whose other modality is hidden says nothing of a pair; where something is to be told
    # again it has to be told without the others at times.
    hidden = Training().modality_dropout if hides else 0
    training = Training(batch_size=size, epochs=EPOCHS, modality_dropout=hidden)
    own = fusion or (HIDING if hides else FUSION)
    asked: dict[str, set[str]] = {}
    for name, spec in targets.items():
        task = lookup.build("tasks", spec or name, name)
        for modality, attributes in task.asks.items():
            asked.setdefault(modality, set()).update(attributes)
    read = {
        name: Modality(encoder=_encoder(kind, asked.get(name, set())), augment=False)
        for name, kind in known.items()
    }
    return Member(name=NAME, fusion=own, modalities=read, training=training)


def _encoder(kind: str, asked: Collection[str]) -> dict[str, Any] | None:
    """What reads a kind, if it is not the plan's choice: how words depend on each other says more
    than which there are, and what many rows tell apart needs little noise.

    Args:
        asked: what the encoder must declare.
    """
    by_word = kinds()[kind].by_word
    name = build.able(kind, asked, by_word) if by_word else None
    if name is None:
        return None
    known = lookup.options(lookup.find(f"modalities/{kind}/encoders", name))
    return {"name": name} | ({"dropout": DROPOUT} if "dropout" in known else {})
