from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.modalities.series.sequence import piece, read_at, retime


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_read_at_interpolates_and_stays_inside() -> None:
    data = torch.tensor([[[0.0], [10.0], [20.0]]])
    found = read_at(data, torch.tensor([[-1.0, 0.0, 0.25, 1.5, 2.0, 9.0]]))
    assert found.flatten().tolist() == [0, 0, 2.5, 15, 20, 20]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=5), st.floats(0, 0.5), st.floats(0, 0.4))
@settings(max_examples=50, deadline=None)
def test_retime_reads_real_steps_only(lengths: list[int], stretch: float, crop: float) -> None:
    longest = max([*lengths, 1])
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    # Every step holds its own number; what must not be read holds a million.
    data = torch.where(mask, torch.arange(longest).expand(len(lengths), -1).float(), 1e6)
    found, kept = retime(data.unsqueeze(2), mask, stretch, crop, seeded())
    assert found.shape[:2] == kept.shape and kept.shape[1] >= 1
    for row, real, n in zip(found.squeeze(2), kept, lengths, strict=True):
        read, count = row[real], int(real.sum())
        assert (count == 0) == (n == 0)
        assert real[:count].all()
        if n:
            assert count <= n / (1 - stretch) + 1
            assert count >= (n - 1) * (1 - 2 * crop) / (1 + stretch) - 2
            assert read.min() >= 0 and read.max() <= n - 1
            assert (read.diff() >= 0).all()


def test_retime_of_nothing_is_the_same() -> None:
    mask = torch.arange(6) < torch.tensor([[6], [4]])
    data = torch.randn(2, 6, 3)
    found, kept = retime(data, mask, 0.0, 0.0, seeded())
    assert kept.equal(mask)
    torch.testing.assert_close(found[mask], data[mask])


@given(st.lists(st.integers(0, 30), min_size=1, max_size=5), st.floats(0, 1), st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_a_piece_is_one_piece_inside_the_row(lengths: list[int], share: float, seed: int) -> None:
    found = piece(torch.tensor(lengths), 30, share, seeded(seed))
    for row, n in zip(found, lengths, strict=True):
        assert row.sum() <= share * n and not row[n:].any()
        assert (row.int().diff() == 1).sum() + int(row[0]) <= 1


def test_pieces_are_everywhere_and_of_every_length() -> None:
    found = piece(torch.full((3000,), 10), 10, 0.4, seeded())
    assert set(found.sum(1).tolist()) == {0, 1, 2, 3, 4}
    assert found.any(0).all()
