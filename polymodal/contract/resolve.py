"""A recipe read from a file, checked with errors that name its keys, overruled by arguments."""

from __future__ import annotations

import glob
import itertools
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.base.spelling import several
from polymodal.contract import named
from polymodal.contract.recipe import (
    SCIENTIFIC,
    SHORT,
    Data,
    Member,
    Modality,
    Parent,
    Recipe,
    Spec,
    Teacher,
    Training,
)

# A recipe that names thousands of columns is far smaller.
LARGEST, MOST_VALUES, DEEPEST = 16 * 2**20, 500_000, 64
# Keys of recipes of 0.1 -> what they are now.
RENAMED = {"members": "models"}


def load(path: Path) -> Recipe:
    """Read a YAML recipe.

    What it names by a path (`train`, `valid`, `parent`, "file.py:Class") is relative to its folder.
    """
    try:
        described = _parsed(path)
    # A key that no mapping can have, a number too long, a nest too deep.
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise UserError(
            f"The recipe '{path}' cannot be read",
            expected="a YAML file",
            got=" ".join(str(error).split())[:300],
        ) from error
    if not isinstance(described, dict):
        raise UserError(
            f"The recipe '{path}' is not a mapping",
            expected="keys such as train, targets, modalities, fusion, training",
            got=type(described).__name__,
        )
    if "target" in described:
        if "targets" in described:
            raise UserError(
                f"{path}: both 'target' and 'targets' are given",
                expected="one of them",
                do="write targets: {COLUMN: TASK}",
            )
        target = described.pop("target")
        names = [target] if isinstance(target, str) else target
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(
                f"{path}: 'target' is not valid",
                expected="a column's name, or a list of them",
                got=repr(target)[:200],
                do="write targets: {COLUMN: TASK} to choose tasks too",
            )
        described["targets"] = dict.fromkeys(names)
    for key in ("train", "valid"):
        value = described.get(key)
        if isinstance(value, str) and "://" not in value:
            described[key] = str(path.parent / value)
    for key in ("parent", "teacher"):
        given = described.get(key)
        if isinstance(given, str):
            described[key] = str(path.parent / given)
        elif isinstance(given, dict) and isinstance(given.get("run"), str):
            described[key] = {**given, "run": str(path.parent / given["run"])}
    return validate(named.mapped(described, partial(_anchored, path.parent)), str(path))


def stated(source: str) -> Recipe:
    """A table's name or a recipe's file, as commands take either, to a recipe."""
    is_recipe = source.endswith((".yaml", ".yml"))
    return ready(Path(source)) if is_recipe else Recipe(train=source)


def ready(path: Path) -> Recipe:
    """As `load`, of a recipe whose table is there.

    Raises:
        UserError: as of `load`; or the table is still to be made, as the recipe's head says.
    """
    recipe, made = load(path), _head(path)
    table = recipe.train if isinstance(recipe.train, str) and "://" not in recipe.train else None
    if table is None or not made or glob.has_magic(table) or Path(table).exists():
        return recipe
    raise UserError(
        f"The table of the recipe, '{table}', does not exist",
        expected="the table to be made first, as the head of the recipe says",
        do="; then ".join(made),
    )


def _head(path: Path) -> list[str]:
    """The commands in a recipe's first comment that come before those of polymodal."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    said = [line[1:].strip() for line in comment if line.startswith("#    ")]
    return list(itertools.takewhile(lambda line: not line.startswith("polymodal "), said))


def recipe_of(recipe: Recipe | str | Path | None) -> Recipe:
    """A recipe as functions take it, itself or its file; None says nothing.

    Raises:
        UserError: it is something else, or as `load` raises it.
    """
    if isinstance(recipe, str | Path):
        return load(Path(recipe))
    if recipe is not None and not isinstance(recipe, Recipe):
        raise UserError(
            "That is no recipe",
            expected="a Recipe, or the path of a YAML file",
            got=type(recipe).__name__,
            do="Recipe.model_validate(...) makes one of a mapping",
        )
    return recipe or Recipe()


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Of a few levels of brackets: the scanner's time grows with their square."""

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        if self.flow_level >= DEEPEST:
            raise yaml.YAMLError(f"brackets in brackets, more than {DEEPEST} deep")
        super().fetch_flow_collection_start(token)


_Loader.add_implicit_resolver(*SCIENTIFIC)


def _parsed(path: Path) -> Any:
    """What a YAML file says; ValueError if it says more than a recipe can."""
    if not path.is_file():
        raise FileNotFoundError("no such file")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"it is larger than {LARGEST / 2**20:.0f} MiB")
    loader = _Loader(path.read_text(encoding="utf-8"))
    try:
        node = loader.get_single_node()
        # A few lines of aliases of aliases stand for billions of values.
        if node is not None and _count(node, {}) > MOST_VALUES:
            raise ValueError("its aliases stand for too many values")
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """Values that a node stands for, with what its aliases repeat."""
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1  # what holds itself never ends
        inner = node.value if isinstance(node, yaml.CollectionNode) else []
        each = (one for pair in inner for one in (pair if isinstance(pair, tuple) else [pair]))
        known[id(node)] = 1 + sum(_count(one, known) for one in each)
    return known[id(node)]


_SHARE = re.compile(r"(\d+\.?\d*|\.\d+)\s*(%?)")


