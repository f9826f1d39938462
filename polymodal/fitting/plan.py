"""Which members a default fit tries, and how each is set, from the data's kind and size.

Few dials, each derived number beside its source. Everything here is a default: a recipe overrules
it key by key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polymodal.base import lookup
from polymodal.contract.along import Along
from polymodal.contract.beside import PRETRAINED, Beside
from polymodal.contract.kind import Weights, kinds, of
from polymodal.contract.recipe import Member, Modality, Recipe, Training, name_of, options_of
from polymodal.contract.task import Task
from polymodal.contract.writing import Sequenced, Writing
from polymodal.fitting import helps
from polymodal.fitting.backbones import TUNED_EPOCHS, Backbones
from polymodal.models import build
from polymodal.table import references
from polymodal.table.read import Table
from polymodal.table.schema import Column, Schema

# Under this many rows one validation split is too small to choose anything by.
FEW_ROWS = 1000
FOLDS = 5
SAMPLE = 64
# The fusion that is always tried, and those that what is left of the budget goes to.
FUSION = "concat"
FURTHER = ("gated", "cross_attention")
# How a model that is trained on learns.
TUNED = {"epochs": TUNED_EPOCHS, "pretrained_lr": 2e-4}
# A decoder reads the tokens one by one: a frozen model of pictures leaves it more than their mean.
READ = {"grid": 4}
# Where tasks tell places, it leaves as many as its last maps usually have; what a network sees
# itself may be larger, in whole patches, and is all of the picture, stretched: places are shares.
GRIDDED, FINER, SEEN, PATCH = "gridded", {"grid": 8}, 128, 8
# What was learned without labels moves slower than what starts at random.
STARTED = {"pretrained_lr": 5e-4}


@dataclass
class Facts:
    """What the plan knows of the data.

    Attributes:
        rows: training rows.
        forms: modality -> options of its form, from a sample of its media and as tasks read it.
        backbones: modality -> the pretrained models that the budget affords for it.
        tunable: those of them whose first model it affords to train on.
        learned: modality -> the parent's encoder of it, as experts read it.
        tagged: modalities whose words some task labels.
        along: modalities that some task writes along.
        written: whether a decoder reads the tokens.
        started: modality -> how the parent reads it, whose encoder and form it starts from.
        width: of the parent's tokens, or None.
        asked: modality -> what its encoder must declare for what is to be learned.
        solvable: whether solvers can be fitted to every task.
        lr: the lowest rate that a task asks for, or None.
        texts: how many a row has on average, where texts are written.
    """

    rows: int
    forms: dict[str, dict[str, Any]] = field(default_factory=dict)
    backbones: Mapping[str, Sequence[Weights]] = field(default_factory=dict)
    tunable: frozenset[str] = frozenset()
    learned: Mapping[str, Weights] = field(default_factory=dict)
    tagged: frozenset[str] = frozenset()
    along: frozenset[str] = frozenset()
    written: bool = False
    asked: dict[str, set[str]] = field(default_factory=dict)
    solvable: bool = True
    lr: float | None = None
    texts: float = 1.0
    started: Mapping[str, Modality] = field(default_factory=dict)
    width: int | None = None

    @property
    def needed(self) -> frozenset[str]:
        """The modalities without which a model has nothing to answer with."""
        return self.tagged | self.along


def facts(
    table: Table,
    schema: Schema,
    rows: int,
    recipe: Recipe,
    tasks: Collection[Task],
    read: Backbones,
) -> Facts:
    """Look at a sample of the cells: sizes, sampling rates, lengths."""
    solvable = all(task.solvable for task in tasks)
    asked: dict[str, set[str]] = {}
    for task in tasks:
        for name, attributes in task.asks.items():
            asked.setdefault(name, set()).update(attributes)
    # A pretrained model cannot stand where tasks ask for what it does not declare.
    grouped = schema.modalities()
    able = {name for name in read.of if not _lacking(grouped[name], asked.get(name, ()))}
    found = Facts(
        rows,
        backbones={name: own for name, own in read.of.items() if name in able},
        tunable=read.tunable & able,
        learned=read.learned,
        asked=asked,
        tagged=tagged(tasks),
        along=frozenset(task.modality for task in tasks if isinstance(task, Along)),
        written=written(tasks),
        solvable=solvable,
        lr=min((task.lr for task in tasks if task.lr is not None), default=None),
        texts=max(
            (_texts(task, table) for task in tasks if isinstance(task, Writing)), default=1.0
        ),
    )
    for name, columns in grouped.items():
        room = of(columns[0].kind)
        if room.sampled:
            cells = table.media(columns[0].name, range(0, len(table), max(1, len(table) // SAMPLE)))
            sample = [cell for cell in cells if cell is not None][:SAMPLE]
            encoder = lookup.find(f"modalities/{room.name}/encoders", room.encoder)
            form = lookup.find(f"modalities/{room.name}/forms", encoder.form)
            placed = GRIDDED in asked.get(name, ())
            told = {"largest": SEEN} if placed else {}
            own = dict(form.suggest(sample, **told)) if sample else {}
            whole = {"size": -(-own.get("size", SEEN) // PATCH) * PATCH, "resize": "stretch"}
            found.forms[name] = own | whole if placed else own
        found.forms[name] = found.forms.get(name, {}) | build.read_by(tasks, name)
    return found


def _texts(task: Task, table: Table) -> float:
    """How many texts to write a row has that has any, on average."""
    cells = table.cells(task.columns[0])
    counts = [len(found) for cell in cells if (found := references.texts([cell]))]
    return float(np.mean(counts)) if counts else 1.0


def _lacking(columns: list[Column], asked: Collection[str]) -> list[str]:
    """What the encoder `pretrained` of a modality does not declare."""
    folder = f"modalities/{build.folder_kind(columns)}/encoders"
    return build.lacking(folder, PRETRAINED, asked)


def tagged(tasks: Collection[Task]) -> frozenset[str]:
    """The modalities whose words some task labels."""
    return frozenset(task.words for task in tasks if task.words is not None)


def written(tasks: Collection[Task]) -> bool:
    """Whether a decoder reads the tokens for some task."""
    return any(isinstance(task, Sequenced) and not isinstance(task, Along) for task in tasks)


def training(rows: int, *, tags: bool = False, texts: float = 1.0) -> Training:
    """Batch size and epochs by the number of rows.

    About 250 updates are the least that a cosine from scratch needs, and past about 2 500 small
    sets overfit; batches shrink on small sets so that those updates fit into 60 epochs. A text to
    tag is many examples: few epochs do. So is a row with several `texts` to write, on average.
    """
    batch = 8 if rows < 150 else 16 if rows < 600 else 32 if rows < 4000 or tags else 64
    epochs = max(6, min(60, round((40_000 if tags else 100_000) / max(rows * texts, 1))))
    return Training(batch_size=max(min(8, batch), round(batch / texts)), epochs=epochs)


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
        # A rival with nothing pretrained has nothing to tune.
        tuned = any(modality.pretrained for modality in read.values()) or known.started
        # A rival is called like its modality.
        name = f"{model.name} fusion" if len(read) > 1 and model.name in everything else model.name
        models.append(model.model_copy(update={"name": name, "modalities": read}))
        for alone in read if recipe.rivals and len(read) > 1 else ():
            if known.needed <= {alone}:
                update: dict[str, Any] = {"name": alone, "modalities": {alone: read[alone]}}
                update |= {"fusion": FUSION}
                if tuned and read[alone].pretrained is None and alone not in known.started:
                    update |= {"tuning": None}
                rivals.setdefault(alone, model.model_copy(update=update))
    wanted = [rival for name, rival in rivals.items() if name not in {m.name for m in models}]
    # Of several to be compared none is the one to have in any case. Rivals come first then: a
    # little more time than planned for each fusion would take all of theirs.
    return wanted + models if recipe.compare else models + wanted


def _default(schema: Schema, known: Facts) -> list[Member]:
    grouped = schema.modalities()
    folders = {name: build.folder_kind(columns) for name, columns in grouped.items()}
    settings = training(known.rows, tags=bool(known.tagged), texts=known.texts)
    if known.started:
        settings = settings.model_copy(update=STARTED)
    found: list[Member] = []

    def add(
        name: str,
        chosen: list[str],
        read: Mapping[str, Weights],
        expert: str | None = None,
        fusion: str = FUSION,
        tuned: Collection[str] = known.tagged,
    ) -> None:
        modalities = {}
        for n in chosen:
            path = read[n].path if n in read else None
            tune = path is not None and n in tuned
            augment = bool(expert) or n not in known.tagged
            modalities[n] = Modality(pretrained=path, tune=tune, augment=augment)
            # Of media a model trained elsewhere is a network's own; else the parent comes first.
            apart = kinds()[folders[n]].media or n in set(tuned) - known.tagged
            if n in known.started and not expert and not (path and apart):
                modalities[n] = known.started[n].model_copy(update={"augment": augment})
        own = settings.model_copy(update=TUNED) if set(tuned) & set(read) else settings
        network: dict[str, Any] = {"fusion": fusion, "training": own}
        network |= {} if known.width is None else {"width": known.width}
        how: dict[str, Any] = {"learner": expert} if expert else network
        if any(one.name == name for one in found):
            return  # rounds may differ by what it does not read
        # Who is tuned is said below, since what has started from a parent learns as well.
        member = Member(name=name, **how).model_copy(update={"modalities": modalities})
        found.append(_completed(member, schema, known))

    subsets = [[name] for name in grouped] + ([list(grouped)] if len(grouped) > 1 else [])
    # Without a text whose words are labelled there is nothing to tag.
    subsets = [subset for subset in subsets if known.needed <= set(subset)]
    rounds = helps.rounds(known.backbones)
    reads = [*rounds, *([known.learned] if known.learned else [])]
    for subset in subsets if known.solvable else ():
        own = {name: folders[name] for name in subset}
        for expert, readable, read in helps.experts(own, reads, known.rows):
            label = ", ".join([expert, *helps.called(read)])
            add(f"{'+'.join(readable)} ({label})", readable, read, expert)
    # Words are read by the model alone, beside experts' n-grams; of media a network that sees them
    # itself may find what the model does not.
    first = rounds[0] if rounds else {}
    media = {n: one for n, one in first.items() if kinds()[folders[n]].media}
    worded = {n: one for n, one in first.items() if n not in media}
    for subset in subsets:
        add("+".join(subset), subset, worded)
        if mine := {n: one for n, one in media.items() if n in subset}:
            add(f"{'+'.join(subset)} ({', '.join(helps.called(mine))})", subset, worded | mine)

    # Experts first, which reach far in a short time, of all modalities before those of one.
    # Networks have steps by `Clock.weights`, whatever their order.
    def turn(member: Member) -> tuple[bool, int]:
        size = len(member.modalities)
        return (True, size) if build.design(member).paced else (False, -size)

    found.sort(key=turn)
    if tuned := {n: one for n, one in first.items() if n in known.tunable}:
        label = f"{'+'.join(subsets[-1])} ({', '.join(helps.called(tuned))}, tuned)"
        add(label, subsets[-1], first, tuned=known.tagged | set(tuned))
    if len(subsets[-1]) > 1:
        for fusion in FURTHER:
            add(f"{'+'.join(subsets[-1])} ({fusion})", subsets[-1], worded, fusion=fusion)
    return found


def is_extra(member: Member) -> bool:
    """Whether one of the plan's experts is one more try: slow, or helped by a frozen model though
    nothing is built on it."""
    cls = lookup.find("models/experts", name_of(member.learner))
    helped = any(modality.pretrained for modality in member.modalities.values())
    return not cls.with_and_without or (helped and not cls.first)


def is_further(member: Member, members: Sequence[Member]) -> bool:
    """Whether one of the plan's networks is one that only left-over time goes to: another fusion,
    or one that trains a pretrained model which another member reads frozen, or does without."""

    def tuned(one: Member) -> set[str]:
        return set() if one.tuning is None else set(options_of(one.tuning).get("names", ()))

    others = (one for one in members if one.modalities.keys() == member.modalities.keys())
    return member.fusion in FURTHER or any(tuned(one) < tuned(member) for one in others)


def _completed(member: Member, schema: Schema, known: Facts) -> Member:
    """A member with columns, encoders and form options resolved, so that the run says them all."""
    grouped = schema.modalities()
    design = build.design(member)
    modalities = {}
    for name, modality in member.modalities.items():
        columns = _columns(grouped, name, modality.columns)
        kind = build.folder_kind(columns)
        if design.paced and name in known.started and modality.is_open:
            own: dict[str, Any] = {"columns": modality.columns, "augment": modality.augment}
            if modality.align is not None:
                own |= {"align": modality.align, "width": modality.width}
            modality = known.started[name].model_copy(update=own)
        if name in known.tagged and not modality.encoder and not modality.pretrained:
            modality = modality.model_copy(update={"encoder": kinds()[kind].by_word})
        free = not (modality.encoder or modality.pretrained)
        if design.paced and free and name in known.asked:
            usual = build.encoder_spec(modality, kind, member.fusion)["name"]
            encoder = build.able(kind, known.asked[name], usual)
            modality = modality.model_copy(update={"encoder": encoder})
        update: dict[str, Any] = {"columns": [c.name for c in columns]}
        update |= design.resolved(modality, kind)
        form = design.form(name, modality, kind)
        read: dict[str, int] = {}
        if modality.pretrained and design.paced:
            if GRIDDED in known.asked.get(name, ()):
                read = FINER
            elif known.written and not (modality.tune or design.runs(name)):
                read = READ
        suited = known.forms.get(name, {}) | read
        update["form"] = _suggested(kind, form, suited) | modality.form
        modalities[name] = modality.model_copy(update=update)
    settings = member.training or training(known.rows, texts=known.texts) if design.paced else None
    if settings is not None and known.lr is not None and "lr" not in settings.model_fields_set:
        settings = settings.model_copy(update={"lr": known.lr})
    update = {**_tuning(member, modalities, known), "training": settings}
    return member.model_copy(update=update)


def _tuning(member: Member, modalities: Mapping[str, Modality], known: Facts) -> dict[str, Any]:
    """What of a member learns, where a parent's models were trained on: they are here as well."""
    tuning = member.tuning
    if tuning is None and any(modality.tune for modality in modalities.values()):
        names = [name for name, m in modalities.items() if m.tune or name in known.started]
        tuning = {"name": "encoder", "names": names}
    plain = {name: m.model_copy(update={"tune": False}) for name, m in modalities.items()}
    return {"modalities": plain, "tuning": tuning}


def _suggested(kind: str, form: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that a form takes, itself or for the form beside a frozen model."""
    folder = f"modalities/{kind}/forms"
    cls = lookup.find(folder, form)
    if not issubclass(cls, Beside):
        takes = lookup.options(cls)
        return {key: value for key, value in options.items() if key in takes}
    inner = kinds()[kind].described
    assert inner is not None
    return {"described": _suggested(kind, inner, options)}


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
