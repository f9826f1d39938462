"""Which members a default fit tries, and how each is set, from the data's kind and size.

Few dials, each derived number beside its source. Everything here is a default: a recipe overrules
it key by key.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from polymodal.base import lookup
from polymodal.contract.kind import kinds, of
from polymodal.contract.recipe import Member, Modality, Recipe, Training
from polymodal.contract.task import Task
from polymodal.models import build
from polymodal.table.read import Table
from polymodal.table.schema import Column, Schema

# Under this many rows one validation split is too small to choose anything by.
FEW_ROWS = 1000
FOLDS = 5
SAMPLE = 64
# The fusion that is always tried, and those that what is left of the budget goes to.
FUSION = "concat"
FURTHER = ("gated", "cross_attention")
# An installed text model is used if reading every text with it once takes this part of the budget
# at most; trained on, if an epoch, three such readings long, takes TUNED_PART of it.
FROZEN_PART = 0.15
TUNED_PART = 0.75
TUNED_READINGS = 3
TUNED = {"epochs": 4, "pretrained_lr": 2e-4}


@dataclass
class Facts:
    """What the plan knows of the data.

    Attributes:
        rows: training rows.
        forms: modality -> options of its media form, from a sample of its cells.
        backbones: text modality -> folder of the pretrained model that the budget affords for it.
        tagged: modalities whose words some task labels.
        solvable: whether solvers can be fitted to every task.
    """

    rows: int
    forms: dict[str, dict[str, Any]] = field(default_factory=dict)
    backbones: dict[str, str] = field(default_factory=dict)
    tagged: frozenset[str] = frozenset()
    solvable: bool = True


def facts(
    table: Table, schema: Schema, rows: int, recipe: Recipe, tasks: Collection[Task]
) -> Facts:
    """Look at a sample of the cells: sizes, sampling rates, lengths, time to read a text."""
    tagged = frozenset(task.words for task in tasks if task.words is not None)
    found = Facts(rows, tagged=tagged, solvable=all(task.solvable for task in tasks))
    for name, columns in schema.modalities().items():
        room = of(columns[0].kind)
        weights = () if recipe.models else room.installed()
        if weights:
            path = weights[0].path
            texts = [cell for cell in table.cells(columns[0].name) if cell is not None]
            readings = TUNED_READINGS if name in tagged else 1
            part = TUNED_PART if name in tagged else FROZEN_PART
            needed = readings * len(texts) * _seconds_a_cell(room.name, path, texts)
            if recipe.budget is None or needed <= part * recipe.budget:
                found.backbones[name] = path
        if room.sampled:
            step = max(1, len(table) // SAMPLE)
            cells = table.media(columns[0].name, range(0, len(table), step))
            sample = [cell for cell in cells if cell is not None][:SAMPLE]
            encoder = lookup.find(f"modalities/{room.name}/encoders", room.encoder)
            form = lookup.find(f"modalities/{room.name}/forms", encoder.form)
            found.forms[name] = dict(form.suggest(sample)) if sample else {}
    return found


def training(rows: int, *, tags: bool = False) -> Training:
    """Batch size and epochs by the number of rows.

    About 250 updates are the least that a cosine from scratch needs, and past about 2 500 small
    sets overfit; batches shrink on small sets so that those updates fit into 60 epochs. A text to
    tag is many examples: few epochs do.
    """
    batch = 8 if rows < 150 else 16 if rows < 600 else 32 if rows < 4000 or tags else 64
    epochs = max(6, min(60, round((40_000 if tags else 100_000) / max(rows, 1))))
    return Training(batch_size=batch, epochs=epochs)


def _seconds_a_cell(kind: str, path: str, texts: list[Any]) -> float:
    """Measured on a sample with the pretrained model in `path`."""
    form = lookup.build(f"modalities/{kind}/forms", {"name": build.PRETRAINED, "path": path})
    sample = texts[:: max(1, len(texts) // SAMPLE)][:SAMPLE]
    form.encode_many(sample[:1])  # the first call also loads the model

    def seconds() -> float:
        start = time.perf_counter()
        form.encode_many(sample)
        return time.perf_counter() - start

    # The less disturbed of two: what is decided by it is no matter of a busy moment.
    return min(seconds(), seconds()) / max(1, len(sample))


def members(schema: Schema, known: Facts, recipe: Recipe) -> list[Member]:
    """The recipe's members, completed; or the plan's own."""
    if recipe.models:
        return [_completed(model, schema, known) for model in _spelled_out(schema, known, recipe)]
    return _default(schema, known)


def _spelled_out(schema: Schema, known: Facts, recipe: Recipe) -> list[Member]:
    """The recipe's models, each with its modalities, and the rivals that it asks for."""
    everything = {name: Modality() for name in schema.modalities()}
    models: list[Member] = []
    rivals: dict[str, Member] = {}
    for model in recipe.models or []:
        read = model.modalities or everything
        # A rival is called like its modality.
        name = f"{model.name} fusion" if len(read) > 1 and model.name in everything else model.name
        models.append(model.model_copy(update={"name": name, "modalities": read}))
        for alone in read if recipe.rivals and len(read) > 1 else ():
            if known.tagged <= {alone}:
                update = {"name": alone, "modalities": {alone: read[alone]}, "fusion": FUSION}
                rivals.setdefault(alone, model.model_copy(update=update))
    wanted = [rival for name, rival in rivals.items() if name not in {m.name for m in models}]
    # Of several to be compared none is the one to have in any case. Rivals come first then: a
    # little more time than planned for each fusion would take all of theirs.
    return wanted + models if recipe.compare else models + wanted


