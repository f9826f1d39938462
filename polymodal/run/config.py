"""What transformers' Auto classes know a saved run by."""

from __future__ import annotations

import importlib
from typing import Any

from transformers import PreTrainedConfig

MODEL_TYPE = "polymodal"


class PolymodalConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """The config.json of a run: what it reads and predicts, for people and programs to look at.

    What it is built of stands in run.json.
    """

    model_type = MODEL_TYPE

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        # Auto classes ask for the configuration first: only then is what a run needs imported.
        importlib.import_module("polymodal.run.hf").register()
        return super().from_dict(config_dict, **kwargs)
