"""What tasks share that hide patches of an array: cutting it, hiding, and reading places of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Decided, Field, Fused
from polymodal.contract.form import Form, Patches
from polymodal.contract.kind import FOLDER, kinds
from polymodal.nn.attention import Attention, heads_of

# A patch whose deviation is below this part of its largest number is constant but for rounding.
ROUNDING = 1e-5


def cut(values: Tensor, sides: Sequence[int]) -> Tensor:
    """`(batch, *axes, channels)` to `(batch, patches, places, channels)`, patches row by row.

    What sticks out at the end of an axis is filled with zeros.
    """
    batch, axes, channels = values.shape[0], values.shape[1:-1], values.shape[-1]
    short = [-size % side for size, side in zip(axes, sides, strict=True)]
    # From the last axis to the first, as `pad` wants it; channels stay.
    padding = [0, 0, *(part for end in reversed(short) for part in (0, end))]
    padded = nn.functional.pad(values, padding)
    shape = [batch]
    for size, side in zip(padded.shape[1:-1], sides, strict=True):
        shape += [size // side, side]
    order = range(1, 2 * len(sides) + 1)
    split = padded.view(*shape, channels).permute(0, *order[::2], *order[1::2], -1)
    return split.reshape(batch, -1, math.prod(sides), channels)


def joined(patches: Tensor, sides: Sequence[int], axes: Sequence[int]) -> Tensor:
    """The inverse of `cut`: `(batch, *axes, channels)`."""
    batch, _, _, channels = patches.shape
    grid = [-(-size // side) for size, side in zip(axes, sides, strict=True)]
    split = patches.view(batch, *grid, *sides, channels)
    count = len(sides)
    order = [axis for i in range(count) for axis in (1 + i, 1 + count + i)]
    whole = split.permute(0, *order, -1).reshape(
        batch, *(g * s for g, s in zip(grid, sides, strict=True)), channels
    )
    return whole[(slice(None), *(slice(size) for size in axes))]


def normalised(patches: Tensor, real: Tensor, apart: bool) -> Tensor:
    """Patches less their own mean, over their own deviation; constant ones are 0.

    Args:
        patches: `(batch, patches, places, channels)`.
        real: `(batch, patches, places)` bool; what stands elsewhere counts nothing, and gets 0.
        apart: each channel by itself; else all of a patch's numbers together.

    Paper: "Masked Autoencoders Are Scalable Vision Learners" (He et al. 2022, arXiv 2111.06377).
    """
    values = patches.double()
    weight = real.unsqueeze(-1).expand_as(values).double()
    over = (2,) if apart else (2, 3)
    count = weight.sum(over, keepdim=True).clamp(min=1)
    kept = torch.where(weight > 0, values, 0)
    mean = kept.sum(over, keepdim=True) / count
    centred = torch.where(weight > 0, values - mean, 0)
    deviation = ((centred**2).sum(over, keepdim=True) / count).sqrt()
    largest = kept.abs().amax(over, keepdim=True)
    constant = deviation <= ROUNDING * largest
    return torch.where(constant, 0.0, centred / torch.where(constant, 1.0, deviation)).float()


def shaped(field: Field, patches: Patches) -> tuple[Tensor, Tensor]:
    """A field's numbers `(batch, *axes, channels)` float32 and which places are real."""
    count = len(patches.sides)
    data = field.data.float().nan_to_num()
    values = data.reshape(*data.shape[: 1 + count], patches.channels)
    real = torch.ones(values.shape[:-1], dtype=torch.bool, device=data.device)
    if field.mask is not None:
        real = field.mask.view(*field.mask.shape, *[1] * (count - 1)).expand_as(real)
    present = field.present.view(-1, *[1] * count)
    return values, real & present


def filled(field: Field, patches: Patches, gone: Tensor) -> Field:
    """The field with each channel's mean over what is left of the row where patches are gone.

    Args:
        gone: `(batch, patches)` bool.
    """
    values, real = shaped(field, patches)
    places = gone[:, :, None, None].expand(-1, -1, math.prod(patches.sides), 1)
    hidden = joined(places, patches.sides, values.shape[1:-1])
    left = real.unsqueeze(-1) & ~hidden
    axes = tuple(range(1, values.dim() - 1))
    # In double precision, so that it does not depend on how far rows are padded.
    mean = torch.where(left, values, 0).double().sum(axes, keepdim=True)
    mean = mean / left.sum(axes, keepdim=True).clamp(min=1)
    mean = mean if field.data.is_floating_point() else mean.round()
    instead = (
        torch.where(hidden, mean.float(), values).reshape(field.data.shape).to(field.data.dtype)
    )
    # What stays is as it was, to the bit.
    stays = ~hidden.expand(values.shape).reshape(field.data.shape)
    return Field(torch.where(stays, field.data, instead), field.mask, field.present)


