"""A run's folder: written whole, read with nothing executed that is not trusted.

run.json            all but the weights, written last
model.safetensors   the weights
recipe.yaml         the recipe, resolved
pretrained-*        backbones that forms need
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import polymodal.models.build as build
from polymodal.base import brought, lookup
from polymodal.base.errors import UserError
from polymodal.base.files import damaged, read_json, read_tensors, whole, write_json, write_tensors
from polymodal.contract import resolve
from polymodal.contract.form import Form
from polymodal.contract.recipe import Member, Recipe
from polymodal.models.weights import fill
from polymodal.nn import pretrained
from polymodal.run.pipeline import Pipeline, Trained
from polymodal.run.run import Run
from polymodal.run.scored import versions
from polymodal.table.schema import Schema
from polymodal.train.kernels import Kernels

# Raised whenever what is written changes; other formats are refused.
FORMAT = 2


def save(run: Run, folder: Path) -> None:
    """Write a run's folder: everything under a temporary name first, `run.json` last.

    Afterwards the run knows the folder as its own.
    """
    model = run.pipeline
    recipe = Recipe.model_validate(brought.packed(run.recipe.model_dump(), folder))
    recipe.save(folder / "recipe.yaml")
    tensors = {
        f"{i}.{key}": value
        for i, member in enumerate(model.members.values())
        for key, value in member.module.state_dict().items()
    }
    write_tensors(folder / "model.safetensors", tensors)
    described = {
        "format": FORMAT,
        "versions": versions(),
        "schema": model.schema.to_json(),
        "forms": [
            {
                "kind": form.kind,
                "name": brought.packed(lookup.name_of(type(form)), folder),
                "settings": _with_backbone(form, folder),
                "state": form.state,
                "shape": shape,
            }
            for form, shape in zip(model.forms, model.shapes, strict=True)
        ],
        "tasks": [
            {
                "task": o.name,
                "name": brought.packed(lookup.name_of(type(o)), folder),
                "options": lookup.chosen(o),
                "state": o.state,
            }
            for o in model.tasks.values()
        ],
        "members": [
            {
                "spec": brought.packed(t.spec.model_dump(), folder),
                "forms": t.forms,
                "kernels": asdict(t.kernels),
                "facts": t.facts,
            }
            for t in model.members.values()
        ],
        "weights": model.weights,
        "leaderboard": run.leaderboard,
        "ledger": run.ledger,
    }
    write_json(folder / "run.json", described)
    run.folder = folder


def load(folder: str | Path, *, trust: bool = False) -> Run:
    """Load a run.

    Args:
        trust: execute the components of the user's own that the run brings, if it does.

    Raises:
        UserError: the folder is not a run, is damaged, is of another format, or brings code and is
            not trusted.
    """
    folder = Path(folder)
    path = folder / "run.json"
    if not path.is_file():
        unfinished = (folder / "checkpoints").exists()
        raise UserError(
            f"'{folder}' is not a finished run",
            expected="a folder that a fit wrote, with run.json in it",
            got="an interrupted fit" if unfinished else "no run.json",
            do="repeat the same fit: it resumes" if unfinished else "check the path",
        )
    described = read_json(path)
    try:
        if described["format"] != FORMAT:
            raise UserError(
                f"'{folder}' was written by another version of polymodal",
                expected=f"format {FORMAT}",
                got=f"format {described['format']}",
                do="fit again, or use the version that wrote it "
                f"(polymodal {described['versions']['polymodal']})",
            )
        return _restored(described, folder, trust)
    # What a hand or a disk has spoilt may break anywhere.
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        raise damaged(path, error) from error


def _restored(described: dict[str, Any], folder: Path, trust: bool) -> Run:
    """The run that `save` described, with its weights."""

    def own(names: Any) -> Any:
        return brought.unpacked(names, folder, trust)

    schema = Schema.from_json(described["schema"])
    forms = [_form({**item, "name": own(item["name"])}, folder) for item in described["forms"]]
    tasks = {}
    for item in described["tasks"]:
        spec = {"name": own(item["name"]), **item["options"]}
        task = lookup.build("tasks", spec, item["task"])
        task.state = item["state"]
        tasks[item["task"]] = task
    members: dict[str, Trained] = {}
    tensors, _ = read_tensors(folder / "model.safetensors")
    for i, item in enumerate(described["members"]):
        member = Member.model_validate(own(item["spec"]))
        chosen = {name: forms[k] for name, k in item["forms"].items()}
        module = build.module(member, schema, chosen, tasks)
        prefix = f"{i}."
        fill(module, {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})
        kernels = Kernels(**item["kernels"])
        module = kernels.apply(module)
        members[member.name] = Trained(member, module, item["forms"], kernels, item["facts"])
    shapes = [tuple(item["shape"]) for item in described["forms"]]
    model = Pipeline(schema, forms, shapes, tasks, members, described["weights"])
    recipe = resolve.load(folder / "recipe.yaml")
    return Run(model, recipe, described["leaderboard"], described["ledger"], folder)


def _with_backbone(form: Form, folder: Path) -> dict[str, Any]:
    """A form's settings, with a backbone it names copied into the run."""
    settings = form.settings
    if form.backbone is None:
        return settings
    name = f"pretrained-{form.fingerprint[:12]}"
    target = folder / name
    if Path(settings["path"]).resolve() != target.resolve() and not target.exists():
        with whole(target) as temporary:
            pretrained.copy(settings["path"], temporary, weights=form.backbone == "weights")
    return {**settings, "path": name}


def _form(item: dict[str, Any], folder: Path) -> Form:
    settings, forms = dict(item["settings"]), f"modalities/{item['kind']}/forms"
    if lookup.find(forms, item["name"]).backbone is not None:
        settings["path"] = str(folder / settings["path"])
    form = lookup.build(forms, {"name": item["name"], **settings})
    assert isinstance(form, Form)
    form.state = item["state"]
    return form
