"""What a fit starts from: another run's encoders and forms, by the names of their columns.

Nothing is half-loaded: a modality starts from the parent with its form and all of its encoder's
weights, or not at all, and for what does not there is a reason.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from polymodal.base import lookup, sealed
from polymodal.base.errors import UserError
from polymodal.contract.beside import BESIDE
from polymodal.contract.form import Form
from polymodal.contract.kind import FOLDER, kinds
from polymodal.contract.recipe import Member, Modality, Parent
from polymodal.modalities import learned
from polymodal.models import build
from polymodal.models.aligned import Aligned
from polymodal.models.model import Model
from polymodal.nn.weights import fill, fits
from polymodal.run.run import Run
from polymodal.run.saved import JSON, load
from polymodal.table.schema import Schema
from polymodal.tuning._held import Around, without


@dataclass(frozen=True)
class Origin:
    """A parent, as one table's columns see it.

    Attributes:
        name: the run's folder.
        hash: of its run.json, which holds the hashes of all its files.
        spec: the part of its recipe of the network that is started from.
        module: that network.
        forms: modality of the table -> the form that the parent reads it in.
        old: modality of the table -> what the parent calls it.
        left: modality of either -> why nothing of it is taken over.
        labelled: whether it has learned from labels.
    """

    name: str
    hash: str
    spec: Member
    module: Model
    forms: Mapping[str, Form]
    old: Mapping[str, str]
    left: dict[str, str] = field(default_factory=dict)
    labelled: bool = False

    @property
    def width(self) -> int:
        """Of the parent's tokens."""
        return self.spec.width

    def modalities(self) -> dict[str, Modality]:
        """Modality of the table -> the part of the parent's recipe that reads it."""
        found = {}
        for name, old in self.old.items():
            align = build.align_spec(self.spec, old)
            update: dict[str, Any] = {"columns": [], "align": align}
            # Where the parent was loaded to: its recipe may name what lies elsewhere by now.
            if self.spec.modalities[old].pretrained is not None:
                update["pretrained"] = self.forms[name].settings["path"]
                update["tune"] = build.design(self.spec).runs(old)
            found[name] = self.spec.modalities[old].model_copy(update=update)
        return found

    def form(self, name: str, like: Form) -> Form | None:
        """The parent's form of a modality, fitted, if it is the one that a member reads it in.

        Of a joint modality the parent may know more columns: they are missing in every row.
        """
        own = self.forms.get(name)
        if own is None or type(own) is not type(like):
            return None
        theirs, mine = own.settings, like.settings
        if "columns" in mine:
            more = [column for column in mine["columns"] if column not in theirs["columns"]]
            if more:
                return None
            theirs, mine = ({**one, "columns": None} for one in (theirs, mine))
        return copy.deepcopy(own) if theirs == mine else None

    def vectors(self) -> dict[str, str]:
        """Modality -> a folder with the parent's encoder, as frozen models have it, for experts.

        Of a parent that has learned from labels there are none: it may know the answers of these
        rows by heart, and held-out rows would be none.
        """
        found: dict[str, str] = {}
        for name, old in self.old.items() if not self.labelled else ():
            form, modality = self.forms[name], self.spec.modalities[old]
            if BESIDE not in lookup.names(f"{FOLDER}/{form.kind}/forms"):
                continue
            encoder = self.module.encoders[self.module.names.index(old)]
            around = isinstance(encoder, Aligned)
            spec = build.encoder_spec(modality, form.kind, self.spec.fusion)
            bare = lookup.find(f"{FOLDER}/{form.kind}/encoders", spec["name"]).bare
            own = modality.width if around else self.width
            path = learned.keep(
                form,
                spec,
                build.align_spec(self.spec, old) if around else None,
                (own if own or bare else self.width, self.width),
                {("" if around else "encoder.") + k: v for k, v in encoder.state_dict().items()},
                hashlib.blake2b(f"{self.hash} {old}".encode(), digest_size=16).hexdigest(),
            )
            if path is not None:
                found[name] = path
        return found

    def start(self, module: nn.Module) -> dict[str, str]:
        """Load the parent's encoders into a network with nothing learned.

        Returns:
            Modality -> why it does not start from the parent; "" for those that do. Of what is no
            network: nothing.
        """
        if not isinstance(module, Model):
            return {}
        found = {}
        theirs = dict(zip(self.module.names, self.module.encoders, strict=True))
        for name, encoder in zip(module.names, module.encoders, strict=True):
            found[name] = self._difference(name, module, encoder)
            if not found[name]:
                with _like(encoder, theirs[self.old[name]]):
                    fill(encoder, theirs[self.old[name]].state_dict())
                # Moved at `pretrained_lr`, as other weights that were learned before.
                setattr(encoder, "is_backbone", True)  # noqa: B010
        return found

    def _difference(self, name: str, module: Model, encoder: nn.Module) -> str:
        """Why an encoder cannot start from the parent; "" if it can."""
        if name not in self.old:
            return self.left.get(name, "the parent has no such column")
        theirs = self.module.encoders[self.module.names.index(self.old[name])]
        form, own = module.read_in[name], self.forms[name]
        if type(form) is not type(own) or form.state != own.state:
            return "it is read in another form than the parent's, or has columns that it had not"
        with _like(encoder, theirs):
            types = [[type(one) for one in module.modules()] for module in (encoder, theirs)]
            same = types[0] == types[1] and fits(encoder, theirs.state_dict())
        if not same:
            return "its encoder, alignment, options or width are not the parent's"
        return ""

    def described(self, started: Mapping[str, str]) -> dict[str, Any]:
        """Of the lineage: what a run says of it.

        Args:
            started: as `start` returns it, of all networks together.
        """
        return {
            "run": self.name,
            "hash": self.hash,
            "started": {name: self.old[name] for name, why in started.items() if not why},
            "left": {**{name: why for name, why in started.items() if why}, **self.unused()},
        }

    def unused(self) -> dict[str, str]:
        """What the parent knows and no modality of the table is."""
        taken = set(self.old.values())
        return {
            name: "no column of the table is this one of the parent's"
            for name in self.spec.modalities
            if name not in taken and name not in self.left
        }


