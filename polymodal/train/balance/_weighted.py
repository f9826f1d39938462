"""What rules that weigh losses share."""

from __future__ import annotations

from polymodal.base import lookup
from polymodal.contract.balance import JOINT, MODALITIES, TASKS


def checked(rule: str, over: str) -> str:
    """What a rule is to work over; UserError for anything else."""
    if over not in (TASKS, MODALITIES):
        raise lookup.unknown(f"{rule} does not balance over '{over}'", over, (TASKS, MODALITIES))
    return over


def called(name: str) -> str:
    """A loss's name for people."""
    return "joint" if name == JOINT else name
