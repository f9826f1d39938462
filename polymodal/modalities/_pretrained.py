"""What the forms of pretrained models share: whose weights, trained on or frozen."""

from __future__ import annotations

import copy
import hashlib
import json
from abc import ABC
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from polymodal.contract.form import Form
from polymodal.nn import checkpoint


class PretrainedForm(Form, ABC):
    """What a pretrained model is given of a cell, or what it makes of it if it is frozen.

    Args:
        path: name of a package of weights, folder or hub id (`checkpoint.folder`).
        tune: whether the model is trained on.
    """

    backbone = "weights"
    # Attributes that open the model's files when they are first asked for: what prepares a cell,
    # and what a frozen model is.
    opens: ClassVar[tuple[str, ...]] = ()

    def __init__(self, path: str, tune: bool) -> None:
        self.path, self.tune = path, tune
        # A large model is not sent to other processes.
        self.parallel = tune
        # The weights of one that is trained on are the encoder's, which a run keeps itself.
        self.backbone = "settings" if tune else "weights"

    def open(self) -> None:
        for name in (*self.opens, *(() if self.tune else ("reader",))):
            getattr(self, name)

    @property
    def reader(self) -> Any:
        """The model that is not trained on (`nn.reader.Reader`)."""
        raise NotImplementedError(f"{type(self).__name__} has no model")

    def along(self, folder: Path) -> dict[str, Any]:
        """Write what prepares its cells where transformers is not there; what else is to be known
        of the model there, JSON-able. "needs": packages to import; "graph": False, if the files
        are the model too.

        Args:
            folder: of an exported model, for this form alone.

        Raises:
            UserError: transformers alone can prepare them.
        """
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> PretrainedForm:
        """A form of its own with the same model, which is only read, and need not be of torch."""
        memo[id(self)] = copied = copy.copy(self)
        return copied

    @property
    def fingerprint(self) -> str:
        """Depends on what the model's files hold, not on where they lie."""
        options = {name: value for name, value in self.settings.items() if name != "path"}
        described = [type(self).__module__, self.version, options, self.state, self.digest]
        return hashlib.blake2b(json.dumps(described).encode(), digest_size=16).hexdigest()

    @cached_property
    def digest(self) -> str:
        """A hash of the model's files that this form depends on."""
        return checkpoint.digest(self.path, weights=not self.tune)


def batches(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Indices by length, in batches of at most `most` positions once padded, or of one cell."""
    found: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        # Sorted, so this one is the longest of its batch so far.
        if not found or (len(found[-1]) + 1) * lengths[i] > most:
            found.append([])
        found[-1].append(i)
    return found
