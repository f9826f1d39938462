"""Connectionist temporal classification: what a text costs that a network hears, and what it hears.

Paper: "Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with Recurrent
Neural Networks" (Graves et al. 2006). At every place in time the network says a unit or a blank; a
text is all ways to say it, where a unit that is repeated counts once unless a blank stands between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Array = np.ndarray[Any, Any]

# The number that says nothing; no unit has it.
BLANK = 0


def room(ids: Sequence[int] | Array) -> int:
    """Places that a text needs at least: one a unit, and a blank between two that are the same."""
    ids = np.asarray(ids)
    return len(ids) + int((ids[1:] == ids[:-1]).sum())


def nats(logs: Tensor, counts: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
    """What each row's text costs `(rows,)`: -log of its probability over all ways to say it.

    A row needs one place at least, and as many as `room` of its text says: else it is infinite.

    Args:
        logs: `(rows, places, units)` float32: log-probabilities.
        counts: `(rows,)`: how many places are real.
        ids: `(rows, longest)`: units, padded with anything.
        lengths: `(rows,)`: how many of them are real.
    """
    given = logs.transpose(0, 1), ids, counts, lengths
    return F.ctc_loss(*given, blank=BLANK, reduction="none")


def greedy(logs: Array) -> list[int]:
    """The text of the likeliest way: repeats joined, then blanks left out.

    Args:
        logs: `(places, units)`.
    """
    best = logs.argmax(1) if len(logs) else np.zeros(0, int)
    return [int(unit) for unit in best[np.diff(best, prepend=-1) != 0] if unit != BLANK]


def prefix_beam(logs: Array, beams: int) -> list[list[int]]:
    """The likeliest texts, the best first, where so many beginnings are kept at every place.

    The ways to say one text are summed, as the best way alone does not. With as many beams as there
    are beginnings none is missed. Paper: "First-Pass Large Vocabulary Continuous Speech Recognition
    using Bi-Directional Recurrent DNNs" (Hannun et al. 2014).

    Args:
        logs: `(places, units)`.
    """
    # Of each beginning: its units, and the log-probability of the ways that end in a blank, and of
    # those that end in its last unit.
    kept: list[tuple[int, ...]] = [()]
    blank, last = np.zeros(1), np.full(1, -np.inf)
    for scores in logs.astype(float):
        ends = np.array([one[-1] if one else BLANK for one in kept])
        both = np.logaddexp(blank, last)
        longer = both[:, None] + scores
        # The same unit once more is another one only after a blank.
        rows = np.arange(len(kept))
        longer[rows, ends] = blank + scores[ends]
        longer[:, BLANK] = -np.inf
        still_blank, still_last = both + scores[BLANK], last + scores[ends]
        place = {one: i for i, one in enumerate(kept)}
        for i, one in enumerate(kept):
            # What is kept already may also come of what is one unit shorter.
            shorter = place.get(one[:-1]) if one else None
            if shorter is not None:
                still_last[i] = np.logaddexp(still_last[i], longer[shorter, one[-1]])
                longer[shorter, one[-1]] = -np.inf
        every = np.concatenate([np.logaddexp(still_blank, still_last), longer.ravel()])
        best = np.argsort(-every, kind="stable")[:beams]
        best = best[every[best] > -np.inf]
        old, units = best[best < len(kept)], scores.size
        source, unit = np.divmod(best[best >= len(kept)] - len(kept), units)
        found = [kept[i] for i in old]
        found += [(*kept[i], int(u)) for i, u in zip(source, unit, strict=True)]
        none = np.full(len(source), -np.inf)
        blank = np.concatenate([still_blank[old], none])
        last = np.concatenate([still_last[old], longer[source, unit]])
        kept = found
    order = np.argsort(-np.logaddexp(blank, last), kind="stable")
    return [list(kept[i]) for i in order]


def texts(logs: Array, beams: int) -> list[list[int]]:
    """As `prefix_beam`; of one beam the text of the likeliest way."""
    return prefix_beam(logs, beams) if beams > 1 else [greedy(logs)]


def padded(texts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Texts as `(rows, longest)` units and `(rows,)` lengths."""
    lengths = torch.tensor([len(text) for text in texts], device=device)
    ids = torch.zeros(len(texts), max([1, *map(len, texts)]), dtype=torch.int64, device=device)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = torch.tensor(text, dtype=torch.int64, device=device)
    return ids, lengths
