"""TensorBoard, Weights & Biases and MLflow, through Accelerate's trackers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from polymodal.base import lookup
from polymodal.base.errors import MissingExtra

Log = Callable[[str, int, dict[str, float]], None]

KNOWN = ("tensorboard", "wandb", "mlflow")
# What mlflow does not take in a name.
_FOREIGN = re.compile(r"[^\w./ -]+")


class Trackers:
    """Trackers by name; `start` opens them, `log` writes to them, `close` flushes.

    One training comes after another, and wandb takes no step that goes back: all of them share one
    count of steps, and each has its own as "step".

    Args:
        names: of KNOWN.
        folder: where those that write files write them.
        config: what was asked for, flat.
    """

    def __init__(self, names: Sequence[str], folder: Path, config: dict[str, Any]) -> None:
        for name in names:
            _check(name)
        self.names, self.folder, self.config = names, folder, config
        self.open: list[Any] = []
        self.training, self.before, self.last = "", 0, 0

    def start(self) -> None:
        """Open them: from here on they may write to the folder."""
        if not self.names:
            return
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        for name in self.names:
            cls = LOGGER_TYPE_TO_CLASS[name]
            needs_folder = cls.requires_logging_directory
            tracker = cls("polymodal", self.folder) if needs_folder else cls("polymodal")
            tracker.start()
            tracker.store_init_configuration(
                {k: v for k, v in self.config.items() if isinstance(v, str | int | float | bool)}
            )
            self.open.append(tracker)

    def log(self, training: str, step: int, numbers: dict[str, float]) -> None:
        """Numbers of one training (a member's, or a member's in one fold) after its `step`-th.

        Nothing is written if there are none, as in a training without validation rows.
        """
        if not numbers:
            return
        if training != self.training:
            self.training, self.before = training, self.last
        self.last = self.before + step
        values = {"step": step, **numbers}
        named = {_FOREIGN.sub("_", f"{training}/{name}"): value for name, value in values.items()}
        for tracker in self.open:
            tracker.log(named, step=self.last)

    def close(self) -> None:
        for tracker in self.open:
            tracker.finish()


def _check(name: str) -> None:
    import importlib.util

    if name not in KNOWN:
        raise lookup.unknown(f"There is no tracker called '{name}'", name, KNOWN)
    if importlib.util.find_spec(name) is None:
        raise MissingExtra(name, name, f"Logging to {name}")