def _like(encoder: nn.Module, theirs: nn.Module) -> AbstractContextManager[None]:
    """Inside, an encoder has no prompt or prefix unless the parent's has: those are begun anew."""
    held = any(isinstance(one, Around) for one in theirs.modules())
    return nullcontext() if held else without(encoder)


def origin(given: Parent, schema: Schema, trust: bool = False) -> Origin:
    """A parent held against a table's columns.

    Args:
        trust: execute the components of the user's own that it brings.

    Raises:
        UserError: it is no run, has no network, or brings code and is not trusted; the mapping
            names what is not there, or none of its columns is one of the table's.
    """
    folder = Path(given.run)
    run = load(folder, trust=trust)
    name, module = _network(run, folder)
    member = run.members[name]
    theirs, mine = list(member.spec.modalities), schema.modalities()
    advice = "a table's plain columns go over together, by their names"
    for new, called in given.columns.items():
        if new not in mine:
            raise lookup.unknown(f"The table has no column '{new}' to start", new, mine, advice)
        if called not in theirs:
            what = f"The parent '{folder}' has no column '{called}'"
            raise lookup.unknown(what, called, theirs, advice)
    kind_of = {one: build.folder_kind(columns) for one, columns in mine.items()}
    grouped = run.schema.modalities()
    old: dict[str, str] = {}
    left: dict[str, str] = {}
    for new in mine:
        called = given.columns.get(new, new)
        if called not in theirs:
            continue
        kind = build.folder_kind(grouped[called])
        shared = {column.name for column in mine[new]} & {one.name for one in grouped[called]}
        if kind != kind_of[new]:
            left[new] = f"it is {kind_of[new]} here, and {kind} in the parent"
        elif kinds()[kind].joint and not shared:
            left[new] = "none of its columns is one of the parent's"
        else:
            old[new] = called
    if not old:
        raise UserError(
            f"Nothing of the parent '{folder}' fits this table",
            expected=f"a column of the same name and kind as {', '.join(theirs)}",
            got=(", ".join(left) and "; ".join(f"{n}: {why}" for n, why in left.items()))
            or ", ".join(mine),
            do="say which is which: `match NEW=OLD`, or leave the parent out",
        )
    forms = {new: run.forms[member.forms[one]] for new, one in old.items()}
    hash_ = sealed.hashed(folder / JSON)
    labelled = any(task.columns for task in run.tasks.values())
    return Origin(str(folder), hash_, member.spec, module, forms, old, left, labelled)


def settled(found: Sequence[Mapping[str, str]], given: Origin) -> dict[str, str]:
    """What several networks found of the parent: a modality starts if it does in one of them.

    Raises:
        UserError: there is no network, or none of them starts from it.
    """
    merged: dict[str, str] = {}
    for one in found:
        for name, why in one.items():
            merged[name] = why if merged.get(name, why) else ""
    if not merged or all(merged.values()):
        why = "; ".join(f"{name}: {why}" for name, why in merged.items())
        raise UserError(
            f"Nothing starts from the parent '{given.name}'",
            expected="a network that reads some of its columns as it does",
            got=why or "no network among the models",
            do="leave `models` out of the recipe, or the parent",
        )
    return merged


def _network(run: Run, folder: Path) -> tuple[str, Model]:
    """The network of most modalities, which is started from."""
    try:
        name = run.pipeline.embedder()
    except UserError as error:
        raise UserError(
            f"The run '{folder}' is no parent",
            expected="a run with a network, such as `polymodal pretrain` makes",
            got=error.got,
            do="pretrain one, or fit with a larger `budget`",
        ) from error
    module = run.members[name].module
    assert isinstance(module, Model)
    return name, module
