"""HuBERT from scratch, on the samples of a sound."""

from __future__ import annotations

from typing import Any, final

from polymodal.modalities.audio.encoders._waves import WaveEncoder


@final
class Hubert(WaveEncoder):
    """The network of HuBERT (Hsu et al. 2021, arXiv 2106.07447) by transformers.

    The paper's base model is hidden 768, depth 12, heads 12, channels 512, norm "group" (94.4 M
    parameters), its large one 1024, 24, 16, 512, "layer" (315.4 M), its largest 1280, 48, 16, 512,
    "layer" (about 1 B). Options as `WaveEncoder` says.
    """

    def _model(self, settings: dict[str, Any]) -> Any:
        from transformers import HubertConfig, HubertModel

        return HubertModel(HubertConfig(**settings))
