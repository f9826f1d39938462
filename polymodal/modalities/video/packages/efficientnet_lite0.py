"""EfficientNet-Lite0, which reads clips frame by frame."""

from __future__ import annotations

from typing import final

from polymodal.modalities.image.packages import efficientnet_lite0


@final
class EfficientnetLite0(efficientnet_lite0.EfficientnetLite0):
    """As of pictures: a clip of 8 frames takes as long as 8 of them."""