def _default(schema: Schema, known: Facts) -> list[Member]:
    grouped = schema.modalities()
    folders = {name: build.folder_kind(columns) for name, columns in grouped.items()}
    tagged = known.tagged
    settings = training(known.rows, tags=bool(tagged))
    if tagged & set(known.backbones):
        settings = settings.model_copy(update=TUNED)
    found: list[Member] = []

    def add(name: str, chosen: list[str], expert: str | None = None, fusion: str = FUSION) -> None:
        modalities = {}
        for n in chosen:
            # Experts read n-grams, which know the words of this table; the backbone knows others.
            backbone = None if expert else known.backbones.get(n)
            tune = backbone is not None and n in tagged
            modalities[n] = Modality(pretrained=backbone, tune=tune, augment=n not in tagged)
        network = {"fusion": fusion, "training": settings}
        how: dict[str, Any] = {"learner": expert} if expert else network
        member = Member(name=name, modalities=modalities, **how)
        found.append(_completed(member, schema, known))

    subsets = [[name] for name in grouped] + ([list(grouped)] if len(grouped) > 1 else [])
    # Without a text whose words are labelled there is nothing to tag.
    subsets = [subset for subset in subsets if tagged <= set(subset)]
    if known.solvable:
        for subset in subsets:
            for expert in lookup.names("models/experts"):
                suited = lookup.find("models/experts", expert).suited
                readable = suited({name: folders[name] for name in subset})
                if readable and (len(subset) == 1 or len(readable) > 1):
                    label = "+".join(readable)
                    add(f"{label} ({expert})", readable, expert)
    for subset in subsets:
        add("+".join(subset), subset)

    # Experts first, which reach far in a short time, of all modalities before those of one.
    # Networks have steps by `Clock.weights`, whatever their order.
    def turn(member: Member) -> tuple[bool, int]:
        size = len(member.modalities)
        return (True, size) if build.design(member).paced else (False, -size)

    found.sort(key=turn)
    if len(subsets[-1]) > 1:
        for fusion in FURTHER:
            add(f"{'+'.join(subsets[-1])} ({fusion})", subsets[-1], fusion=fusion)
    return found


def _completed(member: Member, schema: Schema, known: Facts) -> Member:
    """A member with columns, encoders and form options resolved, so that the run says them all."""
    grouped = schema.modalities()
    design = build.design(member)
    modalities = {}
    for name, modality in member.modalities.items():
        columns = _columns(grouped, name, modality.columns)
        kind = build.folder_kind(columns)
        if name in known.tagged and not modality.encoder and not modality.pretrained:
            modality = modality.model_copy(update={"encoder": kinds()[kind].by_word})
        update: dict[str, Any] = {"columns": [c.name for c in columns]}
        update |= design.resolved(modality, kind)
        form = design.form(name, modality, kind)
        takes = lookup.options(lookup.find(f"modalities/{kind}/forms", form))
        suggested = {k: v for k, v in known.forms.get(name, {}).items() if k in takes}
        update["form"] = suggested | modality.form
        modalities[name] = modality.model_copy(update=update)
    settings = member.training or training(known.rows) if design.paced else None
    return member.model_copy(update={"modalities": modalities, "training": settings})


def _columns(grouped: Mapping[str, list[Column]], name: str, chosen: Sequence[str]) -> list[Column]:
    """A modality's columns, or those of them that the recipe chooses."""
    advice = "see `polymodal check` for the columns"
    if name not in grouped:
        what = f"The recipe names a modality '{name}' that the table does not have"
        raise lookup.unknown(what, name, grouped, advice)
    known = {column.name: column for column in grouped[name]}
    for column in chosen:
        if column not in known:
            what = f"The recipe gives the modality '{name}' a column '{column}', which it has not"
            raise lookup.unknown(what, column, known, advice)
    return [known[column] for column in chosen] or grouped[name]
