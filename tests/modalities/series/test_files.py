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