class Reader(nn.Module):
    """Vectors of places in an array, each of which reads the tokens that a network has of it.

    So it does not matter how many tokens an encoder makes of the array, nor where they stand. A
    place is told by sines along every axis (Vaswani et al. 2017), and so is which of its
    modality's tokens one is. The others' tokens are read too if `conditioned`.

    Args:
        modality: whose tokens are read.
        conditioned: whether tokens are read after the fusion, and all modalities'.
        size: numbers that are told of each place.
    """

    def __init__(
        self, width: int, modality: str, conditioned: bool, axes: int, size: int, dropout: float
    ) -> None:
        super().__init__()
        self.modality, self.conditioned = modality, conditioned
        self.width, self.size = width, size
        self.places = nn.Linear(axes * width, width)
        self.turns = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads_of(width))
        self.layers = nn.Sequential(
            nn.LayerNorm(width),
            nn.Dropout(dropout),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, size),
        )

    def forward(self, fused: Fused, grid: Sequence[int]) -> Tensor:
        """`(batch, places, size)` of a grid's places, row by row."""
        found = fused.tokens if self.conditioned else fused.own
        chosen = list(found.values()) if self.conditioned else [found[self.modality]]
        values = torch.cat([self.norm(tokens.values) for tokens in chosen], 1)
        turns = [_positions([tokens.mask.shape[1]], self.width) for tokens in chosen]
        values = values + self.turns(torch.cat(turns).to(values))
        mask = torch.cat([tokens.mask for tokens in chosen], 1)
        asked = self.places(_positions(grid, self.width).to(values))
        queries = asked.expand(len(values), -1, -1)
        read = queries + self.attention(queries, values, mask)
        told: Tensor = self.layers(read)
        return told


class Places(nn.Module):
    """A head that tells something of each patch of what was hidden: `(batch, patches, size)`.

    The grid is that of the task's own target `(batch, *grid, ...)`; without one it tells nothing.
    """

    def __init__(self, reader: Reader, axes: int) -> None:
        super().__init__()
        self.reader, self.axes = reader, axes

    def forward(self, fused: Fused, target: Field | None = None) -> Decided:
        grid = [0] * self.axes if target is None else target.data.shape[1 : 1 + self.axes]
        return Decided(self.reader(fused, grid))


def able(modalities: Mapping[str, str], attribute: str) -> list[str]:
    """The modalities whose kind's usual form declares something of itself.

    Args:
        attribute: of `contract.form.Form`; a property counts if the form has one of its own.
    """
    found = []
    for name, kind in modalities.items():
        encoder = lookup.find(f"{FOLDER}/{kind}/encoders", kinds()[kind].encoder)
        form = lookup.find(f"{FOLDER}/{kind}/forms", encoder.form)
        if getattr(form, attribute) != getattr(Form, attribute):
            found.append(name)
    return found


def of(forms: Mapping[str, Form], modality: str, task: str, needs: str) -> Patches:
    """How a modality's form is cut.

    Raises:
        UserError: the model does not read the modality, or in a form that has no patches.
    """
    form = forms.get(modality)
    if form is None or form.patches is None:
        raise UserError(
            f"The task '{task}' has no parts of '{modality}' to hide",
            expected=needs,
            got=f"a model of {', '.join(forms) or 'nothing'}",
            do="leave the task out, or give the modality an encoder that reads such a form",
        )
    return form.patches


def grid(shape: Sequence[int], sides: Sequence[int]) -> list[int]:
    """How many patches there are along each axis of an array `(batch, *axes, ...)`."""
    return [-(-size // side) for size, side in zip(shape[1:], sides, strict=False)]


def _positions(grid: Sequence[int], width: int) -> Tensor:
    """`(places, axes * width)`: sines of each axis's place."""
    steps = 10_000 ** (-torch.arange(0, width, 2) / width)
    parts = []
    for count in grid:
        angles = torch.arange(count).unsqueeze(1) * steps
        parts.append(torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width])
    meshes = torch.meshgrid(*(torch.arange(count) for count in grid), indexing="ij")
    return torch.cat([part[mesh.flatten()] for part, mesh in zip(parts, meshes, strict=True)], 1)
