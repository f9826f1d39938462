"""Files and constructors keep to a size that one reads at a glance."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent / "polymodal"
DOCS = ROOT.parent / "docs" / "architecture.md"
LINES, ARGUMENTS = 400, 10


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield node.name, node


def arguments(node: ast.ClassDef) -> int:
    """Of a class's constructor: its own, or the fields of a record."""
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
            return len(inner.args.args) - 1 + len(inner.args.kwonlyargs)
    decorators = map(ast.unparse, node.decorator_list)
    bases = {ast.unparse(base) for base in node.bases}
    if not any("dataclass" in d for d in decorators) and not bases & {"NamedTuple", "_Strict"}:
        return 0
    fields = [f for f in node.body if isinstance(f, ast.AnnAssign)]
    return sum("ClassVar" not in ast.unparse(f.annotation) for f in fields)


def test_no_file_is_longer_than_one_reads() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in ROOT.rglob("*.py")
    }
    assert not {name: length for name, length in lengths.items() if length > LINES}


def test_no_constructor_takes_more_than_one_remembers_but_those_that_the_docs_explain() -> None:
    explained = DOCS.read_text(encoding="utf-8").partition("## Long records")[2]
    names = set(re.findall(r"`(\w+)`", explained))
    long = {name for name, node in classes() if arguments(node) > ARGUMENTS}
    assert long == names
