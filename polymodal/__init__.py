"""Polymodal: from a table of text, media, series and numbers to one measured multimodal model.

Names are imported when first used, so that `import polymodal` and the command line stay fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polymodal.errors import PolymodalError as PolymodalError
    from polymodal.errors import UserError as UserError
    from polymodal.evaluate.compare import compare as compare
    from polymodal.fitting import fit as fit
    from polymodal.recipe import Recipe as Recipe
    from polymodal.run import Run as Run
    from polymodal.run import load as load
    from polymodal.scoring import score as score

_HOMES = {
    "compare": "polymodal.evaluate.compare",
    "fit": "polymodal.fitting",
    "load": "polymodal.run",
    "score": "polymodal.scoring",
    "Run": "polymodal.run",
    "Recipe": "polymodal.recipe",
    "UserError": "polymodal.errors",
    "PolymodalError": "polymodal.errors",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'polymodal' has no attribute '{name}'")
    module = importlib.import_module(_HOMES[name])
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
