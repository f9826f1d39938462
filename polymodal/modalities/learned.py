"""What an encoder that a run has learned makes of a cell: one frozen vector.

It lies in a folder as other frozen models do: encoder.json says in which form it reads a cell, and
how it is built; model.safetensors are its weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from polymodal.base import lookup
from polymodal.base.devices import device, seeded
from polymodal.base.errors import UserError
from polymodal.base.files import damaged, read_json, write_json
from polymodal.base.tensors import read_tensors, write_tensors
from polymodal.contract.batch import Tokens
from polymodal.contract.beside import ENCODER
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.contract.recipe import Spec, name_of, options_of
from polymodal.modalities._package import kept
from polymodal.modalities._pretrained import PretrainedForm, batches
from polymodal.nn.checkpoint import WEIGHTS
from polymodal.nn.weights import fill, fits
from polymodal.prepared.prepare import Prepared

# Cells that go through an encoder together, and positions of theirs.
CELLS, POSITIONS = 32, 16_384
# What such folders are called in the cache.
LABEL = "encoder"


class Learned(PretrainedForm):
    """The mean of a frozen encoder's tokens: float32 `(1, width)`.

    Args:
        kind: of the modality.
        path: a folder that `keep` has written.

    Raises:
        UserError: when it is opened: the folder is damaged, or of another kind.
    """

    dtype = "float32"
    ragged = False

    def __init__(self, *, kind: str, path: str) -> None:
        super().__init__(path, tune=False)
        self.kind = kind

    @property
    def beyond(self) -> str:  # type: ignore[override]
        return self._form.beyond

    def was_truncated(self, cell: Any) -> bool:
        return self._form.was_truncated(cell)

    def encode(self, cell: Any) -> np.ndarray[Any, Any]:
        return self.encode_many([cell])[0]

    def encode_many(self, cells: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        """Several cells, those of like length together: the same values as one by one."""
        form = self._form
        arrays = form.encode_many(cells)
        if not arrays:
            return []
        prepared = Prepared.of(arrays, form, arrays[0].shape[int(form.ragged) :])
        most = POSITIONS if form.ragged else CELLS
        found = np.zeros((len(arrays), 1, self.reader.width), np.float32)
        for rows in batches(prepared.lengths.tolist(), most):
            for start in range(0, len(rows), CELLS):
                some = np.array(rows[start : start + CELLS])
                found[some, 0] = self._vectors(prepared, some)
        return list(found)

    @torch.inference_mode()
    def _vectors(self, prepared: Prepared, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        found: torch.Tensor = self.reader(prepared.gather(rows).to(device()).masked())
        return found.float().cpu().numpy()

    @cached_property
    def _told(self) -> dict[str, Any]:
        """encoder.json; its names are those of built-in components only."""
        file = Path(self.path) / ENCODER
        told = read_json(file)
        try:
            specs = [told["form"], told["encoder"], *([told["align"]] if told["align"] else [])]
            names = [told["kind"], *(spec["name"] for spec in specs)]
            wrong = [name for name in names if not lookup.BUILTIN.fullmatch(name)]
            if wrong or told["kind"] != self.kind:
                raise ValueError(f"an encoder of {told['kind']} for {self.kind}, with {names}")
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(file, error) from error
        return dict(told)

    @cached_property
    def _form(self) -> Form:
        told = self._told
        spec = {"name": told["form"]["name"], **told["form"]["settings"]}
        try:
            found: Form = lookup.build(f"modalities/{self.kind}/forms", spec)
            found.state = told["form"]["state"]
        except Exception as error:
            raise damaged(Path(self.path) / ENCODER, error) from error
        return found

    @cached_property
    def reader(self) -> _Network:
        file = Path(self.path) / WEIGHTS[0]
        tensors, _ = read_tensors(file)
        try:
            found = _built(self._form, self._told)
            if not fits(found, tensors):
                raise ValueError("weights of another encoder")
            fill(found, tensors)
        # What a hand or a disk has spoilt may break anywhere.
        except Exception as error:
            raise damaged(file, error) from error
        return found.eval().to(device())


class _Network(nn.Module):
    """An encoder and its alignment, if it has one: a Field to vectors `(batch, width)`."""

    def __init__(self, form: Form, told: Mapping[str, Any]) -> None:
        super().__init__()
        folder = f"modalities/{told['kind']}/encoders"
        self.encoder: Encoder = lookup.build(folder, told["encoder"], form, told["size"])
        size, self.width = told["size"] or getattr(self.encoder, "width", 0), told["width"]
        align = told["align"]
        self.align = None if align is None else lookup.build("align", align, size, self.width)

    def forward(self, field: Any) -> torch.Tensor:
        tokens: Tokens = self.encoder(field)
        return (tokens if self.align is None else self.align(tokens)).mean()


def _spelled(spec: Spec) -> dict[str, Any]:
    return {"name": name_of(spec), **options_of(spec)}


def _built(form: Form, told: Mapping[str, Any]) -> _Network:
    """A network with nothing learned; random numbers elsewhere are none the wiser."""
    with seeded(0):
        return _Network(form, told)


def keep(
    form: Form,
    encoder: Spec,
    align: Spec | None,
    sizes: tuple[int | None, int],
    weights: Mapping[str, torch.Tensor],
    name: str,
) -> str | None:
    """A folder of the cache with an encoder, for `Learned`.

    Args:
        form: fitted, that it reads.
        encoder, align: how they are built.
        sizes: of the encoder's tokens, where it is told, and of the alignment's.
        weights: "encoder. ..." and "align. ...".
        name: equal exactly for equal ones: letters and digits.

    Returns:
        None where that is not all there is to it: of the user's own components, or around a model
        that was trained elsewhere.
    """
    specs = [None if one is None else _spelled(one) for one in (encoder, align)]
    named = [lookup.name_of(type(form)), *(one["name"] for one in specs if one)]
    if form.backbone is not None or not all(lookup.BUILTIN.fullmatch(one) for one in named):
        return None
    told = {
        "kind": form.kind,
        "form": {"name": named[0], "settings": form.settings, "state": form.state},
        "encoder": specs[0],
        "size": sizes[0],
        "align": specs[1],
        "width": sizes[1],
    }
    # What stands there must be what is read back: JSON has no tuples, for example.
    told = json.loads(json.dumps(told))
    try:
        if not fits(_built(form, told), weights):
            return None
    except UserError:
        return None

    def write(to: Path) -> None:
        write_tensors(to / WEIGHTS[0], weights)
        write_json(to / ENCODER, told)

    return str(kept(f"{LABEL}-{name}-1", write))
