"""Loss of a set of boxes: which place learns which, and how far it is from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.tasks._boxes import CLASS

# Of the focal loss: what a class that is there weighs, and how little what is clear counts.
ALPHA, GAMMA = 0.25, 2.0
# What a wrong class, a distance and an overlap that lacks weigh against each other.
CLASSED, DISTANT, APART = 2.0, 5.0, 2.0
# Sides of boxes that no network need tell apart.
LEAST = 1e-4


def set_loss(logits: Tensor, places: Tensor, gold: Tensor, counts: Sequence[int]) -> Tensor:
    """Focal loss of all places' classes, distances and GIoU of those that have a box; for each box.

    Args:
        logits: `(batch, places, classes)`.
        places: `(batch, places, 4)`, middle and sides.
        gold: `(batch, most, 5)`: left, top, right, bottom, class of each row's boxes, padded.
        counts: how many boxes each row has.
    """
    mine = assigned(logits, places, gold, counts)
    rows = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    turns = torch.tensor([turn for count in counts for turn in range(count)], dtype=torch.long)
    true = gold[rows, turns]
    wanted = torch.zeros_like(logits)
    wanted[rows, mine, true[:, CLASS].long()] = 1
    told, true, count = places[rows, mine], true[:, :CLASS], max(1, len(mine))
    classed = focal(logits, wanted).sum() / count
    distant = (told - middles(true)).abs().sum() / count
    apart = (1 - likeness(corners(told), true)).sum() / count
    return CLASSED * classed + DISTANT * distant + APART * apart


@torch.no_grad()
def assigned(logits: Tensor, places: Tensor, gold: Tensor, counts: Sequence[int]) -> Tensor:
    """Which place of its row learns each box `(sum of counts,)`: each row's cheapest assignment
    (the Hungarian method), by class, distance and GIoU together.

    Args: as of `set_loss`.

    Raises:
        UserError: there are more boxes than places.
    """
    from scipy.optimize import linear_sum_assignment

    if max(counts, default=0) > places.shape[1]:
        raise UserError(
            f"A picture has {max(counts)} boxes, more than places that could tell them",
            expected=f"at most {places.shape[1]}",
            do="raise `grid` of the task",
        )
    nothing, there = (focal(logits, torch.full_like(logits, to)) for to in (0.0, 1.0))
    codes = gold[..., CLASS].long().unsqueeze(1).expand(-1, places.shape[1], -1)
    classed = (there - nothing).gather(2, codes)
    distant = torch.cdist(places, middles(gold[..., :CLASS]), p=1)
    near = likeness(corners(places)[:, :, None], gold[:, None, :, :CLASS])
    cost = (CLASSED * classed + DISTANT * distant - APART * near).cpu().numpy()
    # Who has diverged is told of it by the loss, which is no number either.
    cost = np.nan_to_num(cost)
    found = [np.zeros(0, np.int64)]
    for row, count in zip(cost, counts, strict=True):
        mine, theirs = linear_sum_assignment(row[:, :count])
        found.append(mine[np.argsort(theirs)])
    return torch.from_numpy(np.concatenate(found)).to(places.device)


def focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """Focal loss of each logit: cross-entropy, of which what is clear counts little."""
    each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    share = ALPHA * wanted + (1 - ALPHA) * (1 - wanted)
    return share * (1 - torch.exp(-each)) ** GAMMA * each


def corners(places: Tensor) -> Tensor:
    """Middle and sides `(..., 4)` to left, top, right, bottom."""
    middle, half = places[..., :2], places[..., 2:] / 2
    return torch.cat([middle - half, middle + half], -1)


def likeness(boxes: Tensor, others: Tensor) -> Tensor:
    """GIoU of boxes `(..., 4)` and others that broadcast to them: left, top, right, bottom."""
    inner = torch.minimum(boxes[..., 2:], others[..., 2:]) - torch.maximum(
        boxes[..., :2], others[..., :2]
    )
    outer = torch.maximum(boxes[..., 2:], others[..., 2:]) - torch.minimum(
        boxes[..., :2], others[..., :2]
    )
    common, around = inner.clamp(min=0).prod(-1), outer.clamp(min=LEAST).prod(-1)
    areas = [(one[..., 2:] - one[..., :2]).clamp(min=0).prod(-1) for one in (boxes, others)]
    union = areas[0] + areas[1] - common
    return common / union.clamp(min=LEAST**2) - (around - union) / around


def middles(corners: Tensor) -> Tensor:
    """Left, top, right, bottom `(..., 4)` to middle and sides."""
    return torch.cat(
        [(corners[..., :2] + corners[..., 2:]) / 2, corners[..., 2:] - corners[..., :2]], -1
    )
