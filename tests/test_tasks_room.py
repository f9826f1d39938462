"""What is known of a task stands in `tasks/`: elsewhere neither its name nor its kind is asked."""

from __future__ import annotations

import ast
from pathlib import Path

from polymodal.base import lookup

ROOT = Path(__file__).parent.parent / "polymodal"
# Strategies go on from what the tasks that write have begun, and a checkpoint for others is of
# these: they know how such texts begin.
ASKS = ("reason/", "export/checkpoint.py")
# Words that are a task's name by chance: why a model was skipped.
ALIKE = {"report/sentences.py": ("reason",)}


def files() -> list[Path]:
    return [path for path in ROOT.rglob("*.py") if "tasks" not in path.relative_to(ROOT).parts]


def test_no_task_is_asked_for_its_kind() -> None:
    """`task.kind == ...` or `target.kind`, however a comparison or a look-up writes it."""
    wrong = []
    for path in files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            asked = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
            asked += [node.slice] if isinstance(node, ast.Subscript) else []
            for one in asked:
                if isinstance(one, ast.Attribute) and one.attr == "kind":
                    owner = ast.unparse(one.value)
                    if owner.rpartition(".")[2] in ("task", "target"):
                        wrong.append(f"{path.relative_to(ROOT)}:{one.lineno}: {ast.unparse(node)}")
    assert not wrong, "\n".join(wrong)


def test_no_task_is_imported_by_name() -> None:
    wrong = []
    for path in files():
        if path.relative_to(ROOT).as_posix().startswith(ASKS):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "polymodal.tasks"
            ):
                # What several tasks share is none.
                if all(alias.name.startswith("_") for alias in node.names):
                    continue
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}")
    assert not wrong, "\n".join(wrong)


def test_no_task_is_named() -> None:
    names = set(lookup.names("tasks"))
    wrong = []
    for path in files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            alike = ALIKE.get(path.relative_to(ROOT).as_posix(), ())
            if isinstance(node, ast.Constant) and node.value in names and node.value not in alike:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.value!r}")
    assert not wrong, "\n".join(wrong)
