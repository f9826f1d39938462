"""Every form: pure, of its declared type, and restored from JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from polymodal.base import lookup
from polymodal.contract.kind import kinds

FORMS = [(kind, name) for kind in kinds() for name in lookup.names(f"modalities/{kind}/forms")]


@pytest.mark.parametrize(("kind", "name"), FORMS)
def test_form(kind, name, cells, fitted_form):
    form = fitted_form(kind, name)
    present = [cell for cell in cells[kind] if cell is not None]
    arrays = [form.encode(cell) for cell in present]
    for array in arrays:
        assert array.dtype == np.dtype(form.dtype)
    shapes = {array.shape[1:] if form.ragged else array.shape for array in arrays}
    assert len(shapes) == 1
    assert form.kind == kind
    for one, of_many in zip(arrays, form.encode_many(present), strict=True):
        np.testing.assert_allclose(one, of_many, atol=1e-5)

    restored = type(form)(**json.loads(json.dumps(form.settings)))
    restored.state = json.loads(json.dumps(form.state))
    assert restored.fingerprint == form.fingerprint
    for cell, array in zip(present, arrays, strict=True):
        np.testing.assert_array_equal(restored.encode(cell), array)
