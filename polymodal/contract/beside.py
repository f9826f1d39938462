"""Beside: a frozen model's outputs beside the fixed features that solvers read of a cell."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract import joining
from polymodal.contract.batch import Field
from polymodal.contract.form import Form
from polymodal.contract.kind import kinds

Array = np.ndarray[Any, Any]
# The encoder and the form of a pretrained model, in every kind that has them.
PRETRAINED = "pretrained"
# The form of an encoder that a run has learned, of any kind, and the file that describes one.
LEARNED, ENCODER = "learned", "encoder.json"
# The form of a kind whose cells a frozen model reads too, for experts.
BESIDE = "beside"


class Beside(Form):
    """Two arrays as one: what a frozen model makes of a cell, and the kind's described form.

    The first is one vector, the mean over the model's positions. Before an array `(d,)` it stands
    as it is: `(width + d,)`. Before a ragged one `(n, k)` it is cut into lines of k, the last
    filled up with zeros: `(lines + n, k)`.

    A kind has it if its folder of forms has a file `beside.py` with a class of this kind.

    Args:
        path: name of a package of weights, folder or hub id of the model, or a folder with an
            encoder that a run has learned.
        described: options of the kind's described form.

    Attributes:
        frozen, plain: the two forms.
        shape: of the model's outputs, or of one position where they are ragged; known after `fit`.
    """

    dtype = "float32"
    # A large model is not sent to other processes.
    parallel = False
    backbone = "weights"
    version: ClassVar[int] = 1

    def __init__(self, *, path: str, described: dict[str, Any] | None = None) -> None:
        self.path, self.described = path, dict(described or {})
        folder, name = f"modalities/{self.kind}/forms", kinds()[self.kind].described
        assert name is not None
        self.frozen: Form = frozen(self.kind, path)
        self.plain: Form = lookup.build(folder, {"name": name, **self.described})
        self.made_of = (self.frozen, self.plain)
        self.ragged = self.plain.ragged
        self.beyond = self.plain.beyond  # type: ignore[misc]
        self.shape: tuple[int, ...] = (0,)

    @property
    def width(self) -> int:
        """Of the model's outputs; known after `fit`."""
        return self.shape[-1]

    def fit(self, cells: Iterable[Any]) -> None:
        seen = list(cells)
        for form in self.made_of:
            form.fit(seen)
        for cell in seen:
            # What cannot be read is counted when all cells are prepared.
            with contextlib.suppress(UserError):
                self.shape = self.frozen.encode(cell).shape[int(self.frozen.ragged) :]
                return

    @property
    def state(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "parts": [form.state for form in self.made_of]}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.shape = tuple(state["shape"])
        for form, own in zip(self.made_of, state["parts"], strict=True):
            form.state = own

    @property
    def notes(self) -> list[str]:
        return list(dict.fromkeys(note for form in self.made_of for note in form.notes))

    @property
    def fingerprint(self) -> str:
        """Depends on what the model's files hold, not on where they lie."""
        inner = [form.fingerprint for form in self.made_of]
        described = [type(self).__module__, self.version, self.width, inner]
        return hashlib.blake2b(json.dumps(described).encode(), digest_size=16).hexdigest()

    def encode(self, cell: Any) -> Array:
        return self.encode_many([cell])[0]

    def encode_many(self, cells: Sequence[Any]) -> list[Array]:
        frozen, plain = (form.encode_many(cells) for form in self.made_of)
        return [self.join(a, b) for a, b in zip(frozen, plain, strict=True)]

    def was_truncated(self, cell: Any) -> bool:
        return self.plain.was_truncated(cell)

    def join(self, frozen: Array, plain: Array) -> Array:
        """The model's output for a cell and an array of the described form, as one."""
        return joining.join(joining.vector(frozen), plain, self.ragged)

    def split(self, field: Field) -> tuple[Field, Field]:
        """A field of joined arrays as two: the model's vectors `(batch, width)`, the described."""
        data, present = field.data, field.present
        if field.mask is None:
            ahead, rest = data[:, : self.width], data[:, self.width :]
            return Field(ahead, None, present), Field(rest, None, present)
        lines = self.lines(data.shape[2])
        # A batch of missing cells alone has a single line.
        data = F.pad(data, (0, 0, 0, lines + 1))
        mask = F.pad(field.mask, (0, lines + 1))
        ahead = data[:, :lines].flatten(1)[:, : self.width]
        return Field(ahead, None, present), Field(data[:, lines:], mask[:, lines:], present)

    def joined(self, frozen: Field, plain: Field, present: Tensor) -> Field:
        """Fields of both forms as one of joined arrays.

        Args:
            present: `(batch,)`, which rows have both.
        """
        ahead, rows = vectors(frozen) * present.unsqueeze(1), present.unsqueeze(1)
        if plain.mask is None:
            return Field(torch.cat([ahead, plain.data * rows], 1), None, present)
        columns = plain.data.shape[2]
        lines = self.lines(columns)
        ahead = F.pad(ahead, (0, lines * columns - self.width)).reshape(-1, lines, columns)
        data = torch.cat([ahead, plain.data * rows.unsqueeze(2)], 1)
        return Field(data, torch.cat([rows.expand(-1, lines), plain.mask & rows], 1), present)

    def shapes(self, joined: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of arrays in both forms, from that of their joined arrays (`Prepared.shape`)."""
        return self.shape, joined if self.ragged else (joined[0] - self.width,)

    def lines(self, columns: int) -> int:
        """How many lines of a ragged array the model's vector takes."""
        return joining.lines(self.width, columns)


def frozen(kind: str, path: str) -> Form:
    """The form that reads a kind's cells by a frozen model.

    Args:
        path: as of its form `pretrained`, or a folder with an encoder that a run has learned.
    """
    if learned(path):
        found: Form = lookup.find("modalities", LEARNED)(kind=kind, path=path)
        return found
    made: Form = lookup.build(f"modalities/{kind}/forms", {"name": PRETRAINED, "path": path})
    return made


def learned(path: str) -> bool:
    """Whether a folder holds an encoder that a run has learned (`modalities.learned`)."""
    return (Path(path) / ENCODER).is_file()


def vectors(field: Field) -> Tensor:
    """What `joining.vector` makes of a cell, of a field: `(batch, width)`."""
    if field.data.dim() == 2:
        return field.data
    if field.mask is None:
        return field.data.mean(1)
    weight = field.mask.unsqueeze(-1).to(field.data.dtype)
    return (field.data * weight).sum(1) / weight.sum(1).clamp(min=1)
