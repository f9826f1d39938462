"""Polymodal: from a table of text, media, series and numbers to one measured multimodal model.

Names are imported when first used, so that `import polymodal` and the command line stay fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from polymodal.base.later import after

if TYPE_CHECKING:
    from polymodal.base.errors import PolymodalError as PolymodalError
    from polymodal.base.errors import UserError as UserError
    from polymodal.contract.recipe import Recipe as Recipe
    from polymodal.evaluation.compare import compare as compare
    from polymodal.evaluation.evaluate import evaluate as evaluate
    from polymodal.evaluation.explain import explain as explain
    from polymodal.evaluation.scoring import score as score
    from polymodal.fitting.fit import fit as fit
    from polymodal.fitting.preflight import check as check
    from polymodal.fitting.pretrain import pretrain as pretrain
    from polymodal.run.hf import PolymodalModel as PolymodalModel
    from polymodal.run.run import Run as Run
    from polymodal.run.saved import load as load
    from polymodal.run.search import retrieve as retrieve
    from polymodal.table.read import read as read

_HOMES = {
    "check": "polymodal.fitting.preflight",
    "compare": "polymodal.evaluation.compare",
    "evaluate": "polymodal.evaluation.evaluate",
    "explain": "polymodal.evaluation.explain",
    "fit": "polymodal.fitting.fit",
    "load": "polymodal.run.saved",
    "pretrain": "polymodal.fitting.pretrain",
    "read": "polymodal.table.read",
    "retrieve": "polymodal.run.search",
    "score": "polymodal.evaluation.scoring",
    "PolymodalModel": "polymodal.run.hf",
    "Run": "polymodal.run.run",
    "Recipe": "polymodal.contract.recipe",
    "UserError": "polymodal.base.errors",
    "PolymodalError": "polymodal.base.errors",
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


def _known_to_transformers() -> None:
    """AutoConfig opens the config.json of a run, and AutoModel what that describes."""
    from transformers import AutoConfig

    from polymodal.run.config import MODEL_TYPE, PolymodalConfig

    AutoConfig.register(MODEL_TYPE, PolymodalConfig, exist_ok=True)


# Imported for itself, transformers would take seconds.
after("transformers.models.auto.configuration_auto", _known_to_transformers)
