"""From a recipe's member to its forms and its module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.contract.kind import kinds, of
from polymodal.contract.recipe import Member, Modality, Spec, Training
from polymodal.contract.task import Task
from polymodal.models.model import Model
from polymodal.table.schema import Column, Schema

# The encoder that the key `pretrained` of a recipe stands for, in every kind that has one.
PRETRAINED = "pretrained"


def folder_kind(columns: list[Column]) -> str:
    """The kind of a modality's columns."""
    return of(columns[0].kind).name


def name_of(spec: Spec) -> str:
    return spec if isinstance(spec, str) else str(spec["name"])


def options_of(spec: Spec) -> dict[str, Any]:
    return {} if isinstance(spec, str) else {k: v for k, v in spec.items() if k != "name"}


def is_expert(member: Member) -> bool:
    return name_of(member.learner) != "gradient"


def encoder_spec(modality: Modality, kind: str, fusion: Spec) -> dict[str, Any]:
    """The encoder's name and options, with `pretrained` and the defaults resolved."""
    if modality.pretrained is not None:
        return {"name": PRETRAINED}
    room = kinds()[kind]
    shallow = lookup.find("fusion", name_of(fusion)).raw
    spec: Spec = modality.encoder or (room.raw if shallow else room.encoder)
    return {"name": name_of(spec), **options_of(spec)}


def check(member: Member, grouped: Mapping[str, list[Column]]) -> None:
    """UserError for a component or an option that does not exist, before anything is decoded."""
    specs: list[tuple[str, Spec]] = []
    if is_expert(member):
        specs.append(("models/experts", member.learner))
    else:
        specs.append(("fusion", member.fusion))
        for name, modality in member.modalities.items():
            kind = folder_kind(grouped[name])
            specs.append(
                (f"modalities/{kind}/encoders", encoder_spec(modality, kind, member.fusion))
            )
            if isinstance(modality.augment, dict):
                specs.append((f"modalities/{kind}", {"name": "augment", **modality.augment}))
        if member.training is not None and member.training.balance is not None:
            # Built, not only looked up: its package may be missing.
            lookup.build("train/balance", member.training.balance)
    for folder, spec in specs:
        lookup.check_options(lookup.find(folder, name_of(spec)), name_of(spec), options_of(spec))


def form_for(member: Member, name: str, columns: list[Column]) -> Form:
    """The unfitted form that a member reads one of its modalities in."""
    modality = member.modalities[name]
    kind = folder_kind(columns)
    if is_expert(member):
        form_name = solved(member, name, kind)
    else:
        spec = encoder_spec(modality, kind, member.fusion)
        form_name = lookup.find(f"modalities/{kind}/encoders", spec["name"]).form
    options = dict(modality.form)
    if modality.pretrained is not None:
        options |= {"path": modality.pretrained, "tune": modality.tune}
    if kinds()[kind].joint:
        read = [c for c in columns if c.name in (modality.columns or [c.name])]
        options["columns"] = [{"name": c.name, "kind": c.kind} for c in read]
    form = lookup.build(f"modalities/{kind}/forms", {"name": form_name, **options})
    assert isinstance(form, Form)
    return form


def solved(member: Member, name: str, kind: str) -> str:
    """The form that an expert reads a modality in; UserError if it cannot read its kind."""
    form = kinds()[kind].described
    if form is None:
        readable = [one.name for one in kinds().values() if one.described]
        raise UserError(
            f"The expert '{name_of(member.learner)}' cannot read '{name}', which is {kind}",
            expected=f"modalities of the kinds {', '.join(readable)}",
            do="leave this modality out of the member, or use learner: gradient",
        )
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
) -> nn.Module:
    """A member's untrained module.

    Args:
        forms: the member's modalities -> fitted forms, in order.
    """
    grouped = schema.modalities()
    folders = {name: folder_kind(grouped[name]) for name in forms}
    if is_expert(member):
        built = lookup.build("models/experts", member.learner, folders, dict(forms), tasks)
        assert isinstance(built, nn.Module)
        return built
    tagged = {task.words for task in tasks.values()}
    encoders: dict[str, Encoder] = {}
    for name, form in forms.items():
        spec = encoder_spec(member.modalities[name], folders[name], member.fusion)
        encoder = lookup.find(f"modalities/{folders[name]}/encoders", spec["name"])
        if name in tagged:
            if not encoder.words:
                raise UserError(
                    f"The encoder '{spec['name']}' of '{name}' has no token per word to tag",
                    expected=f"one of {', '.join(_word_encoders(folders[name]))}",
                    do=f"set modalities.{name}.encoder to one of them",
                )
            spec["words"] = True
        encoders[name] = lookup.build(
            f"modalities/{folders[name]}/encoders", spec, form, member.width
        )
    fusion = lookup.build("fusion", member.fusion, list(forms), member.width)
    training = member.training or Training()
    built = Model(
        encoders, fusion, tasks, member.width, training.dropout, training.modality_dropout
    )
    built.read_in = dict(forms)
    return built


def _word_encoders(kind: str) -> list[str]:
    folder = f"modalities/{kind}/encoders"
    return [name for name in lookup.names(folder) if lookup.find(folder, name).words]
