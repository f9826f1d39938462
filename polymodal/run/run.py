"""A Run: the folder that everything after training starts from.

Loading it executes nothing, unless it brings components of the user's own and is trusted.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import polymodal.models.build as build
from polymodal.base import brought, lookup
from polymodal.base.devices import device
from polymodal.base.errors import UserError
from polymodal.base.files import damaged, read_json, read_tensors, whole, write_json, write_tensors
from polymodal.contract.form import Form
from polymodal.contract.recipe import Member, Recipe
from polymodal.contract.task import Task
from polymodal.models.ensemble import average
from polymodal.nn import pretrained
from polymodal.prepared.cache import default_folder
from polymodal.prepared.collate import Collator, Targets
from polymodal.prepared.prepare import Prepared, prepare
from polymodal.run.scored import key_of, missing, remembered
from polymodal.table.infer import validate
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table, read
from polymodal.table.row import is_row
from polymodal.table.schema import FUSED, Schema
from polymodal.train.kernels import Kernels
from polymodal.train.loop import Scores, predict_without

FORMAT = 1
VERSIONS = ("polymodal", "torch", "transformers", "accelerate", "lightgbm", "scikit-learn", "numpy")


@dataclass
class Trained:
    """A member with its weights.

    Attributes:
        spec: its part of the recipe.
        module: ready to predict.
        forms: modality -> position in the run's list of forms.
        kernels: how it is computed.
        facts: parameters (all numbers that the module holds), seconds of training, steps and so on.
    """

    spec: Member
    module: nn.Module
    forms: dict[str, int]
    kernels: Kernels = field(default_factory=Kernels)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Run:
    """A trained, combined model and what is needed to use it.

    Attributes:
        recipe: resolved.
        schema: the columns that it reads and predicts.
        forms: fitted; members share them.
        shapes: of each form's arrays (`Prepared.shape`), which later tables must match.
        tasks: target -> fitted task.
        tagged: tag target -> the text modality it labels.
        members: every trained member that some combination uses, and every fusion to be compared.
        weights: "fused" (the model) or a modality (its rival) -> target -> member -> share.
        leaderboard: validation scores: of each target the fused model, its rivals, the constant
            (always the same answer) and the members, each of these best first.
        ledger: what became of every row.
        folder: where it is saved, or None.
    """

    recipe: Recipe
    schema: Schema
    forms: list[Form]
    shapes: list[tuple[int, ...]]
    tasks: dict[str, Task]
    tagged: dict[str, str]
    members: dict[str, Trained]
    weights: dict[str, dict[str, dict[str, float]]]
    leaderboard: list[dict[str, Any]] = field(default_factory=list)
    ledger: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    # -- using it ---------------------------------------------------------------------------

    def prepare(self, table: Table, ledger: Ledger, **options: Any) -> list[Prepared]:
        """A table's cells in each of the run's forms."""
        grouped = self.schema.modalities()
        modality_of = {i: name for t in self.members.values() for name, i in t.forms.items()}
        return [
            prepare(
                table,
                grouped[modality_of[i]],
                form,
                cache=default_folder(),
                ledger=ledger,
                shape=shape,
                **options,
            )
            for i, (form, shape) in enumerate(zip(self.forms, self.shapes, strict=True))
        ]

    def scores(
        self,
        prepared: Sequence[Prepared],
        rows: np.ndarray[Any, Any],
        absent: Sequence[str] = (),
        cache: Path | None = None,
    ) -> dict[str, Scores]:
        """Member -> target -> one array of scores a row."""
        return self.scores_without(prepared, rows, [frozenset(absent)], cache)[0]

    def scores_without(
        self,
        prepared: Sequence[Prepared],
        rows: np.ndarray[Any, Any],
        absent: Sequence[frozenset[str]],
        cache: Path | None = None,
    ) -> list[dict[str, Scores]]:
        """`scores` for every set in `absent` of modalities to leave out, each encoded once.

        Args:
            cache: where scores are kept, so that they are not computed again; None: nowhere.
        """
        found: list[dict[str, Scores]] = [{} for _ in absent]
        for name, member in self.members.items():
            inputs = {modality: prepared[i] for modality, i in member.forms.items()}
            module = member.module.to(device())
            own = _sets_of(member, absent)
            compute = partial(
                predict_without, module, self._asked(module), Collator(inputs, {}), rows, Kernels()
            )
            if cache is None:
                scored = compute(absent=own)
            else:
                scored = remembered(cache, self._key(name, prepared, rows), own, compute)
            for one, gone in zip(found, absent, strict=True):
                one[name] = scored[own.index(gone & frozenset(inputs))]
        return found

    def unscored(
        self,
        prepared: Sequence[Prepared],
        rows: np.ndarray[Any, Any],
        absent: Sequence[frozenset[str]],
        cache: Path,
    ) -> dict[str, list[frozenset[str]]]:
        """Member -> what of its modalities to leave out `scores_without` would have to compute."""
        return {
            name: missing(cache, self._key(name, prepared, rows), _sets_of(member, absent))
            for name, member in self.members.items()
        }

    def _key(self, name: str, prepared: Sequence[Prepared], rows: np.ndarray[Any, Any]) -> bytes:
        """Under which a member's scores are kept."""
        member = self.members[name]
        module = member.module.to(device())
        inputs = {modality: prepared[i] for modality, i in member.forms.items()}
        built = [member.spec.model_dump(), asdict(member.kernels), _versions()]
        return key_of(module, built, self._asked(module), inputs, rows)

    def _asked(self, module: nn.Module) -> dict[str, Task]:
        return {target: self.tasks[target] for target in module_targets(module)}

    def combine(
        self,
        scores: Mapping[str, Mapping[str, list[np.ndarray[Any, Any]]]],
        who: str = FUSED,
        targets: Sequence[str] | None = None,
    ) -> Scores:
        """Members' scores to one combination's: the fused model's, or a unimodal rival's.

        Args:
            targets: some of the rival's; all by default.
        """
        return {
            target: average({m: scores[m][target] for m in shares}, shares)
            for target, shares in self.weights[who].items()
            if targets is None or target in targets
        }

    def predict(
        self,
        source: Any,
        *,
        max_bad_rows: int = 0,
        absent: Sequence[str] = (),
        ledger: Ledger | None = None,
    ) -> dict[str, list[Any]]:
        """Predictions for new rows.

        Args:
            source: anything that `read` takes, or one row as a mapping of column to value, in
                which columns may be left out.
            max_bad_rows: cells of a modality that may be unreadable; they count as missing.
            absent: modalities to ignore.
            ledger: where rows with cells that are cut or count as missing are noted.

        Raises:
            UserError: the table does not suit the run, or the run has no such modality to ignore.

        Returns:
            Columns of the predictions file: what names a row (see `decoded`), then per target the
            prediction under its name and, for classes, a probability under "target=class".
        """
        names = list(self.schema.modalities())
        absent = [absent] if isinstance(absent, str) else list(absent)
        for name in absent:
            if name not in names:
                raise UserError(
                    f"The run has no modality '{name}' to ignore",
                    expected=f"some of {', '.join(names)}",
                    do=lookup.meant(name, names, "leave it out"),
                )
        table = self.table([self._whole(source)] if self._is_row(source) else source)
        noted = Ledger() if ledger is None else ledger
        prepared = self.prepare(table, noted, max_bad_rows=max_bad_rows)
        rows = np.arange(len(table))
        # One row is sooner computed than looked up, and rows that come singly are many.
        cache = default_folder() if len(rows) > 1 else None
        combined = self.combine(self.scores(prepared, rows, absent, cache))
        return self.decoded(table, combined)

    def decoded(self, table: Table, combined: Scores) -> dict[str, list[Any]]:
        """Columns of the predictions file, from one combination's scores of a table's rows.

        What names a row stands first: its number under "row", its group and the columns that only
        identify rows, where the table has them and no prediction has their name.
        """
        found: dict[str, list[Any]] = {}
        for target, task in self.tasks.items():
            found |= task.decode(combined[target])
        schema = self.schema
        naming = [n for n in schema.skipped if n == schema.group or n in schema.identifiers]
        taken = {"row", *found}
        ids = {n: table.cells(n) for n in naming if n in table.names and n not in taken}
        return {"row": list(range(len(table))), **ids, **found}

    def _is_row(self, source: Any) -> bool:
        channels = {
            name: self.forms[i].state["channels"]
            for member in self.members.values()
            for name, i in member.forms.items()
            if self.forms[i].kind == "series"
        }
        return is_row(source, self.schema.inputs, channels)

    def _whole(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row with every input column; those that are not given are missing."""
        known = [column.name for column in self.schema.inputs]
        for name in row:
            if name not in known:
                raise lookup.unknown(f"The run has no input column '{name}'", name, known)
        return {name: row.get(name) for name in known}

    def embed(self, source: Any, *, max_bad_rows: int = 0) -> np.ndarray[Any, Any]:
        """Fused vectors `(rows, width)` of the strongest member that has them."""
        table = self.table(source)
        name = self._embedder()
        member = self.members[name]
        prepared = self.prepare(table, Ledger(), max_bad_rows=max_bad_rows)
        collator = Collator({m: prepared[i] for m, i in member.forms.items()}, {})
        rows = np.arange(len(table))
        found: list[Any] = [None] * len(rows)
        module = member.module.eval().to(device())
        with torch.inference_mode():
            for positions, batch in collator.sequential(rows, 256):
                fused = module(batch.to(device()).inputs).fused
                for i, position in enumerate(positions):
                    found[position] = fused.pooled[i].float().cpu().numpy()
        return np.stack(found)

    def _embedder(self) -> str:
        shares = self.shares()
        candidates = [n for n, t in self.members.items() if not build.is_expert(t.spec)]
        if not candidates:
            raise UserError(
                "This run has no member with a fused vector: only experts were trained",
                do="fit with a larger `budget`, or a recipe with a fusion",
            )
        widest = max(len(self.members[n].forms) for n in candidates)
        joint = [n for n in candidates if len(self.members[n].forms) == widest]
        return max(joint, key=lambda n: shares.get(n, 0.0))

    def shares(self) -> dict[str, float]:
        """The fused model's members, and the shares of each in all targets together."""
        found: dict[str, float] = {}
        for shares in self.weights[FUSED].values():
            for name, share in shares.items():
                found[name] = found.get(name, 0.0) + share
        return found

    def composition(self, target: str) -> dict[str, dict[str, Any]]:
        """The fused model's members: their share in it and the modalities that they read."""
        return {
            name: {"share": share, "modalities": list(self.members[name].spec.modalities)}
            for name, share in self.weights[FUSED][target].items()
        }

    def table(self, source: Any, *, require_targets: bool = False) -> Table:
        """Read a table and hold it against the schema."""
        table = source if isinstance(source, Table) else read(source, cache=default_folder())
        validate(self.schema, table, require_targets=require_targets)
        return table

    def targets(self, table: Table) -> dict[str, Targets]:
        """A table's encoded targets."""
        return {n: Targets(o, table.cells(n)) for n, o in self.tasks.items()}

    # -- the folder -------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the folder: everything under a temporary name first, `run.json` last."""
        recipe = Recipe.model_validate(brought.packed(self.recipe.model_dump(), folder))
        recipe.save(folder / "recipe.yaml")
        forms = []
        for form, shape in zip(self.forms, self.shapes, strict=True):
            forms.append(
                {
                    "kind": form.kind,
                    "name": brought.packed(lookup.name_of(type(form)), folder),
                    "settings": self._own_backbone(form, folder),
                    "state": form.state,
                    "shape": shape,
                }
            )
        tensors = {
            f"{i}.{key}": value
            for i, member in enumerate(self.members.values())
            for key, value in member.module.state_dict().items()
        }
        write_tensors(folder / "model.safetensors", tensors)
        described = {
            "format": FORMAT,
            "versions": _versions(),
            "schema": self.schema.to_json(),
            "forms": forms,
            "tasks": [
                {
                    "column": o.column,
                    "name": brought.packed(lookup.name_of(type(o)), folder),
                    "options": lookup.chosen(o),
                    "state": o.state,
                }
                for o in self.tasks.values()
            ],
            "tagged": self.tagged,
            "members": [
                {
                    "spec": brought.packed(t.spec.model_dump(), folder),
                    "forms": t.forms,
                    "kernels": asdict(t.kernels),
                    "facts": t.facts,
                }
                for t in self.members.values()
            ],
            "weights": self.weights,
            "leaderboard": self.leaderboard,
            "ledger": self.ledger,
        }
        write_json(folder / "run.json", described)
        self.folder = folder

    def _own_backbone(self, form: Form, folder: Path) -> dict[str, Any]:
        """A form's settings, with a backbone it names copied into the run."""
        settings = form.settings
        if "path" not in settings:
            return settings
        name = f"pretrained-{form.fingerprint[:12]}"
        target = folder / name
        if Path(settings["path"]).resolve() != target.resolve() and not target.exists():
            with whole(target) as temporary:
                pretrained.copy(settings["path"], temporary, weights=not form.parallel)
        return {**settings, "path": name}


def load(folder: str | Path, *, trust: bool = False) -> Run:
    """Load a run.

    Args:
        trust: execute the components of the user's own that the run brings, if it does.

    Raises:
        UserError: the folder is not a run, is damaged, or brings code and is not trusted.
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
                do=f"use polymodal {described['versions']['polymodal']}, or fit again",
            )
        return _restored(described, folder, trust)
    # What a hand or a disk has spoilt may break anywhere.
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        raise damaged(path, error) from error


def _restored(described: dict[str, Any], folder: Path, trust: bool) -> Run:
    """The run that `Run.save` described, with its weights."""

    def own(names: Any) -> Any:
        return brought.unpacked(names, folder, trust)

    schema = Schema.from_json(described["schema"])
    forms = [_form({**item, "name": own(item["name"])}, folder) for item in described["forms"]]
    tasks = {}
    for item in described["tasks"]:
        spec = {"name": own(item["name"]), **item["options"]}
        task = lookup.build("tasks", spec, item["column"])
        task.state = item["state"]
        tasks[item["column"]] = task
    members: dict[str, Trained] = {}
    tensors, _ = read_tensors(folder / "model.safetensors")
    for i, item in enumerate(described["members"]):
        member = Member.model_validate(own(item["spec"]))
        chosen = {name: forms[k] for name, k in item["forms"].items()}
        module = build.module(member, schema, chosen, tasks, described["tagged"])
        prefix = f"{i}."
        fill(module, {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})
        kernels = Kernels(**item["kernels"])
        members[member.name] = Trained(
            member, kernels.apply(module).eval(), item["forms"], kernels, item["facts"]
        )
    from polymodal.contract.resolve import load as load_recipe

    return Run(
        load_recipe(folder / "recipe.yaml"),
        schema,
        forms,
        [tuple(item["shape"]) for item in described["forms"]],
        tasks,
        described["tagged"],
        members,
        described["weights"],
        described["leaderboard"],
        described["ledger"],
        folder,
    )


def fill(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Load weights, giving those whose length was learned from data the length they have.

    These are buffers, and embeddings, which have a vector for each word that was found.
    """
    for name, own in [*module.named_buffers(), *module.named_parameters()]:
        path, _, attribute = name.rpartition(".")
        owner = module.get_submodule(path)
        found = tensors.get(name, own)
        if found.shape == own.shape:
            continue
        if not isinstance(own, nn.Parameter):
            setattr(owner, attribute, found.clone())
        elif isinstance(owner, nn.Embedding) and found.shape[1:] == own.shape[1:]:
            setattr(owner, attribute, nn.Parameter(found.clone(), own.requires_grad))
    module.load_state_dict(dict(tensors))


def module_targets(module: nn.Module) -> list[str]:
    """The targets that a member predicts."""
    targets = module.targets
    assert isinstance(targets, list)
    return targets


def _form(item: dict[str, Any], folder: Path) -> Form:
    settings = dict(item["settings"])
    if "path" in settings:
        settings["path"] = str(folder / settings["path"])
    form = lookup.build(f"modalities/{item['kind']}/forms", {"name": item["name"], **settings})
    assert isinstance(form, Form)
    form.state = item["state"]
    return form


def _sets_of(member: Trained, absent: Sequence[frozenset[str]]) -> list[frozenset[str]]:
    """Sets that differ in what a member does not read are one to it."""
    return list(dict.fromkeys(gone & frozenset(member.forms) for gone in absent))


def _versions() -> dict[str, str]:
    return {name: _version(name) for name in VERSIONS}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
