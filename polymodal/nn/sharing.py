"""Several texts behind one prompt, in one sequence, each of which sees the prompt and itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Numbers in the masks of a batch, of 4 bytes each: what is longer is read text by text.
MOST = 2**24


@dataclass(frozen=True)
class Shared:
    """Texts of the same rows, one after another behind what their row reads.

    Attributes:
        rows: `(shared,)`: whose prompts are read.
        seats: `(places,)`: where the texts' real places, one text after another and each without
            its last piece, are among all places behind the prompts.
        size: places behind each prompt.
        positions: `(shared, prompt + size)`: a text's go on from those of its prompt.
        mask: `(shared, 1, prompt + size, prompt + size)`: 0 where a place is seen, else the least
            number.
        told: `(pieces,)`: which of all places tells each real piece of each text.
    """

    rows: Tensor
    seats: Tensor
    size: int
    positions: Tensor
    mask: Tensor
    told: Tensor


def share(prompt: Tensor, mask: Tensor, rows: Tensor) -> Shared | None:
    """How texts share their rows' prompts; None where that would be no fewer places, or
    their masks would hold more than MOST numbers.

    Args:
        prompt: `(batch, length)` bool, True where a place is real; the last one is.
        mask: `(texts, longest)` bool of the texts' pieces, padded on the right.
        rows: `(texts,)`: whose they are.
    """
    used, which = torch.unique(rows, return_inverse=True)
    seen, length = prompt[used], prompt.shape[1]
    inputs = (mask.sum(1) - 1).clamp(min=0)  # a text's last piece tells nothing
    order = which.argsort(stable=True)
    before = inputs[order].cumsum(0) - inputs[order]
    begins = torch.zeros(len(used), dtype=torch.long, device=rows.device)
    begins.scatter_reduce_(0, which[order], before, "amin", include_self=False)
    starts = torch.empty_like(before)
    starts[order] = before - begins[which[order]]
    size = int((starts + inputs).max())
    whole = length + size
    if len(used) * whole >= int((seen.sum(1)[which] + inputs).sum()):
        return None
    if len(used) * whole**2 > MOST:
        return None
    steps = torch.arange(mask.shape[1], device=rows.device)
    real = mask[:, 1:]
    # Behind the prompt each place has the number of its text; of the prompt's it is -1.
    flat = (which.unsqueeze(1) * size + starts.unsqueeze(1) + steps[:-1])[real]
    owner = torch.full((len(used), whole), -2, device=rows.device)
    owner[:, :length] = torch.where(seen, -1, -2)
    positions = torch.zeros_like(owner)
    positions[:, :length] = (seen.long().cumsum(1) - 1).clamp(min=0)
    tail, places = owner[:, length:], positions[:, length:]
    row, column = flat // max(1, size), flat % max(1, size)
    texts = torch.arange(len(mask), device=rows.device).unsqueeze(1).expand_as(real)
    tail[row, column] = texts[real]
    places[row, column] = (seen.sum(1)[which].unsqueeze(1) + steps[:-1])[real]
    key, query = owner.unsqueeze(1), owner.unsqueeze(2)
    sees = ((key == -1) | ((key == query) & (key >= 0))).tril()
    # What is no place sees itself, so that its states are numbers.
    sees |= torch.eye(whole, dtype=torch.bool, device=rows.device)
    least = torch.finfo(torch.float32).min
    hidden = torch.zeros(sees.shape, device=rows.device).masked_fill(~sees, least)
    # The prompt's last place tells a text's first piece.
    first = torch.where(steps > 0, length + starts.unsqueeze(1) + steps - 1, length - 1)
    told = (which.unsqueeze(1) * whole + first)[mask]
    return Shared(used, flat, size, positions, hidden.unsqueeze(1), told)
