"""What is known of one kind, or of one component, stands in its room and nowhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from polymodal.base import lookup
from polymodal.contract.kind import kinds

ROOT = Path(__file__).parent.parent / "polymodal"
# Where kinds may be named: their own rooms, and data that is made of some of them.
ROOMS = ("modalities", "builtin")
# Words that are like a kind's or a component's by chance: the column that tags label, the text that
# LightGBM writes, fields of protocols, the steps that a member made; and the one name that every
# augmentation has.
ALIKE = {
    "text": (
        *("table/infer.py", "tasks/tag.py", "models/experts/_forest.py", "reason/endpoint.py"),
        *("serve/chat.py", "serve/messages.py", "serve/document.py"),
    ),
    "steps": ("report/console.py",),
}
SLOTS = ("augment",)


def files(words: Iterable[str]) -> Iterator[tuple[str, ast.Module]]:
    """Files outside of the rooms, as paths in the package, that hold one of the words as a string;
    to parse all takes long."""
    quoted = re.compile(f"[\"']({'|'.join(map(re.escape, words))})[\"']")
    for path in sorted(ROOT.rglob("*.py")):
        name, source = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        if name.partition("/")[0] not in ROOMS and quoted.search(source):
            yield name, ast.parse(source)


def strings(node: ast.AST) -> Iterator[ast.Constant]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner


def plain(tree: ast.Module) -> Iterator[ast.Constant]:
    """String literals but for what only names a place: a key in brackets."""
    keys = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        for inner in strings(node.slice)
    }
    return (one for one in strings(tree) if id(one) not in keys)


def compared(tree: ast.Module) -> Iterator[ast.Constant]:
    """String literals that something is compared with."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            for side in (node.left, *node.comparators):
                if isinstance(side, ast.Constant | ast.Tuple | ast.List | ast.Set):
                    yield from strings(side)
        elif isinstance(node, ast.MatchValue):
            yield from strings(node)


def test_no_kind_is_named_outside_of_its_room() -> None:
    known = set(kinds())
    found = [
        f"polymodal/{name}:{one.lineno}: {one.value!r}"
        for name, tree in files(known)
        for one in plain(tree)
        if one.value in known and name not in ALIKE.get(one.value, ())
    ]
    assert not found, "\n".join(found)


def test_no_component_is_known_by_its_name_outside_of_its_room() -> None:
    rooms: dict[str, set[str]] = {}
    for folder, name, _ in lookup.catalogue():
        if name not in SLOTS:
            rooms.setdefault(name, set()).add(folder.partition("/")[0])
    found = [
        f"polymodal/{name}:{one.lineno}: {one.value!r}"
        for name, tree in files(rooms)
        for one in compared(tree)
        if one.value in rooms
        and name.partition("/")[0] not in rooms[str(one.value)]
        and name not in ALIKE.get(str(one.value), ())
    ]
    assert not found, "\n".join(found)


def test_every_room_holds_its_kind() -> None:
    assert sorted(kinds()) == lookup.folders("modalities")
    for name, kind in kinds().items():
        assert kind.name == name
        for role in ("encoder", "raw", "by_word"):
            chosen = getattr(kind, role)
            assert chosen is None or chosen in lookup.names(f"modalities/{name}/encoders")
        assert kind.described is None or kind.described in lookup.names(f"modalities/{name}/forms")
        assert (kind.by_word is not None) == kind.words


def test_a_column_is_read_by_one_kind() -> None:
    columns = [column for kind in kinds().values() for column in kind.columns]
    assert len(columns) == len(set(columns))
    suffixes = [suffix for kind in kinds().values() for suffix in kind.suffixes]
    assert len(suffixes) == len(set(suffixes))
