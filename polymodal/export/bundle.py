"""The source files that an exported model needs, found by following imports, and what to install.

A file is copied as it is, but for the package's name. Nothing is copied that a run without torch
would not import: what imports torch at its top cannot go along, and is told of.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from polymodal.base.errors import UserError
from polymodal.base.lookup import ROOT

OURS = "polymodal"
# What the copy is called: an installed polymodal is not in its way.
COPY = "polymodal_model"
MODEL = "polymodal.export.package.model"
SCRIPT = "polymodal.export.package.predict"
# Modules that are replaced by smaller ones.
REPLACED = {
    "polymodal.contract.kind": "polymodal.export.package.kind",
    "polymodal.modalities.audio.listener": "polymodal.export.package.listener",
    "polymodal.nn.checkpoint": "polymodal.export.package.pretrained",
    "polymodal.nn.pretrained": "polymodal.export.package.pretrained",
    "polymodal.nn.processors": "polymodal.export.package.processors",
}
# What may be imported at a file's top.
LIGHT = ("PIL", "av", "numpy", "onnxruntime", "regex", "soundfile", "tokenizers")
# Imported inside functions that an exported model never calls: options checked, addresses fetched.
NEVER = ("fsspec", "pydantic")
_IMPORT = re.compile(rf"^(\s*)(from|import) {OURS}\b", re.MULTILINE)


@dataclass
class Sources:
    """What goes along.

    Attributes:
        files: path in the copied package -> source.
        packages: what its files import of others, by import name.
    """

    files: dict[str, str] = field(default_factory=dict)
    packages: set[str] = field(default_factory=set)

    def requirements(self) -> str:
        """What to install, at the versions that were seen to work, a line each."""
        homes = importlib.metadata.packages_distributions()
        names = {homes[name][0] for name in self.packages}
        lines = [f"{name}=={importlib.metadata.version(name)}\n" for name in names]
        return "".join(sorted(lines, key=str.lower))


def sources(modules: Iterable[str], light: Collection[str] = LIGHT) -> Sources:
    """The files of some modules and all that these import, at the top or inside.

    Raises:
        UserError: one of them cannot be imported where only these `light` packages are.
    """
    found, seen = Sources(), set[str]()
    waiting = [(module, module) for module in modules]
    while waiting:
        module, origin = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        path = _file(REPLACED.get(module, module))
        assert path is not None, module
        top, inner = _imports(path)
        foreign = {name for name in top if not name.startswith(f"{OURS}.")}
        heavy = sorted(foreign - set(light))
        if heavy:
            raise UserError(
                f"{origin.removeprefix(f'{OURS}.')} cannot go along with an exported model",
                expected=f"a form that needs no more than {', '.join(light)}",
                got=f"{module.removeprefix(f'{OURS}.')}, which imports {', '.join(heavy)}",
                do="fit with another form of the kind, or serve the run itself",
            )
        found.packages |= foreign | {n for n in inner if n not in NEVER and not _is_ours(n)}
        found.files[path_of(module)] = renamed(path)
        waiting += [(name, origin) for name in (*top, *inner) if _is_ours(name)]
    return found


def path_of(module: str) -> str:
    """Where a module lies in the package."""
    return f"{module.removeprefix(f'{OURS}.').replace('.', '/')}.py"


def renamed(path: Path) -> str:
    """A source file whose imports name the copy."""
    return _IMPORT.sub(rf"\1\2 {COPY}", path.read_text(encoding="utf-8"))


def _is_ours(name: str) -> bool:
    return name.startswith(f"{OURS}.")


def _imports(path: Path) -> tuple[set[str], set[str]]:
    """Modules of ours and packages of others that a file imports: at its top, and inside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    every = {id(node): node for node in ast.walk(tree)}
    top: set[str] = set()
    for node in tree.body:
        top |= _named(node)
        every.pop(id(node))
    # What is imported for types alone is imported nowhere.
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for inner in ast.walk(node):
                every.pop(id(inner), None)
    inside = {name for node in every.values() for name in _named(node)}
    return top, inside - top


def _named(node: ast.AST) -> set[str]:
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            names.append(inner if _file(inner) else node.module)
    found = {name if _is_ours(name) else name.partition(".")[0] for name in names}
    return {name for name in found if name not in sys.stdlib_module_names}


@cache
def _file(module: str) -> Path | None:
    """The file of a module of ours."""
    if not _is_ours(module):
        return None
    path = ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py")
    return path if path.is_file() else None
