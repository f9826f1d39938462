"""What is hidden of a row: drawn from one seed of the generator and from what the row holds.

So it is the same whatever rows stand beside it and however far they are padded, and changes with
the generator. All of it works on any device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from polymodal.contract.batch import Field

# Of "splitmix64" (Steele et al. 2014, "Fast splittable pseudorandom number generators").
GOLDEN, FIRST, SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
# The shares of Devlin et al. 2019, "BERT", of what is chosen: hidden, and replaced at random.
HIDDEN, RANDOM = 0.8, 0.1


def keys(field: Field, generator: torch.Generator) -> Tensor:
    """A random number of each row `(batch,)` int64: of its content and the generator's next."""
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    data = field.data
    if data.is_floating_point():
        data = data.float().view(torch.int32)
    bits = data.long().flatten(1)
    mixed = _mix(bits + torch.arange(bits.shape[1], device=bits.device) * GOLDEN)
    if field.mask is not None:
        # Behind the end nothing is read, and nothing counts.
        each = bits.shape[1] // max(1, field.mask.shape[1])
        mixed = torch.where(field.mask.repeat_interleave(each, 1), mixed, 0)
    return _mix(mixed.sum(1) + seed)


def uniform(keys: Tensor, count: int, stream: int) -> Tensor:
    """`(batch, count)` float64 in [0, 1): of each row's key, the number of the place, the stream.

    The first of a longer row are those of a shorter one.
    """
    places = torch.arange(1, count + 1, device=keys.device)
    mixed = _mix(_mix(keys + stream).unsqueeze(1) + places * GOLDEN)
    return _shifted(mixed, 11).double() / 2**53


def chosen(among: Tensor, share: float, chances: Tensor) -> Tensor:
    """Each of `among (batch, count)` bool by itself with a chance of `share`."""
    return among & (chances < share)


def exactly(among: Tensor, share: float, chances: Tensor) -> Tensor:
    """Of each row's `among (batch, count)` bool the nearest number to `share`, never all."""
    available = among.sum(1)
    wanted = (available * share).round().long().minimum((available - 1).clamp(min=0))
    # Those that may not be chosen rank last.
    order = torch.where(among, chances, 2.0).argsort(dim=1, stable=True)
    ranks = torch.empty_like(order).scatter_(
        1, order, torch.arange(order.shape[1], device=order.device).expand_as(order)
    )
    return among & (ranks < wanted.unsqueeze(1))


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shifted(x, 30)) * FIRST
    x = (x ^ _shifted(x, 27)) * SECOND
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Shifted to the right as if there were no sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
