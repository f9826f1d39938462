"""What is fitted by a solver can be exported as networks can."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

pytestmark = pytest.mark.whole


def mixed(rows: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-1, 1, (2, rows))
    words = np.where(a > 0, "up and away", "down below")
    return pd.DataFrame(
        {
            "a": np.where(rng.random(rows) < 0.1, np.nan, a),
            "c": np.where(b > 0, "red", "blue"),
            "note": np.where(rng.random(rows) < 0.1, None, words),
            "wave": [rng.normal(x, 1, (20, 2)).tolist() for x in b],
            "label": np.where((a > 0) ^ (b > 0), "odd", "even"),
            "step": np.round(2 * a) + b,
        }
    )


@pytest.mark.parametrize("name", ["linear", "trees"])
def test_an_exported_program_answers_as_the_module(name, task):
    kinds = {"a": "number", "c": "category", "note": "text", "wave": "series"}
    job = task(mixed(), kinds, {"label": "classify", "step": "regress"}, 90)
    module = job.fit(name)
    inputs = {name: cells.gather(np.arange(8)) for name, cells in job.inputs.items()}
    any_size = torch.export.Dim.DYNAMIC
    shapes = torch.export.ShapesCollection()
    for field in inputs.values():
        shapes[field.present] = {0: any_size}
        for tensor in (field.data, field.mask):
            if tensor is not None:
                ragged = field.mask is not None
                shapes[tensor] = {0: any_size, 1: any_size} if ragged else {0: any_size}
    with torch.no_grad():
        program = torch.export.export(module, (inputs,), dynamic_shapes=shapes).module()
        for rows in (list(range(100)), [3]):
            given = {name: cells.gather(np.array(rows)) for name, cells in job.inputs.items()}
            wanted, found = module(given).logits, program(given).logits
            for target in ("label", "step"):
                torch.testing.assert_close(found[target], wanted[target], atol=1e-5, rtol=1e-5)
