"""What is known of a task stands in `tasks/`: elsewhere neither its name nor its kind is asked."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from polymodal.base import lookup

ROOT = Path(__file__).parent.parent / "polymodal"
# Strategies go on from what the tasks that write have begun, and a checkpoint for others is of
# these: they know how such texts begin.
ASKS = ("reason/", "export/checkpoint.py")
# Words that are a task's name by chance: why a model was skipped.
ALIKE = {"report/sentences.py": ("reason",)}


def nodes(words: str) -> Iterator[tuple[str, ast.AST]]:
    """The syntax of files outside of `tasks/` that hold such words; to parse all takes long."""
    for path in sorted(ROOT.rglob("*.py")):
        source, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT)
        if "tasks" not in name.parts and re.search(words, source):
            yield from ((name.as_posix(), node) for node in ast.walk(ast.parse(source)))


def test_no_task_is_asked_for_its_kind() -> None:
    """`task.kind == ...` or `target.kind`, however a comparison or a look-up writes it."""
    wrong = []
    for path, node in nodes(r"(task|target)\s*\.\s*kind\b"):
        asked = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        asked += [node.slice] if isinstance(node, ast.Subscript) else []
        for one in asked:
            if isinstance(one, ast.Attribute) and one.attr == "kind":
                owner = ast.unparse(one.value)
                if owner.rpartition(".")[2] in ("task", "target"):
                    wrong.append(f"{path}:{one.lineno}: {ast.unparse(node)}")
    assert not wrong, "\n".join(wrong)


def test_no_task_is_imported_by_name() -> None:
    wrong = []
    for path, node in nodes(r"polymodal\s*\.\s*tasks"):
        if path.startswith(ASKS):
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("polymodal.tasks"):
            # What several tasks share is none.
            if all(alias.name.startswith("_") for alias in node.names):
                continue
            wrong.append(f"{path}:{node.lineno}: {ast.unparse(node)}")
    assert not wrong, "\n".join(wrong)


def test_no_task_is_named() -> None:
    names = set(lookup.names("tasks"))
    wrong = []
    for path, node in nodes(f"[\"']({'|'.join(names)})[\"']"):
        alike = ALIKE.get(path, ())
        if isinstance(node, ast.Constant) and node.value in names and node.value not in alike:
            wrong.append(f"{path}:{node.lineno}: {node.value!r}")
    assert not wrong, "\n".join(wrong)
