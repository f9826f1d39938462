"""From a recipe's member to its forms and its predictor."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from polymodal.base import lookup
from polymodal.contract.beside import PRETRAINED
from polymodal.contract.form import Form
from polymodal.contract.kind import FOLDER, kinds, of
from polymodal.contract.predictor import Predictor
from polymodal.contract.recipe import Member, Modality, Spec, name_of, options_of
from polymodal.contract.task import Task
from polymodal.contract.writing import Writing
from polymodal.models.design import Design
from polymodal.table.schema import Column, Schema


def folder_kind(columns: list[Column]) -> str:
    """The kind of a modality's columns."""
    return of(columns[0].kind).name


def design(member: Member) -> Design:
    """How a member is built: what `learner` names, or the solver of the expert that it names."""
    name, known = name_of(member.learner), lookup.names("models/designs")
    found = lookup.find("models/designs", name if name in known else "solver")(member)
    assert isinstance(found, Design)
    return found


def encoder_spec(modality: Modality, kind: str, fusion: Spec) -> dict[str, Any]:
    """The encoder's name and options, with `pretrained` and the defaults resolved."""
    if modality.pretrained is not None:
        return {"name": PRETRAINED}
    room = kinds()[kind]
    shallow = lookup.find("fusion", name_of(fusion)).raw
    spec: Spec = modality.encoder or (room.raw if shallow else room.encoder)
    return {"name": name_of(spec), **options_of(spec)}


def align_spec(member: Member, name: str) -> Spec | None:
    """What brings a modality's tokens to the member's width; None: its encoder does."""
    return member.modalities[name].align or member.align


def read_by(tasks: Collection[Task], name: str) -> dict[str, Any]:
    """Options of a modality's form that its tasks read it best in; none where they differ, for each
    would be given what is made for the other."""
    read = [task.read_by for task in tasks if isinstance(task, Writing)]
    wanted = [dict(own[name]) for own in read if name in own]
    return wanted[0] if wanted and all(one == wanted[0] for one in wanted) else {}


def able(kind: str, asked: Collection[str], usual: str) -> str | None:
    """The encoder of a kind that declares all that is asked: the usual one if it does; or None."""
    folder = f"{FOLDER}/{kind}/encoders"
    room = kinds()[kind]
    order = [usual, *(one for one in (room.by_word, room.gridded) if one), *lookup.names(folder)]
    return next((name for name in order if not lacking(folder, name, asked)), None)


def lacking(folder: str, encoder: str, asked: Collection[str]) -> list[str]:
    """What is asked of an encoder that it does not declare."""
    found = lookup.find(folder, encoder)
    return [attribute for attribute in asked if not getattr(found, attribute)]


def check(
    member: Member, grouped: Mapping[str, list[Column]], targets: Collection[str] = ()
) -> None:
    """UserError for a component or an option that does not exist, before anything is decoded.

    Args:
        targets: what tasks are called.
    """
    for folder, spec in design(member).components(grouped, targets):
        lookup.check_options(lookup.find(folder, name_of(spec)), name_of(spec), options_of(spec))


def form_for(member: Member, name: str, columns: list[Column]) -> Form:
    """The unfitted form that a member reads one of its modalities in."""
    modality = member.modalities[name]
    kind = folder_kind(columns)
    form_name = design(member).form(name, modality, kind)
    options = dict(modality.form)
    if modality.pretrained is not None:
        options["path"] = modality.pretrained
        if design(member).runs(name):
            options["tune"] = True
    if kinds()[kind].joint:
        read = [c for c in columns if c.name in (modality.columns or [c.name])]
        options["columns"] = [{"name": c.name, "kind": c.kind} for c in read]
    form = lookup.build(f"modalities/{kind}/forms", {"name": form_name, **options})
    assert isinstance(form, Form)
    return form


def media_forms(schema: Schema) -> dict[str, Form]:
    """Media column -> the form that reads it by default, unfitted."""
    return {
        name: form_for(Member(name="any", modalities={name: Modality()}), name, columns)
        for name, columns in schema.modalities().items()
        if of(columns[0].kind).media
    }


def module(
    member: Member,
    schema: Schema,
    forms: Mapping[str, Form],
    tasks: Mapping[str, Task],
) -> Predictor:
    """A member's predictor, with nothing learned.

    Args:
        forms: the member's modalities -> fitted forms, in order.
    """
    grouped = schema.modalities()
    folders = {name: folder_kind(grouped[name]) for name in forms}
    return design(member).predictor(folders, forms, tasks)
