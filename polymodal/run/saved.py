"""A run's folder: written whole, checked whole, read with nothing executed that is not trusted.

run.json            all but the weights, and the hash of every other file; written last
model.safetensors   the weights
recipe.yaml         the recipe, resolved
pretrained-*        backbones that forms need
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

import polymodal.models.build as build
from polymodal.base import brought, lookup, sealed
from polymodal.base.errors import UserError
from polymodal.base.files import damaged, whole
from polymodal.base.tensors import read_tensors, write_tensors
from polymodal.checks.seen import Seen
from polymodal.contract import named, resolve
from polymodal.contract.answers import CONSTANT
from polymodal.contract.coded import Coded
from polymodal.contract.form import Form
from polymodal.contract.recipe import Member, Recipe
from polymodal.contract.task import Task
from polymodal.contract.writing import Sequenced
from polymodal.metrics import doubts
from polymodal.metrics.conformal import Strangeness
from polymodal.nn import checkpoint
from polymodal.nn.manner import Manner
from polymodal.nn.weights import fill
from polymodal.run.pipeline import Pipeline, Trained
from polymodal.run.run import Run
from polymodal.run.scored import versions
from polymodal.table.schema import FUSED, Schema
from polymodal.train.kernels import Kernels

# What `_with_backbone` calls a backbone's folder.
_BACKBONE = re.compile(r"pretrained-[0-9a-f]{12}")
# Raised whenever what is written changes; other formats are refused.
FORMAT = 5
# What the weights' file calls the hashes of the rows that were learned from.
ROWS = "rows"
# And how strange the truth was in validation rows (`Pipeline.held_out`).
STRANGE = "strange"
# And what was learned for tasks beside their heads (`Coded.tensors`).
TASK = "task"
JSON, WEIGHTS, RECIPE = "run.json", "model.safetensors", "recipe.yaml"


def save(run: Run, folder: Path) -> None:
    """Write a run's folder: everything under a temporary name first, `run.json` last.

    Afterwards the run knows the folder as its own.
    """
    model = run.pipeline

    def pack(name: str) -> str:
        return brought.packed(name, folder)

    recipe = Recipe.model_validate(named.mapped(run.recipe.model_dump(), pack))
    recipe.save(folder / RECIPE)
    tensors = {
        f"{i}.{key}": value
        for i, member in enumerate(model.members.values())
        for key, value in member.module.state_dict().items()
    }
    tensors |= {
        f"{TASK}.{i}.{key}": value
        for i, task in enumerate(model.tasks.values())
        if isinstance(task, Coded)
        for key, value in task.tensors.items()
    }
    if run.seen is not None:
        tensors[ROWS] = torch.from_numpy(run.seen.rows)
    strange = [(n, team, o) for n, own in model.held_out.items() for team, o in own.items()]
    for i, (_, _, one) in enumerate(strange):
        tensors[f"{STRANGE}.{i}"] = torch.from_numpy(np.stack([one.scores, one.shares]))
    write_tensors(folder / WEIGHTS, tensors)
    described = {
        "format": FORMAT,
        "versions": versions(),
        "schema": model.schema.to_json(),
        "forms": [
            {
                "kind": form.kind,
                "name": pack(lookup.name_of(type(form))),
                "settings": _with_backbone(form, folder),
                "state": form.state,
                "shape": shape,
            }
            for form, shape in zip(model.forms, model.shapes, strict=True)
        ],
        "tasks": [
            {
                "task": o.name,
                "name": pack(lookup.name_of(type(o))),
                "options": lookup.chosen(o),
                "state": o.state,
                "metric": o.asked,
            }
            for o in model.tasks.values()
        ],
        "members": [
            {
                "spec": named.mapped(t.spec.model_dump(), pack),
                "forms": t.forms,
                "kernels": asdict(t.kernels),
                "facts": t.facts,
            }
            for t in model.members.values()
        ],
        "weights": model.weights,
        "partial": [{"present": sorted(t), "weights": w} for t, w in model.partial.items()],
        "strange": [
            {"target": name, "present": None if team is None else sorted(team)}
            for name, team, _ in strange
        ],
        "leaderboard": run.leaderboard,
        "ledger": run.ledger,
        "origin": run.origin,
        "chance": None if run.seen is None else run.seen.chance,
        "attempts": run.attempts,
    }
    described["files"] = {name: sealed.hashed(folder / name) for name in _files(described, folder)}
    # What else of it the next fit there may replace.
    described["claims"] = [name for name in ("check.json", "logs") if (folder / name).exists()]
    sealed.write(folder / JSON, described)
    run.folder = folder


def _files(described: Mapping[str, Any], folder: Path) -> list[str]:
    """What a run's folder holds beside run.json: weights, recipe, components and backbones."""
    found = {RECIPE, WEIGHTS}
    named_ = [name for item in described["members"] for name in named.names(item["spec"])]
    named_ += [item["name"] for part in ("forms", "tasks") for item in described[part]]
    found |= {own[0] for name in named_ if (own := lookup.own(name)) is not None}
    for item in described["forms"]:
        if (path := folder / str(item["settings"].get("path", ""))) != folder and path.is_dir():
            inner = (file for file in path.rglob("*") if file.is_file())
            found |= {file.relative_to(folder).as_posix() for file in inner}
    return sorted(found)


