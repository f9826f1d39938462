"""wav2vec 2.0 from scratch, on the samples of a sound."""

from __future__ import annotations

from typing import Any, final

from polymodal.modalities.audio.encoders._waves import WaveEncoder


@final
class Wav2vec2(WaveEncoder):
    """The network of wav2vec 2.0 (Baevski et al. 2020, arXiv 2006.11477) by transformers.

    The paper's base model is hidden 768, depth 12, heads 12, channels 512, norm "group" (94.4 M
    parameters), its large one 1024, 24, 16, 512, "layer" (315.4 M). Options as `WaveEncoder` says.
    """

    def _model(self, settings: dict[str, Any]) -> Any:
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        return Wav2Vec2Model(Wav2Vec2Config(**settings))
