"""What all members of a fit share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polymodal.contract.form import Form
from polymodal.contract.recipe import Member
from polymodal.contract.task import Task
from polymodal.models import build
from polymodal.prepared.prepare import Prepared
from polymodal.prepared.targets import known
from polymodal.table.schema import Schema


@dataclass
class Job:
    """What all members of a fit share.

    Attributes:
        forms, prepared: fitted forms by fingerprint of their description, and the cells in them.
        report: (member, step, steps, loss) after every step.
        log: (member, step, numbers) after every validation.
        groups: every row's group as a code, or None: those of one are never cut apart.
        memo: what experts have fitted that others may want too.
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
    memo: dict[Any, Any] = field(default_factory=dict)

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