def opened(run: Run | str | Path) -> Run:
    """A run, or the one in a folder."""
    return load(run) if isinstance(run, str | Path) else run


def load(
    folder: str | Path, *, trust: bool = False, decoding: Mapping[str, Any] | None = None
) -> Run:
    """Load a run.

    Args:
        trust: execute the components of the user's own that the run brings, if it does.
        decoding: how it writes texts and draws, instead of what its recipe says: keys of
            `nn.manner.Manner`, or TARGET.KEY, for that target alone.

    Raises:
        UserError: the folder is not a run, is damaged, is of another format, or brings code and is
            not trusted; or it writes no texts and is told how.
    """
    folder = Path(folder)
    path = folder / JSON
    if not path.is_file():
        unfinished = (folder / "checkpoints").exists()
        raise UserError(
            f"'{folder}' is not a finished run",
            expected="a folder that a fit wrote, with run.json in it",
            got="an interrupted fit" if unfinished else "no run.json",
            do="repeat the same fit: it resumes" if unfinished else "check the path",
        )
    written = sealed.unchecked(path)
    try:
        if written["format"] != FORMAT:
            raise UserError(
                f"'{folder}' was written by another version of polymodal",
                expected=f"format {FORMAT}",
                got=f"format {written['format']}"[:80],
                do="fit again, or use the version that wrote it "
                f"(polymodal {written['versions']['polymodal']})"[:80],
            )
        described = _placed(written, folder, trust)
        sealed.check(path, written)
        _check_files(described["files"], folder)
        _check(described, path)
        with lookup.only_in(folder / brought.FOLDER) if trust else lookup.only_in():
            return _restored(described, folder, decoding or {})
    except UserError:
        raise
    # What a hand or a disk has spoilt may break anywhere.
    except Exception as error:
        raise damaged(path, error) from error


def _placed(described: dict[str, Any], folder: Path, trust: bool) -> dict[str, Any]:
    """The description with every component's name as `lookup.find` takes it.

    Raises:
        UserError: as `brought.unpacked`.
    """
    own = partial(brought.unpacked, folder=folder, trust=trust)
    found = dict(described)
    for part in ("forms", "tasks"):
        found[part] = [{**item, "name": own(item["name"])} for item in described[part]]
    found["members"] = [
        {**item, "spec": named.mapped(item["spec"], own)} for item in described["members"]
    ]
    return found


def _check_files(known: Mapping[str, str], folder: Path) -> None:
    """UserError unless every file is the one that was written, and lies in the folder."""
    for name, hash_ in known.items():
        inner = PurePosixPath(name)
        if inner.is_absolute() or ".." in inner.parts or not inner.parts:
            raise damaged(folder / JSON, ValueError(f"a file outside of the run: {name!r}"))
        sealed.check_file(folder / name, hash_)
    for name in (RECIPE, WEIGHTS):
        if name not in known:
            raise damaged(folder / JSON, KeyError(name))


def _check(described: Mapping[str, Any], path: Path) -> None:
    """UserError unless what refers to something else in the run refers to what is there."""
    forms, tasks = len(described["forms"]), [item["task"] for item in described["tasks"]]
    members = [item["spec"]["name"] for item in described["members"]]
    positions = [k for item in described["members"] for k in item["forms"].values()]
    wrong = [k for k in positions if not (isinstance(k, int) and 0 <= k < forms)]
    lacking = [("rows that lack", item["weights"]) for item in described["partial"]]
    for who, targets in [*described["weights"].items(), *lacking]:
        for target, shares in targets.items():
            whole_ = bool(shares) and all(0 <= share <= 1 for share in shares.values())
            if not whole_ or abs(math.fsum(shares.values()) - 1) > 1e-3:
                wrong.append(f"the shares of {who} for {target}")
            known = [*members, CONSTANT] if who == "rows that lack" else members
            wrong += [name for name in shares if name not in known]
            wrong += [] if target in tasks else [target]
    for item in described["forms"]:
        shape = item["shape"]
        if not all(isinstance(n, int) and 0 <= n < 2**31 for n in shape) or len(shape) > 8:
            wrong.append(f"the shape {shape}")
        inner = item["settings"].get("path")
        if inner is not None and not _BACKBONE.fullmatch(inner):
            wrong.append(f"the backbone {inner}")
    if wrong or len(set(members)) < len(members) or FUSED not in described["weights"]:
        raise damaged(path, ValueError(f"it refers to what is not there: {wrong[:3]}"))


