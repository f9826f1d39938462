"""Folders are floors: a file imports only from floors below its own, and none goes in a circle.

Imports for types alone count as much as any other.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "polymodal"
DOCS = ROOT.parent / "docs" / "architecture.md"

# From the top down, each with what it holds; the tree in docs/architecture.md is made from this.
FLOORS = {
    "cli": "words in, words out: a command is a function, and holds no logic",
    "doctor.py": "what this machine has, and what each lack means",
    "quickstart.py": "the main job on embedded data",
    "serve": "runs over HTTP: routes, queues, and workers that hold the models",
    "export": "a run in other hands: graphs and a package that need no run; smaller models",
    "fitting": "the conductor: read, check, split, prepare, train, combine, save",
    "evaluation": "a run measured: verdict, contributions, explanations, stress, comparisons",
    "reason": "strategies of answering with reasons, and tests of what answers rest on",
    "report": "what is said of it: words, page, plots, console",
    "run": "a trained model: its folder, its scores",
    "train": "the one loop, losses, kernels by timing, balancing, trackers",
    "tuning": "which of a model's parameters learn: one mode, one file",
    "models": "encoders + fusion + heads; models fitted by a solver; their combination",
    "tasks": "what is predicted: one task, one file",
    "fusion": "tokens of all modalities to one vector: one fusion, one file",
    "align": "an encoder's tokens to the width of the model: one alignment, one file",
    "modalities": "all that is known of a kind of column: one kind, one folder",
    "checks": "what is wrong with a table, and how it is divided",
    "metrics": "pure functions of arrays: metrics, statistics, the verdict",
    "prepared": "cells to arrays once, by content; arrays to batches",
    "nn": "layers that nobody owns; the door to pretrained weights",
    "builtin": "embedded data",
    "table": "any source to a table and its schema",
    "contract": "the interfaces, the tensors between them, the recipe",
    "base": "errors, files, devices, words, names of components",
}
HEIGHT = {name.removesuffix(".py"): i for i, name in enumerate(reversed(FLOORS))}
TOP = ("__init__", "__main__")


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name or "__init__"] = path
    return found


def floor_of(module: str) -> int:
    """0 is the ground."""
    folder = module.partition(".")[0]
    if folder in TOP:
        return len(FLOORS)
    assert folder in HEIGHT, f"polymodal/{folder} stands on no floor: add it to FLOORS"
    return HEIGHT[folder]


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Project modules imported anywhere in a file: inside functions and for types only too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = inner.removeprefix("polymodal.") in known
                found.add(inner if is_module else node.module)
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"relative import in {path}"
    return {n.removeprefix("polymodal.") for n in found if n.startswith("polymodal.")}


def test_every_import_points_down() -> None:
    known = modules()
    wrong = []
    for module, path in known.items():
        for imported in imports(path, known):
            same = module.partition(".")[0] == imported.partition(".")[0]
            if floor_of(imported) >= floor_of(module) and not same:
                wrong.append(f"polymodal.{module} imports polymodal.{imported}")
    assert not wrong, "\n".join(wrong)


def test_no_import_goes_in_a_circle() -> None:
    known = modules()
    graph = {name: imports(path, known) & set(known) for name, path in known.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail, name))
        if name not in done:
            for inner in sorted(graph[name]):
                visit(inner, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_rooms_do_not_depend_on_each_other_in_a_circle() -> None:
    """Folders of one floor, such as two kinds of modality, may lean on each other one way only."""
    known = modules()
    rooms: dict[str, set[str]] = {}
    for module, path in known.items():
        parts = module.split(".")
        if len(parts) < 3:
            continue
        own = ".".join(parts[:2])
        for imported in imports(path, known):
            other = ".".join(imported.split(".")[:2])
            if other != own and imported.count(".") >= 2 and imported.split(".")[0] == parts[0]:
                rooms.setdefault(own, set()).add(other)
    both = [(a, b) for a, others in rooms.items() for b in others if a in rooms.get(b, ())]
    assert not both


@pytest.mark.parametrize("name", [n for n, p in modules().items() if p.name == "__init__.py"])
def test_only_the_top_init_has_content(name: str) -> None:
    content = modules()[name].read_text(encoding="utf-8").strip()
    assert name == "__init__" or not content


def test_few_files_stand_beside_the_folders() -> None:
    assert {path.name for path in ROOT.glob("[!_]*.py")} == {
        name for name in FLOORS if name.endswith(".py")
    }


def tree() -> str:
    """FLOORS as docs/architecture.md shows it."""
    lines = [f"  {name if '.' in name else name + '/':<15} {what}" for name, what in FLOORS.items()]
    return "\n".join(["polymodal/", *lines])


def test_the_architecture_shows_the_floors() -> None:
    assert f"```\n{tree()}\n```" in DOCS.read_text(encoding="utf-8"), tree()


def test_every_package_that_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
    needed = chain(project["dependencies"], *project["optional-dependencies"].values())
    declared = {re.split(r"[^\w.-]", one)[0].lower().replace("_", "-") for one in needed}
    imported = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
    homes = packages_distributions()
    foreign = imported - sys.stdlib_module_names - {"polymodal"}
    known = {n: {d.lower().replace("_", "-") for d in homes.get(n, [])} for n in foreign}
    assert not {name for name, found in known.items() if not found & declared}
