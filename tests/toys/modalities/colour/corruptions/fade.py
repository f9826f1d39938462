"""Colours that fade."""

from __future__ import annotations

from typing import final

import numpy as np

from polymodal.contract.corruption import Corruption


@final
class Fade(Corruption):
    """Each channel on its way to a random one, as far as the level says."""

    kind = "colour"

    def corrupt(self, cell: str, level: float, rng: np.random.Generator) -> str:
        channels = np.array([*bytes.fromhex(cell.removeprefix("#"))])
        faded = channels + level * (rng.integers(0, 256, 3) - channels)
        return "#" + bytes(faded.astype(np.uint8)).hex()
