"""Every encoder and every fusion, for every task, as one exported program of any batch."""

from __future__ import annotations

import pytest
import torch
from torch.utils import _pytree as pytree

from polymodal.base import lookup
from polymodal.contract.batch import Field
from polymodal.contract.kind import kinds
from polymodal.contract.supervised import Supervised
from polymodal.export import graphs

pytestmark = pytest.mark.whole

ENCODERS = [
    (kind, name, words)
    for kind in kinds()
    for name in lookup.names(f"modalities/{kind}/encoders")
    for words in (False, True)
    if not words or lookup.find(f"modalities/{kind}/encoders", name).words
]
FUSIONS = lookup.names("fusion")
TASKS = [
    name for name in lookup.names("tasks") if issubclass(lookup.find("tasks", name), Supervised)
]
# Any that adds little of its own: what it is given is no other than another fusion is given.
PLAIN = "sum"


def exported(module: torch.nn.Module, inputs: dict[str, Field]) -> torch.nn.Module:
    """As a program for any number of rows, and any length of what is ragged."""
    shapes = torch.export.ShapesCollection()
    any_size = torch.export.Dim.DYNAMIC
    for field in inputs.values():
        shapes[field.present] = {0: any_size}
        # A form that always gives one position is not ragged in fact.
        ragged = field.mask is not None and field.mask.shape[1] > 1
        for tensor in (field.data, field.mask):
            if tensor is not None:
                shapes[tensor] = {0: any_size, 1: any_size} if ragged else {0: any_size}
    with graphs.quickly():
        return torch.export.export(module, (inputs,), dynamic_shapes=shapes).module()


def some(field: Field, rows: list[int], shorter: int = 0) -> Field:
    """Some rows, cut by a few positions where there are several."""
    if field.mask is None:
        return Field(field.data[rows], None, field.present[rows])
    length = max(1, field.mask.shape[1] - shorter)
    return Field(field.data[rows, :length], field.mask[rows, :length], field.present[rows])


def assert_same(module: torch.nn.Module, inputs: dict[str, Field]) -> None:
    program = exported(module, inputs)
    for rows, shorter in (([0, 1, 4], 1), ([2], 0), ([4, 5], 0)):
        given = {name: some(field, rows, shorter) for name, field in inputs.items()}
        wanted, found = pytree.tree_leaves(module(given)), pytree.tree_leaves(program(given))
        for one, other in zip(wanted, found, strict=True):
            torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("encoder", ENCODERS, ids=str)
def test_every_encoder_is_exported(encoder, case):
    _, _, words = encoder
    c = case([encoder], PLAIN, ["tag" if words else "classify"])
    assert_same(c.build().eval(), c.inputs)


@torch.no_grad()
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_is_exported(fusion, case):
    """Of two modalities of several tokens, which some rows lack."""
    c = case([], fusion, TASKS)
    assert_same(c.build().eval(), c.inputs)