def _restored(described: dict[str, Any], folder: Path, decoding: Mapping[str, Any]) -> Run:
    """The run that `save` described, with its weights."""
    schema = Schema.from_json(described["schema"])
    forms = [_form(item, folder) for item in described["forms"]]
    tensors, _ = read_tensors(folder / WEIGHTS)
    spoilt = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if spoilt:
        raise damaged(folder / WEIGHTS, ValueError(f"{spoilt[0]} holds what is no number"))
    tasks = {
        item["task"]: _task(item, decoding, under(f"{TASK}.{i}.", tensors))
        for i, item in enumerate(described["tasks"])
    }
    able = [name for name, task in tasks.items() if isinstance(task, Sequenced)]
    if decoding and not able:
        raise UserError(
            f"'{folder}' writes no texts and draws no pictures",
            expected="no decoding, or a run with a target of texts or pictures",
            got=f"the targets {', '.join(tasks)}",
        )
    for whose in (key.rpartition(".")[0] for key in decoding if "." in key):
        if whose not in able:
            raise lookup.unknown(f"decoding names '{whose}', which does not write", whose, able)
    members: dict[str, Trained] = {}
    for i, item in enumerate(described["members"]):
        member = Member.model_validate(item["spec"])
        chosen = {name: forms[k] for name, k in item["forms"].items()}
        module = build.module(member, schema, chosen, tasks)
        fill(module, under(f"{i}.", tensors))
        kernels = Kernels(**item["kernels"])
        module = kernels.apply(module)
        members[member.name] = Trained(member, module, item["forms"], kernels, item["facts"])
    shapes = [tuple(item["shape"]) for item in described["forms"]]
    lacking = {frozenset(item["present"]): item["weights"] for item in described["partial"]}
    strange: dict[str, dict[frozenset[str] | None, Strangeness]] = {}
    for i, item in enumerate(described["strange"]):
        team = None if item["present"] is None else frozenset(item["present"])
        kept = Strangeness(*tensors[f"{STRANGE}.{i}"].numpy())
        strange.setdefault(item["target"], {})[team] = kept
    model = Pipeline(schema, forms, shapes, tasks, members, described["weights"], lacking, strange)
    recipe = resolve.load(folder / RECIPE)
    for name in named.names(recipe.model_dump()):
        brought.placed(_inside(name, folder), folder)
    seen = Seen(tensors[ROWS].numpy(), described["chance"]) if ROWS in tensors else None
    about = described["leaderboard"], described["ledger"], described["origin"], seen
    attempts = [asdict(one) for one in doubts.read(described.get("attempts", []))]
    return Run(model, recipe, *about, folder, attempts)


def under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those whose names begin so, without that."""
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def _task(
    item: Mapping[str, Any], decoding: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> Task:
    """A fitted task; one that writes or draws does so as `decoding` says."""
    options = dict(item["options"])
    if decoding and issubclass(lookup.find("tasks", item["name"]), Sequenced):
        parts = [(*key.rpartition("."), value) for key, value in decoding.items()]
        said: dict[str, Any] = {}
        for own in ("", item["task"]):
            told = {key: value for whose, _, key, value in parts if whose == own}
            mend = f"write `decoding {own and own + '.'}{{key}}={{example}}`"
            lookup.check_options(Manner, "decoding", told, mend)
            said |= told
        options["decoding"] = {**(options.get("decoding") or {}), **said}
    task = lookup.build("tasks", {"name": item["name"], **options}, item["task"])
    assert isinstance(task, Task)
    task.state = item["state"]
    if isinstance(task, Coded):
        task.tensors = tensors
    if item.get("metric") is not None:
        task.measured_by(item["metric"])
    return task


def _inside(name: str, folder: Path) -> str:
    """A name of the recipe's, which was anchored to the run's folder, as the run names it."""
    own = lookup.own(name)
    if own is None or not Path(own[0]).is_relative_to(folder):
        return name
    return f"{Path(own[0]).relative_to(folder).as_posix()}:{own[1]}"


def _with_backbone(form: Form, folder: Path) -> dict[str, Any]:
    """A form's settings, with a backbone it names copied into the run."""
    settings = form.settings
    if form.backbone is None:
        return settings
    weights = form.backbone == "weights"
    # Several forms may read with one model.
    name = f"pretrained-{checkpoint.digest(settings['path'], weights=weights)[:12]}"
    target = folder / name
    if Path(settings["path"]).resolve() != target.resolve() and not target.exists():
        with whole(target) as temporary:
            checkpoint.copy(settings["path"], temporary, weights=weights)
    return {**settings, "path": name}


def _form(item: dict[str, Any], folder: Path) -> Form:
    settings, forms = dict(item["settings"]), f"modalities/{item['kind']}/forms"
    if lookup.find(forms, item["name"]).backbone is not None:
        path = folder / settings["path"]
        if not path.is_dir():  # or it would be taken for a model of the hub
            raise damaged(path, FileNotFoundError("no such folder"))
        settings["path"] = str(path)
    form = lookup.build(forms, {"name": item["name"], **settings})
    assert isinstance(form, Form)
    form.state = item["state"]
    return form
