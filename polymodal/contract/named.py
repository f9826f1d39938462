"""Where a recipe or one of its models names components, and what it calls them there.

A column or a modality may be called like a component: only these places name one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Keys of a recipe, a model, a modality or its training that hold one component or a list of them.
ONE = ("learner", "fusion", "encoder", "align", "tuning", "balance")


def mapped(described: Any, change: Callable[[str], str]) -> Any:
    """A recipe's or model's mapping with each component's name changed, and nothing else.

    What has another shape than a recipe stays as it is: who validates it says so.
    """
    if not isinstance(described, dict):
        return described
    found = dict(described)
    for key in ONE:
        if key in found:
            found[key] = _spec(found[key], change)
    if isinstance(found.get("targets"), dict):
        found["targets"] = {name: _spec(o, change) for name, o in found["targets"].items()}
    if isinstance(found.get("modalities"), dict):
        found["modalities"] = {n: mapped(o, change) for n, o in found["modalities"].items()}
    if isinstance(found.get("models"), list):
        found["models"] = [mapped(model, change) for model in found["models"]]
    if "training" in found:
        found["training"] = mapped(found["training"], change)
    return found


def names(described: Any) -> list[str]:
    """Every component that a recipe or model names, in its order, each once."""
    found: dict[str, None] = {}

    def noted(name: str) -> str:
        found[name] = None
        return name

    mapped(described, noted)
    return list(found)


def _spec(spec: Any, change: Callable[[str], str]) -> Any:
    if isinstance(spec, str):
        return change(spec)
    if isinstance(spec, list):
        return [_spec(one, change) for one in spec]
    if isinstance(spec, dict) and isinstance(spec.get("name"), str):
        return {**spec, "name": change(spec["name"])}
    return spec
