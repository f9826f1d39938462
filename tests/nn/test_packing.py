"""Rows side by side in one sequence know nothing of each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from polymodal.nn import decoder as decoders
from polymodal.nn.decoder import Work
from polymodal.nn.packing import bins, pack

PIECES = 40
LENGTHS = (2, 9, 3, 5, 1, 4, 2)
NAMES = ("gpt2", "llama", "qwen3")


def texts() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(PIECES, (len(LENGTHS), max(LENGTHS)), generator=generator)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS).unsqueeze(1)
    return ids, mask


def leaks(decoder, prompt) -> bool:
    """Whether anything of a row comes into another: its logits would change by some bit."""
    ids, mask = texts()
    found = []
    with torch.no_grad():
        before = decoder.taught(prompt, ids, mask)
        for row in range(len(ids)):
            other, changed = prompt.vectors.clone(), ids.clone()
            other[row], changed[row] = 3 - other[row], (ids[row] + 7) % PIECES
            after = decoder.taught(replace(prompt, vectors=other), changed, mask)
            assert not torch.equal(before[row], after[row])
            others = [one for one in range(len(ids)) if one != row]
            found.append(not torch.equal(before[others], after[others]))
    return any(found)


def test_bins_hold_every_row_once_and_no_more_than_they_can():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        lengths = torch.randint(1, 40, (30,), generator=generator).tolist()
        found = bins(lengths, 40)
        assert sorted(row for own in found for row in own) == list(range(30))
        assert max(sum(lengths[row] for row in own) for own in found) <= 40
        fewest = -(-sum(lengths) // 40)
        assert len(found) <= 11 / 9 * fewest + 1
    assert bins([4, 4, 4], 4) == [[0], [1], [2]]


def test_rows_without_padding_stay_as_they_are():
    assert pack(torch.zeros(3, 4, 2), torch.ones(3, 4) > 0, 0) is None


@pytest.mark.parametrize("kernel", ["plain", "sdpa"])
@pytest.mark.parametrize("name", NAMES)
def test_packed_padded_and_single_agree(built, prompt, one, name, kernel):
    own = built(name)
    own.backbone.attention = kernel
    given, (ids, mask) = prompt(len(LENGTHS), 6), texts()
    own.train()
    own.model.eval()
    packed = own.taught(given, ids, mask)
    assert own.work.real == int(given.mask.sum()) + sum(LENGTHS) - len(LENGTHS)
    assert own.work.places < given.mask.numel() + ids[:, 1:].numel()
    packed.sum().backward()
    slopes = [p.grad.clone() for p in own.parameters()]
    own.zero_grad()
    own.packs, own.work = False, Work()
    padded = own.taught(given, ids, mask)
    assert own.work.places == given.mask.numel() + ids[:, 1:].numel()
    padded.sum().backward()
    torch.testing.assert_close(packed, padded, atol=1e-5, rtol=1e-5)
    for slope, parameter in zip(slopes, own.parameters(), strict=True):
        torch.testing.assert_close(slope, parameter.grad, atol=2e-4, rtol=1e-3)
    own.packs = True
    for row, length in enumerate(LENGTHS):
        alone = own.taught(one(given, row), ids[[row], :length], mask[[row], :length])
        torch.testing.assert_close(packed[row, :length], alone[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kernel", ["plain", "sdpa"])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_leaks_and_a_broken_mask_is_noticed(built, prompt, monkeypatch, name, kernel):
    own, given = built(name), prompt(len(LENGTHS), 6)
    own.backbone.attention = kernel
    assert not leaks(own, given)

    def broken(vectors, mask, size):
        """Every place sees all before it, whosever they are: positions never start again."""
        found = pack(vectors, mask, size)
        places = torch.arange(found.positions.shape[1])
        return replace(found, positions=places.expand_as(found.positions))

    monkeypatch.setattr(decoders, "pack", broken)
    assert leaks(own, given)


def test_what_is_computed_in_training_alone_is_counted(built, prompt):
    own, given, (ids, mask) = built("llama"), prompt(len(LENGTHS), 6), texts()
    own.taught(given, ids, mask)
    assert own.work == Work()
