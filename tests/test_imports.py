"""A file imports only from floors below its own, and no import goes in a circle."""

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

# From the top down; files of one floor may import each other only inside a folder of its own.
FLOORS = [
    ["__main__", "__init__"],
    ["cli"],
    ["quickstart"],
    ["fitting", "predict", "scoring", "evaluate.compare"],
    ["learn", "show", "trackers", "folder"],
    ["plan"],
    ["run"],
    ["evaluate.evaluation"],
    ["evaluate.report"],
    ["evaluate.explain"],
    ["evaluate.game", "evaluate.judge", "evaluate.parts", "evaluate.sets", "evaluate.stress"],
    ["scored"],
    ["train"],
    ["losses"],
    ["build", "measure"],
    ["experts"],
    ["model", "ensemble"],
    ["data.collate", "data.corrupted", "data.row"],
    ["data.check"],
    ["data._leaks", "data._repeats"],
    ["data._finding"],
    ["data.infer"],
    ["data._targets"],
    ["data._kinds"],
    ["data.prepare", "data.split"],
    ["data._copies"],
    ["data.encode"],
    ["data.cells"],
    ["data.read"],
    ["data.readers"],
    ["data.builtin"],
    ["families"],
    ["encoders", "fusion", "objectives", "augment", "corrupt", "balance"],
    ["evaluate"],
    ["forms"],
    ["pretrained"],
    ["data.media", "data.cache", "data.ledger"],
    ["recipe", "contract"],
    ["batch", "columns", "attention"],
    ["brought"],
    ["lookup", "files", "spelling", "deadline", "devices"],
    ["errors"],
]


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name or "__init__"] = path
    return found


def floor_of(module: str) -> int:
    """0 is the ground. The longest matching name decides."""
    best, found = -1, None
    for height, names in enumerate(reversed(FLOORS)):
        for name in names:
            if (module == name or module.startswith(name + ".")) and len(name) > best:
                best, found = len(name), height
    assert found is not None, f"polymodal.{module} stands on no floor: add it to FLOORS"
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Project modules imported anywhere in a file, inside functions too (not for typing only)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    found = set()
    for node in ast.walk(tree):
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
            same_folder = module.rpartition(".")[0] == imported.rpartition(".")[0] != ""
            shared = imported.rpartition(".")[2].startswith("_")
            if floor_of(imported) < floor_of(module):
                continue
            if floor_of(imported) == floor_of(module) and (same_folder or shared):
                continue
            wrong.append(f"polymodal.{module} imports polymodal.{imported}")
    assert not wrong, "\n".join(wrong)


def test_no_import_goes_in_a_circle() -> None:
    known = modules()
    graph = {name: imports(path, known) & set(known) for name, path in known.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail, name))
        if name not in done:
            for inner in graph[name]:
                visit(inner, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("name", [n for n, p in modules().items() if p.name == "__init__.py"])
def test_only_the_top_init_has_content(name: str) -> None:
    content = modules()[name].read_text(encoding="utf-8").strip()
    assert name == "__init__" or not content


def test_the_architecture_names_every_file_at_the_top() -> None:
    page = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    floors = page.partition("\npolymodal/\n")[2].partition("```")[0]
    named = set(re.findall(r"(\w+)\.py", floors))
    assert named == {path.stem for path in ROOT.glob("[!_]*.py")}


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
