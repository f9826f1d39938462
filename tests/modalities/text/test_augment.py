"""Word dropout: how much it hides, what it leaves."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polymodal.contract.batch import Field
from polymodal.modalities.text.augment import Augment as Text


def words(lengths: list[int], columns: int = 5) -> Field:
    """As `forms/text/words` or `pieces` (first and last column 1 = 0 if 3 columns)."""
    longest = max([1, *lengths])
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    data = torch.randint(1, 99, (len(lengths), longest, columns), dtype=torch.int32)
    return Field(data * mask.unsqueeze(-1), mask, torch.tensor(lengths) > 0)


def ngrams(lengths: list[int]) -> Field:
    field = words(lengths, 2)
    return Field(field.data.float(), field.mask, field.present)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_hidden_words_keep_place_and_shape() -> None:
    field = words([50, 30])
    before = field.data.clone()
    changed = Text(drop=0.5)(field, seeded())
    hidden = changed.data[..., 0] == -1
    assert 20 < int(hidden.sum()) < 60
    assert not (hidden & ~field.mask).any()
    torch.testing.assert_close(changed.data[..., 1:], before[..., 1:])
    torch.testing.assert_close(changed.data[~hidden], before[~hidden])
    assert torch.equal(changed.mask, field.mask) and torch.equal(changed.present, field.present)
    # What comes in may be the cache itself.
    torch.testing.assert_close(field.data, before)


def test_hidden_ngrams_are_masked_out() -> None:
    field = ngrams([50, 30])
    before = field.data.clone()
    changed = Text(drop=0.5)(field, seeded())
    assert changed.mask is not None and field.mask is not None
    assert 20 < int((field.mask & ~changed.mask).sum()) < 60
    assert (changed.data[~changed.mask] == 0).all()
    torch.testing.assert_close(changed.data[changed.mask], before[changed.mask])
    torch.testing.assert_close(field.data, before)


def test_marks_of_the_tokenizer_stay() -> None:
    field = words([20], 3)
    field.data[0, 0, 1] = field.data[0, 19, 1] = 0
    for seed in range(20):
        changed = Text(drop=0.9)(field, seeded(seed))
        assert (changed.data[0, [0, 19], 0] > 0).all()
        assert (changed.data[0, 1:19, 0] > 0).any()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(0, 99))
def test_no_text_is_emptied(lengths: list[int], seed: int) -> None:
    some = torch.tensor(lengths) > 0
    change = Text(drop=1.0)
    left = (change(words(lengths), seeded(seed)).data[..., 0] > 0).sum(1)
    assert torch.equal(left, some.long())
    mask = change(ngrams(lengths), seeded(seed)).mask
    assert mask is not None and torch.equal(mask.sum(1), some.long())


def test_share_of_hidden_words_is_drop() -> None:
    field = words([200] * 50)
    hidden = Text(drop=0.1)(field, seeded()).data[..., 0] == -1
    assert hidden.float().mean().item() == pytest.approx(0.1, abs=0.01)


def test_same_seed_same_result() -> None:
    for field in (words([30, 30]), ngrams([30, 30])):
        one, same, other = (Text(drop=0.3)(field, seeded(seed)) for seed in (1, 1, 2))
        assert torch.equal(one.data, same.data)
        assert not torch.equal(one.data, other.data)


def test_nothing_to_drop() -> None:
    frozen = Field(torch.randn(2, 3, 16), torch.ones(2, 3).bool(), torch.ones(2).bool())
    assert torch.equal(Text(drop=0.9)(frozen, seeded()).data, frozen.data)
    field = words([5, 3])
    assert torch.equal(Text(drop=0.0)(field, seeded()).data, field.data)
