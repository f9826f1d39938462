"""Boosted trees as tensor operations answer as LightGBM does."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest
import torch

from polymodal.models.experts._forest import Forest


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(("size", "trees"), [(1, 12), (3, 5), (1, 0)])
def test_walked_trees_answer_as_lightgbm_does(missing, size, trees):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 4))
    target = (features[:, 0] * features[:, 1] > 0).astype(int) + (features[:, 2] > 1) * (size > 1)
    if missing:
        features[rng.random(features.shape) < 0.2] = np.nan
    kind = {"objective": "multiclass", "num_class": size} if size > 1 else {"objective": "binary"}
    settings = {**kind, "num_leaves": 15, "min_data_in_leaf": 3, "verbose": -1, "num_threads": 1}
    forest = Forest(size)
    if trees:
        data = lightgbm.Dataset(features, target)
        forest.load(lightgbm.train(settings, data, trees).model_to_string())
    # Where training rows had no gap, a gap counts as 0.
    asked = torch.from_numpy(rng.normal(size=(50, 4)))
    asked[torch.from_numpy(rng.random((50, 4)) < 0.3)] = torch.nan
    found = forest.walked()(asked)
    assert found.shape == (50, size) and found.dtype == torch.float64
    torch.testing.assert_close(found, forest(asked), atol=1e-12, rtol=1e-12)
