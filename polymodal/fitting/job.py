"""What all members of a fit share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from polymodal.contract.form import Form
from polymodal.contract.predictor import Predictor
from polymodal.contract.recipe import Member
from polymodal.contract.task import Answers, Task
from polymodal.fitting.parent import Origin
from polymodal.models import build
from polymodal.prepared.collate import Collator
from polymodal.prepared.prepare import Prepared
from polymodal.prepared.targets import known
from polymodal.run.patterns import patterns
from polymodal.table.schema import Schema
from polymodal.train.loop import predict_without

# A member is asked for at most this many rows with modalities left out, over all sets of them; for
# so many numbers; and for this many rows of each set in any case.
MASKED, NUMBERS, LEAST_MASKED = 8000, 2_000_000, 50

Forms = dict[str, Form]
Cells = dict[str, Prepared]
# Forms, cells in them, rows to fit them on -> the same of these rows.
Refitted = Callable[[Forms, Cells, np.ndarray[Any, Any]], tuple[Forms, Cells]]


@dataclass
class Job:
    """What all members of a fit share.

    Attributes:
        forms, prepared: fitted forms by fingerprint of their description, and the cells in them.
        report: (member, step, steps, loss) after every step.
        log: (member, step, numbers) after every validation.
        groups: every row's group as a code, or None: those of one are never cut apart.
        units: every row's part of what is not cut apart inside the training rows: its group, its
            copies, its time; None: rows are independent.
        memo: what experts have fitted that others may want too, and what `within` has made.
        refitted: forms, by the same keys, fitted on other rows than these, and the cells in them.
        origin: what networks start from, or None.
        blended: task -> what is learned in the targets' place (`fitting.teacher`).
        masked: member -> modalities that were left out -> target -> row -> the answer of one that
            has not seen the row, of a sample of the validation rows (`keep_masked`).
    """

    schema: Schema
    tasks: dict[str, Task]
    targets: dict[str, Prepared]
    prepared: dict[str, Prepared]
    forms: dict[str, Form]
    seed: int
    report: Callable[[str, int, int, float], None] = lambda *_: None
    log: Callable[[str, int, dict[str, float]], None] = lambda *_: None
    groups: np.ndarray[Any, Any] | None = None
    units: np.ndarray[Any, Any] | None = None
    memo: dict[Any, Any] = field(default_factory=dict)
    masked: dict[str, dict[frozenset[str], dict[str, dict[int, Any]]]] = field(default_factory=dict)

    def present(self) -> dict[str, np.ndarray[Any, Any]]:
        """Modality -> `(rows,)` bool: which rows have it, as some form could read it."""
        found: dict[str, np.ndarray[Any, Any]] = {}
        names = list(self.schema.modalities())
        for key, prepared in self.prepared.items():
            name = max((n for n in names if key.startswith(f"{n}|")), key=len)
            found[name] = found.get(name, False) | prepared.present
        return {name: found[name] for name in names if name in found}

    def sets(self) -> list[frozenset[str]]:
        """The sets of present modalities that are validated."""
        present = self.present()
        return patterns(present) if len(present) > 1 else []

    def keep_masked(
        self,
        member: Member,
        module: Predictor,
        collator: Collator,
        valid: np.ndarray[Any, Any],
        scores: Mapping[str, Answers],
    ) -> None:
        """Ask a member for the validation rows again, with modalities left out.

        A sample is asked, the same of every member.

        Args:
            valid: rows that it has not seen, with `scores`, its answers to them as they are.
        """
        own = frozenset(module.names)
        sets = dict.fromkeys(own - team for team in self.sets())
        absent = [gone for gone in sets if gone and gone < own]
        if not absent or not scores or not len(valid):
            return
        size = max(int(np.size(values[0])) for values in scores.values())
        most = max(LEAST_MASKED, min(MASKED, NUMBERS // size) // len(absent))
        order = np.random.default_rng(self.seed).permutation(
            len(next(iter(self.prepared.values())))
        )
        rows = np.sort(valid[np.argsort(order[valid])[:most]])
        tasks = {name: self.tasks[name] for name in scores}
        kept = self.masked.setdefault(member.name, {})
        for gone, found in zip(
            absent, predict_without(module, tasks, collator, rows, absent=absent), strict=True
        ):
            for target, answers in found.items():
                into = kept.setdefault(gone, {}).setdefault(target, {})
                into |= dict(zip(rows.tolist(), answers, strict=True))

    refitted: Refitted | None = None
    origin: Origin | None = None
    blended: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)

    def within(self, rows: np.ndarray[Any, Any]) -> Job:
        """The same job with forms that have seen nothing but some rows: a fold's training rows."""
        if self.refitted is None:
            return self
        key = "within", rows.tobytes()
        if key not in self.memo:
            forms, prepared = self.refitted(self.forms, self.prepared, rows)
            self.memo[key] = replace(self, forms=forms, prepared=prepared, refitted=None)
        found: Job = self.memo[key]
        return found

    def known(self) -> np.ndarray[Any, Any]:
        """`(rows,)` bool: which rows have any target."""
        return known(self.targets.values(), np.arange(len(next(iter(self.targets.values())))))

    def seed_of(self, member: Member, part: str = "") -> int:
        """A member's own seed, and a fold's: what one draws says nothing of what another does.

        Args:
            part: the fold, or "" without folds.
        """
        data = f"{self.seed} {member.name} {part}".encode()
        return int.from_bytes(hashlib.blake2b(data, digest_size=4).digest(), "big")

    def keys(self, member: Member) -> dict[str, str]:
        """A member's modalities -> keys into `forms` and `prepared`."""
        grouped = self.schema.modalities()
        return {
            name: form_key(name, build.form_for(member, name, grouped[name]))
            for name in member.modalities
        }


def form_key(modality: str, form: Form) -> str:
    """Equal for two members that read a modality in the same, equally set form."""
    return f"{modality}|{type(form).__module__}|{json.dumps(form.settings, sort_keys=True)}"
