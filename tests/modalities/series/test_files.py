"""Files of numbers as people write them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from polymodal.modalities.series.files import table

STEPS = np.random.default_rng(0).normal(size=(6, 3)).round(3)


@pytest.mark.parametrize("index", [True, False])
def test_a_frame_without_names_has_neither_header_nor_index_among_its_steps(index: bool) -> None:
    written = pd.DataFrame(STEPS).to_csv(index=index)
    np.testing.assert_allclose(table(written), STEPS)


def test_a_named_frame_with_its_index_has_the_named_channels() -> None:
    written = pd.DataFrame(STEPS, columns=list("xyz")).to_csv()
    assert table(written).shape == (6, 3)


@pytest.mark.parametrize("text", ["0,1\n", "0,1\n2,3\n", "1,2\n3,4\n", "0\n1\n2\n"])
def test_steps_that_count_up_are_steps(text: str) -> None:
    expected = [[float(x) for x in line.split(",")] for line in text.split()]
    if text == "0,1\n2,3\n":
        expected = expected[1:]  # told from a header by nothing: to_csv writes it so
    np.testing.assert_allclose(table(text), expected)


DAYS = ["2024-01-03", "2024-01-01", "2024-01-02"]
DATED = [f"2024-01-0{i}" for i in (1, 3, 2, 4, 6, 5)]
SHUFFLED = [3, 1, 5, 0, 4, 2]


@pytest.mark.parametrize("index", [False, True, SHUFFLED, DATED])
@pytest.mark.parametrize("columns", [[3, 1, 2], [440, 220, 880], [2021, 2022, 2023], DAYS])
def test_a_header_of_numbers_or_dates_is_no_step(columns: list[object], index: object) -> None:
    """In any order, with or without the index of the frame that was written."""
    own = index if isinstance(index, list) else None
    frame = pd.DataFrame(STEPS, columns=columns, index=own)
    np.testing.assert_allclose(table(frame.to_csv(index=index is not False)), STEPS)


@pytest.mark.parametrize("index", [SHUFFLED, pd.date_range("2024-01-01", periods=6)])
@pytest.mark.parametrize("columns", [list("xyz"), [0, 1, 2]])
def test_an_index_in_any_order_is_no_channel(columns: list[object], index: object) -> None:
    written = pd.DataFrame(STEPS, columns=columns, index=index).to_csv()  # type: ignore[arg-type]
    np.testing.assert_allclose(table(written), STEPS)


@pytest.mark.parametrize(
    "text",
    [
        "440,220\n441.5,221.5\n3,4\n5.5,6.5\n",  # some later numbers are whole too
        "440,220\n0.5,0.7\n",  # and too few lines to tell
        "5,5\n0.5,0.7\n0.1,0.2\n0.3,0.4\n0.5,0.6\n",  # no names: they are equal
        "1\n2.5\n3.5\n4.5\n5.5\n",
    ],
)
def test_first_steps_of_whole_numbers_are_steps(text: str) -> None:
    expected = [[float(x) for x in line.split(",")] for line in text.split()]
    np.testing.assert_allclose(table(text), expected)


def test_a_gap_at_the_start_is_a_gap() -> None:
    found = table(",5.5,6.5\n1.5,7.5,8.5\n2.5,9.5,1.5\n")
    assert found.shape == (3, 3) and np.isnan(found[0, 0])
