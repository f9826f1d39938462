"""Partial information decomposition: what two sources tell of a label alone, twice or together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polymodal.metrics._weighted import Array


@dataclass(frozen=True)
class Pid:
    """Bits of I(label; both sources) by where they are found; their sum is all of it.

    Attributes:
        redundant: in either source alone.
        unique1: only in the first.
        unique2: only in the second.
        synergy: only in both together.
    """

    redundant: float
    unique1: float
    unique2: float
    synergy: float


def decompose(joint: Array) -> Pid:
    """The decomposition of a discrete table by I_min.

    Redundancy is the smaller of the sources' informations about each value of the label, averaged
    over its values. Two independent sources that the label copies whole count as redundant by this
    measure, a known weakness; continuous representations need an estimator, not this.

    Args:
        joint: `(values of source 1, values of source 2, labels)` probabilities.

    Paper: "Nonnegative Decomposition of Multivariate Information" (Williams, Beer 2010).
    """
    first, second = joint.sum(1), joint.sum(0)
    label = joint.sum((0, 1))
    about = np.stack(
        [_specific(first), _specific(second), _specific(joint.reshape(-1, len(label)))]
    )
    one, two, both = about @ label
    redundant = float(about[:2].min(0) @ label)
    return Pid(redundant, one - redundant, two - redundant, both - one - two + redundant)


def _specific(joint: Array) -> Array:
    """I(label = y; source) = sum_x p(x|y) log2(p(y|x) / p(y)), `(labels,)`.

    Args:
        joint: `(values of the source, labels)` probabilities.
    """
    source, label = joint.sum(1, keepdims=True), joint.sum(0)
    lift = np.divide(joint, source * label, out=np.ones_like(joint), where=joint > 0)
    return np.asarray((joint * np.log2(lift)).sum(0) / np.where(label > 0, label, 1))
