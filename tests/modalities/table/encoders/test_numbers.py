"""Standardising and binning of numbers against known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.contract.batch import Field
from polymodal.modalities.table.encoders._numbers import Numbers


def field(values: list[float]) -> Field:
    return Field(torch.tensor(values)[:, None], None, torch.ones(len(values), dtype=torch.bool))


def adapted(values: list[float], bins: int = 4) -> Numbers:
    numbers = Numbers([0], bins)
    numbers.adapt([field(values)])
    return numbers


def test_standardised_values_bins_and_missing() -> None:
    numbers = adapted([0.0, 1, 2, 3, 4])
    found = numbers(torch.tensor([[2.0], [4.0], [0.5], [torch.nan]]))[:, 0]
    # Median 2, interquartile range 2; a value z is squashed to z / sqrt(1 + (z / 3)²).
    one = 1 / np.sqrt(1 + 1 / 9)
    three_quarters = 0.75 / np.sqrt(1 + 1 / 16)
    expected = [
        [0, 0, 1, 1, 0, 0],
        [one, 0, 1, 1, 1, 1],
        [-three_quarters, 0, 0.5, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
    ]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_outliers_stay_within_3() -> None:
    numbers = adapted([0.0, 1, 2, 3, 4])
    found = numbers(torch.tensor([[1e30], [-1e30], [100.0]]))[:, 0, 0]
    assert found[0] == 3 and found[1] == -3 and 2.9 < found[2] < 3


@pytest.mark.parametrize(
    "values",
    [
        [5.0, 5, 5, 5],
        [0.0, 0, 0, 0, 0, 0, 0, 1],
        [torch.nan, torch.nan],
        [1e30, -1e30, 0, 1],
        [0.0, 1e-45, 1e-44, 1e-40],
    ],
)
def test_odd_columns_give_finite_features(values: list[float]) -> None:
    numbers = adapted(values)
    probe = torch.tensor([*values, 0.5, -1e30, 1e30])[:, None]
    assert torch.isfinite(numbers(probe)).all()


def test_a_column_mostly_of_one_value_is_still_scaled_by_its_range() -> None:
    found = adapted([0.0] * 30 + [100.0])(torch.tensor([[0.0], [100.0]]))[:, 0, 0]
    assert found[0] == 0 and 1 < found[1] < 2


def test_absent_rows_do_not_count() -> None:
    values = torch.tensor([[0.0], [1], [2], [3], [4], [1000]])
    numbers = Numbers([0], 4)
    numbers.adapt(
        [
            Field(values[:3], None, torch.ones(3, dtype=torch.bool)),
            Field(values[3:], None, torch.tensor([True, True, False])),
        ]
    )
    assert numbers.median.item() == 2 and numbers.scale.item() == 0.5
