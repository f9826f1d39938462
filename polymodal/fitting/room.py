"""Rows whose text is longer than what is heard of their sound: nothing is learned from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from polymodal.base.devices import seeded
from polymodal.base.errors import UserError
from polymodal.checks._finding import Finding
from polymodal.contract.along import Along
from polymodal.contract.encoder import Encoder
from polymodal.contract.recipe import Member
from polymodal.fitting.data import Division
from polymodal.fitting.job import Job
from polymodal.models import build
from polymodal.models.model import Model
from polymodal.table.ledger import Ledger

Array = np.ndarray[Any, Any]


def leave_out(
    job: Job, members: Sequence[Member], division: Division, ledger: Ledger
) -> list[Finding]:
    """Take the targets off rows that no network has enough tokens for, and count them.

    Raises:
        UserError: no training row, or no validation row, has a target left.
    """
    findings = []
    for name, (rows, needed, most) in _crowded(job, members).items():
        if not len(rows):
            continue
        target = job.targets[name]
        target.present[rows] = False
        parts = [division.train, division.valid] if len(division.valid) else [division.train]
        what = f"a text of '{name}' that is longer than what is heard of its sound"
        said = f"row {rows[0]} needs {needed[0]:,} tokens of its sound, which has {most[0]:,}"
        if not all(target.present[part].any() for part in parts):
            raise UserError(
                f"Too few sounds are long enough for their text of '{name}'",
                expected="sounds that say their texts, and a token for every unit of a text",
                got=f"{len(rows):,} that are shorter: {said}",
                do="check that sounds and texts belong together; encoders with more tokens a "
                "second and `units: pieces` need less",
            )
        ledger.add("skipped", what, rows)
        advice = "Do these texts belong to these sounds? Nothing is learned from them"
        count = f"{len(rows):,} of {len(target):,} rows have {what}"
        findings.append(Finding("warning", count, len(rows), said, advice))
    return findings


def _crowded(job: Job, members: Sequence[Member]) -> Mapping[str, tuple[Array, Array, Array]]:
    """Target -> rows whose sound is too short for it, what they need, and what they have."""
    found = {}
    for name, task in job.tasks.items():
        if not isinstance(task, Along):
            continue
        rows = np.flatnonzero(job.targets[name].present)
        needed = np.array([task.room(own) for own in job.targets[name].arrays(rows)], int)
        most = np.zeros(len(rows), int)
        heard = np.zeros(len(rows), bool)
        for member in members:
            if task.modality not in member.modalities:
                continue  # told when its heads are built
            prepared = job.prepared[job.keys(member)[task.modality]]
            hears = _encoder(job, member, name, task.modality)
            lengths = hears.lengths(torch.from_numpy(prepared.lengths[rows]))
            most = np.maximum(most, lengths.numpy())
            heard |= prepared.present[rows]
        # A row without the sound lacks a modality, and is counted as that.
        short = heard & (needed > most)
        found[name] = rows[short], needed[short], most[short]
    return found


def _encoder(job: Job, member: Member, target: str, modality: str) -> Encoder:
    """What a member hears by: of its network no more is built."""
    alone = member.model_copy(update={"fusion": "sum"})
    forms = {modality: job.forms[job.keys(member)[modality]]}
    with seeded(job.seed):
        model = build.module(alone, job.schema, forms, {target: job.tasks[target]})
    assert isinstance(model, Model)
    (found,) = model.encoders
    assert isinstance(found, Encoder)
    return found