def overruled(
    recipe: Recipe,
    *,
    target: str | Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    drop: str | Sequence[str] = (),
    fusion: Spec | Sequence[Spec] | None = None,
    seed: int | None = None,
    budget: float | None = None,
    metric: str | None = None,
    pretrained: str | None = None,
    parent: str | Mapping[str, Any] | None = None,
    teacher: str | Mapping[str, Any] | None = None,
    **data: Any,
) -> Recipe:
    """The recipe with what is given over it; what is None overrules nothing.

    Args:
        target: column or columns to predict, each with the task that the recipe gives it.
        kinds, drop: added to the recipe's.
        fusion: this one instead of the plan's models or the recipe's own fusion, or several to be
            compared; each modality is trained alone too.
        data: keys of `Data`. A split "time:COLUMN" names its column.

    Raises:
        UserError: the two do not go together.
    """
    given = {key: value for key, value in data.items() if value is not None}
    if "split" in given:
        how, _, column = given["split"].partition(":")
        # Another way of splitting has no use for the recipe's column of times.
        given |= {"split": how, "time": column or (recipe.data.time if how == "time" else None)}
    given |= {"kinds": {**recipe.data.kinds, **(kinds or {})}}
    given |= {"drop": [*recipe.data.drop, *several(drop)]}
    update: dict[str, Any] = {"data": {**recipe.data.model_dump(), **given}}
    if target:
        update["targets"] = {name: recipe.targets.get(name) for name in several(target)}
    update |= {} if budget is None else {"budget": budget}
    update |= {} if seed is None else {"seed": seed}
    update |= {} if metric is None else {"metric": metric}
    update |= {} if pretrained is None else {"pretrained": pretrained}
    update |= {} if parent is None else {"parent": parent}
    update |= {} if teacher is None else {"teacher": teacher}
    if fusion is not None:
        update |= _with_fusion(recipe, fusion)
    return validate({**recipe.model_dump(), **update}, "The fit")


def share(valid: Any) -> float | None:
    """The part of the rows that is asked for in a validation table's place: 0.2, "0.2" or "20%".

    None for what names a table, of which a file may be called "0.2" too.
    """
    if isinstance(valid, bool) or not isinstance(valid, int | float | str):
        return None
    if not isinstance(valid, str):
        return float(valid)
    found = _SHARE.fullmatch(valid.strip())
    if found is None or Path(valid).exists():
        return None
    return float(found[1]) / (100 if found[2] else 1)


def _with_fusion(recipe: Recipe, fusion: Spec | Sequence[Spec]) -> dict[str, Any]:
    """The recipe's one model, or the plan's, with other fusions; and its rivals."""
    models = recipe.models or []
    if len(models) > 1:
        raise UserError(
            "A fusion was given beside a recipe of several models",
            expected="a recipe of one model at most, whose fusion is replaced",
            got=", ".join(model.name for model in models),
            do="leave `fusion` out, or write it into the recipe's models",
        )
    own = models[0].model_dump() if models else {}
    if models and models[0].learner != Member.model_fields["learner"].default:
        raise UserError(
            "A fusion was given beside a recipe whose model has none",
            expected="a recipe without a model, or with a network, whose fusion is replaced",
            got=f"learner: {own['learner']}",
            do="leave `fusion` out, or change the recipe",
        )
    short = {key: own[key] for key in SHORT if own.get(key)}
    given = fusion if isinstance(fusion, str | dict) else list(fusion)
    return {**short, "models": None, "fusion": given, "rivals": True}


def validate(described: dict[str, Any], source: str) -> Recipe:
    """A mapping to a Recipe; UserError names the key, what it takes and the nearest match."""
    try:
        return Recipe.model_validate(described)
    except ValidationError as error:
        first = error.errors()[0]
        # A union's branch names ("str", "dict[...]") are no part of the user's path.
        where = ".".join(str(part) for part in first["loc"] if not _is_branch(part))
        reference = "see the recipe reference in docs/recipe.md"
        if first["type"] == "extra_forbidden":
            known, key = _keys_beside(first["loc"]), str(first["loc"][-1])
            raise UserError(
                f"{source}: there is no key '{where}'",
                expected=f"one of {', '.join(known)}",
                got=f"{where}: {first['input']!r}"[:200],
                do=lookup.meant(RENAMED.get(key, key), known, reference),
            ) from error
        raise UserError(
            f"{source}: '{where or 'recipe'}' is not valid",
            expected=first["msg"].removeprefix("Value error, "),
            got=repr(first.get("input"))[:200],
            do=reference,
        ) from error


def _anchored(folder: Path, name: str) -> str:
    """A component's name; a "file.py:Class" made relative to the recipe's folder."""
    return str(folder / name) if lookup.own(name) is not None else name


def _is_branch(part: Any) -> bool:
    return isinstance(part, str) and (part in ("str", "bool", "int", "float") or "[" in part)


def _keys_beside(location: tuple[Any, ...]) -> list[str]:
    """The keys that the model at the end of a validation error's location has."""
    here: type[BaseModel] = Recipe
    inner: dict[str, type[BaseModel]] = {
        "data": Data,
        "training": Training,
        "modalities": Modality,
        "models": Member,
        "parent": Parent,
        "teacher": Teacher,
    }
    for part in location[:-1]:
        here = inner.get(str(part), here)
    return list(here.model_fields)
