"""Every kind: its cells' parts are cells too, it draws them, and solvers read what it describes."""

from __future__ import annotations

import copy

import numpy as np
import pyarrow as pa
import pytest
import torch

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.contract.joining import vector
from polymodal.contract.kind import Guess, Seen, kinds
from polymodal.contract.parts import LAYOUTS, PARTS
from polymodal.nn.blocks import blocks
from polymodal.table.media import Media

KINDS = list(kinds())
SOLVED = [name for name, kind in kinds().items() if kind.described]
BESIDE = [name for name in SOLVED if "beside" in lookup.names(f"modalities/{name}/forms")]
VALUES = [name for name, kind in kinds().items() if not kind.media and not kind.joint]

every_kind = pytest.mark.parametrize("name", KINDS)


def present(cells, name):
    return [cell for cell in cells[name] if cell is not None]


def content(cell):
    return cell.key() if isinstance(cell, Media) else repr(cell)


class Rows:
    """A field's rows, as solvers ask for them."""

    def __init__(self, field):
        self.field = field

    def __len__(self):
        return len(self.field.present)

    def gather(self, rows):
        mask = None if self.field.mask is None else self.field.mask[rows]
        return Field(self.field.data[rows], mask, self.field.present[rows])


@every_kind
def test_forms_read_a_cell_with_any_part_replaced(name, cells, fitted_form):
    kind, own = kinds()[name], present(cells, name)
    names = lookup.names(f"modalities/{name}/forms")
    forms = [fitted_form(name, form) for form in names]
    before = [content(cell) for cell in copy.deepcopy(own)]
    for cell in own[:2]:
        whole, sorts = kind.parts(cell, forms, iter(own))
        assert sorts
        for parts in sorts:
            assert 0 < len(parts.labels) == len(parts.cells) <= PARTS
            assert parts.layout in LAYOUTS and parts.unit and parts.replaced_by
            assert (parts.columns > 0) == (parts.layout == "grid")
            for form in forms:
                clean = form.encode(whole)
                found = form.encode_many(parts.cells)
                assert all(array.dtype == clean.dtype for array in found)
                assert all(
                    array.shape[form.ragged :] == clean.shape[form.ragged :] for array in found
                )
    assert [content(cell) for cell in own] == before


@every_kind
def test_a_cell_is_drawn(name, cells):
    own = present(cells, name)
    draw = kinds()[name].drawing(lambda: iter(own))
    drawn = [draw(cell) for cell in own]
    assert all(isinstance(html, str) and html for html in drawn)
    assert len(set(drawn)) > 1


@pytest.mark.parametrize("name", SOLVED)
def test_a_block_times_weights_is_its_matrix_times_weights(name, collated, fitted_form, cells):
    kind = kinds()[name]
    form = fitted_form(name, kind.described)
    field = collated(form, cells[name])
    rows = np.arange(len(field.present))
    block = kind.block(form, 500)
    block.learn(Rows(field), rows)
    weight = torch.randn(block.width, 3, dtype=torch.float64)
    matrix = block.matrix(Rows(field), rows)
    dense = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    assert dense.shape == (len(rows), block.width)
    assert not dense[~field.present.numpy()].any()
    found = block(field, weight)
    torch.testing.assert_close(found, torch.from_numpy(dense) @ weight, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", BESIDE)
def test_blocks_beside_a_frozen_model_are_those_of_either_alone(name, collated, fitted_form, cells):
    kind, form = kinds()[name], fitted_form(name, "beside")
    field = collated(form, cells[name])
    rows = np.arange(len(field.present))
    plain = kind.block(form.plain, 500)
    plain.learn(Rows(collated(form.plain, cells[name])), rows)
    described, frozen = blocks(kind, form, 500)
    for block in (described, frozen):
        block.learn(Rows(field), rows)
        weight = torch.randn(block.width, 3, dtype=torch.float64)
        matrix = block.matrix(Rows(field), rows)
        dense = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
        found = block(field, weight)
        torch.testing.assert_close(found, torch.from_numpy(dense) @ weight, atol=1e-5, rtol=1e-5)
    weight = torch.randn(plain.width, 3, dtype=torch.float64)
    wanted = plain(collated(form.plain, cells[name]), weight)
    torch.testing.assert_close(described(field, weight), wanted)
    own = [vector(form.frozen.encode(cell)) for cell in cells[name] if cell is not None]
    outputs = form.split(field)[0].data[field.present]
    torch.testing.assert_close(outputs, torch.from_numpy(np.stack(own)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", VALUES)
def test_a_column_of_its_cells_is_told_and_fits(name, cells):
    kind, own = kinds()[name], present(cells, name)
    column = Seen("x", pa.chunked_array([pa.array(own)]))
    found = kind.sniff(column)
    assert isinstance(found, Guess)
    assert found.kind in kind.columns and found.reason
    for column_kind in kind.columns:
        assert kind.fits(column_kind, column.data.type)
        assert [kind.mistake(column_kind, value) for value in own] == [None] * len(own)
        keys = [kind.key(column_kind, value) for value in [*own, *copy.deepcopy(own), None]]
        assert keys[-1] is None and len(set(keys)) == len(own) + 1
        assert keys[: len(own)] == keys[len(own) : -1]


@every_kind
def test_what_no_cell_can_be_is_refused(name):
    kind = kinds()[name]
    for column_kind in kind.columns:
        assert not kind.fits(column_kind, pa.struct([("bytes", pa.binary())])) or kind.media
        assert not kind.media or not kind.fits(column_kind, pa.float64())


@pytest.mark.parametrize("name", [name for name, kind in kinds().items() if kind.media])
def test_a_broken_file_is_the_users_mistake(name, cells):
    kind, own = kinds()[name], present(cells, name)
    draw = kind.drawing(lambda: iter(own))
    with pytest.raises(UserError):
        draw(Media("a broken cell", data=b"no medium at all"))
