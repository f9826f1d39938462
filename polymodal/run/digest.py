"""What tells a run from every other, wherever it lies: a hash of what answers."""

from __future__ import annotations

import json

from polymodal.base.tensors import hashed
from polymodal.run.run import Run


def digest(run: Run) -> str:
    """A hash of the weights of a run's models and of how these are combined.

    Saved, loaded or handed on, a run keeps it; fitted again, it has it if nothing came out other.
    """
    tensors = {
        f"{name}.{key}": value.detach().cpu()
        for name, member in run.members.items()
        for key, value in member.module.state_dict().items()
    }
    return hashed(tensors, {"weights": json.dumps(run.weights, sort_keys=True)})
