from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from polymodal.contract.batch import Field
from polymodal.models.model import encoded
from polymodal.nn.masked import (
    CLIP,
    Descriptors,
    MaskedNorm,
    Standardise,
    Windows,
    halve,
)


def ragged(lengths: list[int], size: int, seed: int = 0, fill: float = 0.0) -> Field:
    """Random rows of these lengths, `fill` behind the mask; a row of -1 is absent."""
    generator = torch.Generator().manual_seed(seed)
    longest = max([*lengths, 1])
    data = torch.randn(len(lengths), longest, size, generator=generator)
    present = torch.tensor(lengths) >= 0
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    return Field(torch.where(mask.unsqueeze(2), data, fill), mask, present)


@given(st.lists(st.lists(st.integers(-1, 6), min_size=1, max_size=4), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_standardise_sees_real_positions_only(batches: list[list[int]]) -> None:
    fields = [ragged(lengths, 3, i, fill=1e6) for i, lengths in enumerate(batches)]
    for field in fields:
        field.data += 1e3
    real = torch.cat([f.data[f.mask] for f in fields if f.mask is not None]).double()
    scale = Standardise(3)
    scale.adapt(fields)
    if len(real) > 1:
        torch.testing.assert_close(scale.mean, real.mean(0).float())
        torch.testing.assert_close(
            scale.deviation, real.std(0, correction=0).float(), rtol=1e-3, atol=1e-4
        )
    for field in fields:
        assert field.mask is not None
        assert (scale(field)[~field.mask] == 0).all()


def test_standardise_clips_accidents_and_mutes_constants() -> None:
    data = torch.tensor([[0.1, 1.0], [0.1, -1.0], [0.1, 1.0], [0.1, -1.0]])
    field = Field(data, None, torch.ones(4, dtype=torch.bool))
    scale = Standardise(2)
    scale.adapt([field])
    torch.testing.assert_close(scale(field)[:, 0], torch.zeros(4))
    odd = Field(torch.tensor([[0.1, 1e9], [0.1, float("nan")]]), None, torch.tensor([True, False]))
    assert scale(odd).tolist() == [[pytest.approx(0), CLIP], [0, 0]]


def test_standardise_of_no_rows_changes_nothing() -> None:
    scale = Standardise(2)
    scale.adapt([Field(torch.ones(2, 2), None, torch.zeros(2, dtype=torch.bool))])
    assert scale.mean.tolist() == [0, 0] and scale.deviation.tolist() == [1, 1]


@pytest.mark.parametrize("training", [True, False])
def test_masked_norm_is_batch_norm_of_the_real_positions(training: bool) -> None:
    field = ragged([5, 2, -1, 3], 4, fill=99.0)
    assert field.mask is not None
    ours, theirs = MaskedNorm(4).train(training), nn.BatchNorm1d(4).train(training)
    nn.init.normal_(theirs.weight)
    nn.init.normal_(theirs.running_mean)  # type: ignore[arg-type]
    ours.norm.load_state_dict(theirs.state_dict())
    found = ours(field.data.transpose(1, 2), field.mask).transpose(1, 2)
    torch.testing.assert_close(found[field.mask], theirs(field.data[field.mask]))
    assert (found[~field.mask] == 0).all()
    torch.testing.assert_close(ours.norm.running_var, theirs.running_var)


def test_masked_norm_of_pictures_normalises_channels() -> None:
    x = 3 + 2 * torch.randn(2, 5, 7, 4)
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    found = MaskedNorm(5)(x, mask).movedim(1, -1)[mask].flatten(0, 1)
    torch.testing.assert_close(found.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std(0, correction=0), torch.ones(5), atol=1e-3, rtol=0)


def test_masked_norm_of_one_value_and_of_none() -> None:
    norm, x = MaskedNorm(3), torch.randn(2, 3, 4)
    none = torch.zeros(2, 4, dtype=torch.bool)
    one = none.clone()
    one[0, 0] = True
    assert (norm(x, none) == 0).all()
    torch.testing.assert_close(norm(x, one)[0, :, 0], x[0, :, 0], rtol=1e-4, atol=1e-4)
    assert norm.norm.running_mean.tolist() == [0, 0, 0]  # type: ignore[union-attr]


@given(st.integers(1, 30), st.integers(0, 30), st.sampled_from([1, 3, 5, 7]))
@settings(max_examples=30, deadline=None)
def test_halve_is_what_a_convolution_of_stride_two_leaves(n: int, more: int, kernel: int) -> None:
    conv = nn.Conv1d(1, 1, kernel, stride=2, padding=kernel // 2)
    mask = (torch.arange(n + more) < n)[None]
    assert halve(mask).shape[1] == conv(torch.zeros(1, 1, n + more)).shape[2]
    assert halve(mask).sum() == conv(torch.zeros(1, 1, n)).shape[2]


def test_windows_know_where_they_are() -> None:
    field = ragged([8, 5], 2)
    field.data[:] = 1
    windows = Windows(2, 6, 4)
    tokens = windows(field)
    assert tokens.mask.tolist() == [[True, True], [True, True]]
    assert not torch.allclose(tokens.values[0, 0], tokens.values[0, 1])
    torch.testing.assert_close(tokens.values[0, 0], tokens.values[1, 0])


@pytest.mark.parametrize("width", [1, 5, 8])
def test_any_width(width: int) -> None:
    assert Windows(2, width, 4)(ragged([9, 3], 2)).values.shape == (2, 3, width)


def test_descriptors_are_one_token() -> None:
    present = torch.tensor([True, False, True])
    field = Field(torch.tensor([[1.0, 2], [float("nan"), 0], [3, 4]]), None, present)
    module = Descriptors(2, 5, 8, 0.5).eval()
    tokens = encoded(module, field)
    assert tokens.values.shape == (3, 1, 5) and tokens.mask.squeeze(1).equal(present)
    assert (tokens.values[1] == 0).all() and tokens.values.isfinite().all()
