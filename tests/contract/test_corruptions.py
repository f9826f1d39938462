"""Every corruption: taken by every form of its kind, repeatable, harmless at level 0."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.kind import kinds
from polymodal.evaluation.corrupted import Corrupted, worse
from polymodal.table.media import Media

CORRUPTIONS = [
    (kind, name) for kind in kinds() for name in lookup.names(f"modalities/{kind}/corruptions")
]
# They follow from the cell and the level alone.
UNDRAWN = {("image", "blur"), ("image", "jpeg"), ("audio", "clipping")}
FITTED = [
    (kind, name, form)
    for kind, name in CORRUPTIONS
    for form in lookup.names(f"modalities/{kind}/forms")
]


def content(cell):
    return cell.key() if isinstance(cell, Media) else repr(cell)


def test_all_kinds_have_some():
    assert {kind for kind, _ in CORRUPTIONS} == set(kinds())


@pytest.mark.parametrize(("kind", "name", "form_name"), FITTED)
def test_every_form_takes_what_is_corrupted(kind, name, form_name, cells, fitted_form):
    form = fitted_form(kind, form_name)
    present = [cell for cell in cells[kind] if cell is not None]
    before = [content(cell) for cell in copy.deepcopy(present)]
    clean = form.encode_many(present)
    corruption = lookup.build(f"modalities/{kind}/corruptions", name)
    corruption.fit(form, present)
    prints = {form.fingerprint}
    for level in (0.0, 0.3, 1.0):
        worsened = Corrupted(form, corruption, level, seed=0)
        prints.add(worsened.fingerprint)
        arrays = worsened.encode_many(present)
        for cell, array, as_it_was in zip(present, arrays, clean, strict=True):
            np.testing.assert_allclose(array, worsened.encode(cell), atol=1e-5)
            assert array.dtype == as_it_was.dtype
            assert array.shape[form.ragged :] == as_it_was.shape[form.ragged :]
            if level == 0:
                np.testing.assert_array_equal(array, as_it_was)
    assert any(not np.array_equal(a, b) for a, b in zip(arrays, clean, strict=True))
    assert [content(cell) for cell in present] == before
    assert len(prints) == 4
    assert Corrupted(form, corruption, 1.0, seed=1).fingerprint not in prints


@pytest.mark.parametrize(("kind", "name"), CORRUPTIONS)
def test_the_seed_the_row_and_nothing_else_decide(kind, name, cells, fitted_form):
    present = [cell for cell in cells[kind] if cell is not None]
    corruption = lookup.build(f"modalities/{kind}/corruptions", name)
    corruption.fit(fitted_form(kind, lookup.names(f"modalities/{kind}/forms")[0]), present)
    for cell in present:
        assert corruption(cell, 0.0, np.random.default_rng()) is cell
        found = [content(worse(cell, corruption, 0.5, seed)) for seed in range(12)]
        assert found[3] == content(worse(copy.deepcopy(cell), corruption, 0.5, 3))
        assert (len(set(found)) == 1) == ((kind, name) in UNDRAWN)


@pytest.mark.parametrize("level", [-0.1, 1.01, float("nan")])
def test_a_level_is_a_share(level):
    corruption = lookup.build("modalities/text/corruptions", "typos")
    with pytest.raises(UserError, match="level"):
        corruption("a text", level, np.random.default_rng(0))
