"""How a score holds when inputs are corrupted or missing: two areas, and which rows lose what.

Paper of both figures: "MultiBench" (Liang et al. 2021, arXiv 2107.07502), not normalised here.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from polymodal.base.errors import UserError
from polymodal.metrics._weighted import Array


def relative_robustness(scores: Array, noise: Array, greater_is_better: bool = True) -> float:
    """tau: the area under the score over noise from 0 to 1, by the trapezoid rule.

    Args:
        scores: `(levels,)` the metric at each level.
        noise: `(levels,)` rising from 0 to 1.
        greater_is_better: False for an error, whose area counts negative.

    Raises:
        UserError: the levels do not rise from 0 to 1.
    """
    from scipy.integrate import trapezoid

    if len(noise) < 2 or noise[0] != 0 or noise[-1] != 1 or not (np.diff(noise) > 0).all():
        raise UserError(
            "Robustness is measured over levels of noise from 0 to 1",
            expected="levels that rise from 0 to 1",
            got=", ".join(f"{level:g}" for level in noise),
        )
    return float(trapezoid(scores, noise)) * (1 if greater_is_better else -1)


def effective_robustness(
    scores: Array, late_fusion: Array, greater_is_better: bool = True
) -> float:
    """rho: how much less a model falls than late fusion does, summed over the levels of noise.

    rho = sum_k [(f_k - f_0) - (LF_k - LF_0)]; above 0 it holds better than late fusion. It grows
    with the number of levels, so only figures of the same levels can be compared.

    Args:
        scores: `(levels,)` the model's metric, the first without noise.
        late_fusion: `(levels,)` that of late fusion on the same rows and corruptions.
        greater_is_better: False for an error, whose sign is turned.
    """
    fall = (scores - scores[0]) - (late_fusion - late_fusion[0])
    return float(fall.sum()) * (1 if greater_is_better else -1)


def lost(keys: Sequence[bytes], modality: str, rate: float, seed: int = 0) -> Array:
    """Which rows lose a modality when each loses it with chance `rate`: `(rows,)` bool.

    It depends on a row's content, not its place, so batches, workers and order change nothing,
    and two models lose the same cells. Modalities are lost independently of each other: at a
    rate of 1 nothing is left, and the model answers as it does for no input at all. What is lost
    at one rate is lost at every higher one, so a curve over rates does not jump about.

    Args:
        keys: each row's content (a hash of its cells); equal rows lose the same.
        rate: from 0 to 1.
        seed: another one gives other rows.
    """
    purpose = f"{seed}/{modality}/".encode()
    draws = [int.from_bytes(blake2b(purpose + key, digest_size=6).digest(), "big") for key in keys]
    return np.array(draws, dtype=float) < rate * 2**48
