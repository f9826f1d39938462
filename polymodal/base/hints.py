"""How the types of options are called in errors, and what a value of one looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

# One, several, and such a one.
_SIMPLE: dict[Any, tuple[str, str, Any]] = {
    bool: ("true or false", "true or false", True),
    int: ("a whole number", "whole numbers", 3),
    float: ("a finite number", "finite numbers", 0.5),
    str: ("a text", "texts", "another"),
    NoneType: ("none", "none", None),
    Any: ("a value", "values", "another"),
}


def called(hint: Any) -> str:
    """A type in words."""
    whole, parts = get_origin(hint) or hint, get_args(hint)
    if whole in (Union, UnionType):
        return " or ".join(map(called, parts))
    if whole is Literal:
        return " or ".join(map(repr, parts))
    if whole in _SIMPLE:
        return _SIMPLE[whole][0]
    if issubclass(whole, Mapping):
        return "a mapping"
    if issubclass(whole, Sequence):
        return f"a list of {_SIMPLE[parts[0]][1]}" if parts and parts[0] in _SIMPLE else "a list"
    return str(whole.__name__)


def example(hint: Any, given: Any) -> Any:
    """A value of a type.

    Args:
        given: that was given instead; where several are wanted, it is the first of them.
    """
    whole, parts = get_origin(hint) or hint, get_args(hint)
    if whole in (Union, UnionType):
        return example(parts[0], given)
    if whole is Literal:
        return parts[0]
    if whole in _SIMPLE:
        return _SIMPLE[whole][2]
    if issubclass(whole, Mapping):
        return {"type": "object"}
    more = [example(part, given) for part in parts[:1]]
    return [given, *more] if type(given) in parts else more
