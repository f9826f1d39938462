"""What stands in for `nn.pretrained` and `nn.checkpoint` in an exported model.

A pretrained model is a folder there: its graph, what prepares its cells, and facts in JSON.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from polymodal.contract.answers import Array

PACKAGE = __name__.partition(".")[0]
FACTS = "facts.json"
# A run's form has cut its texts already.
ENDLESS = 2**31


@dataclass(frozen=True)
class Half:
    """See `nn.pretrained.Half`."""

    kind: str
    inputs: tuple[str, ...]
    part: str
    frames: bool = False


class Reader:
    """A model's graph: named arrays in, arrays out; opened when it is first asked.

    Args:
        folder: of the model.
        threads: as of the runtimes' `Graph`.
    """

    def __init__(self, folder: str, threads: int) -> None:
        self._folder, self._threads = folder, threads

    def __call__(self, **inputs: Array) -> tuple[Array, ...]:
        found = self._graph(inputs)
        return tuple(found[name] for name in facts(self._folder)["outputs"])

    @cached_property
    def _graph(self) -> Any:
        told = facts(self._folder)
        runtime = importlib.import_module(f"{PACKAGE}.export.package.{told['runtime']}")
        path = Path(self._folder) / told["file"]
        return runtime.Graph(path, told["inputs"], told["outputs"], self._threads)


@cache
def facts(folder: str) -> dict[str, Any]:
    """What is known of the model in a folder."""
    found: dict[str, Any] = json.loads((Path(folder) / FACTS).read_text(encoding="utf-8"))
    return found


def told(path: str, half: Half, setting: str) -> Any:
    return facts(path).get(setting)


def positions(path: str, half: Half) -> int:
    return ENDLESS


def check_frames(path: str, half: Half) -> None:
    """The run has checked it."""
