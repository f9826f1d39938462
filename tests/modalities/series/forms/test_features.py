from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.modalities.series.forms.features import Features
from polymodal.modalities.series.forms.rocket import Rocket
from polymodal.modalities.series.forms.summary import Summary
from polymodal.modalities.series.series import Series
from polymodal.table.media import Media


class Cells:
    """Encoded cells as a solver's block gets them."""

    def __init__(self, data: np.ndarray) -> None:
        self.data = torch.from_numpy(data)

    def gather(self, rows: np.ndarray) -> Field:
        return Field(self.data[rows], None, torch.ones(len(rows), dtype=torch.bool))

    def __len__(self) -> int:
        return len(self.data)


def media(count: int = 12) -> list[Media]:
    rng = np.random.default_rng(0)
    return [Media(str(i), values=rng.normal(size=(20 + i, 2))) for i in range(count)]


def test_it_is_both_forms_one_after_the_other() -> None:
    cells = media()
    form, summary, rocket = Features(count=168), Summary(), Rocket(count=168)
    for one in (form, summary, rocket):
        one.fit(cells)
    assert form.sections == (summary.size, rocket.size) and form.size == summary.size + 168
    for cell in cells:
        parts = [summary.encode(cell), rocket.encode(cell)]
        assert np.array_equal(form.encode(cell), np.concatenate(parts))
    other = Features(count=168)
    other.state = json.loads(json.dumps(form.state))
    assert other.fingerprint == form.fingerprint
    assert np.array_equal(other.encode(cells[3]), form.encode(cells[3]))


def test_to_a_solver_both_are_of_about_unit_length_however_many_they_are() -> None:
    form = Features(count=840)
    form.fit(media())
    block = Series().block(form, 0)
    cells = Cells(np.stack([form.encode(cell) for cell in media()]))
    block.learn(cells, np.arange(12))
    found = block.matrix(cells, np.arange(12))
    first, second = form.sections
    assert found.shape == (12, first + second) and second > 5 * first / 2
    for part in (found[:, :first], found[:, first:]):
        # What does not vary in these twelve rows is 0.
        assert 0.5 < np.sqrt((part**2).sum(1).mean()) <= 1.01


def test_without_a_series_to_learn_from_there_is_nothing_to_be_read() -> None:
    form = Features()
    form.fit([])
    assert form.state == {} and Series().block(form, 0).width == 0
    with pytest.raises(UserError, match="No training row"):
        form.encode(media()[0])
