"""Texts of one row behind one prompt know nothing of each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.nn import decoder as decoders
from polymodal.nn import sharing
from polymodal.nn.sharing import share

PIECES = 40
LENGTHS = (2, 9, 3, 5, 1, 4, 2)
ROWS = torch.tensor([3, 0, 3, 1, 0, 3, 0])


def texts() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(PIECES, (len(LENGTHS), max(LENGTHS)), generator=generator)
    return ids, torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS).unsqueeze(1)


@pytest.mark.parametrize("kernel", ["plain", "sdpa"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3"])
def test_shared_and_repeated_prompts_agree(built, prompt, name, kernel):
    own, given, (ids, mask) = built(name), prompt(4, 16), texts()
    own.backbone.attention = kernel
    own.train()
    own.model.eval()
    apart = own.taught(given.take(ROWS), ids, mask)
    apart.sum().backward()
    slopes = [p.grad.clone() for p in own.parameters()]
    own.zero_grad()
    own.work = decoders.Work()
    shared = own.taught(given, ids, mask, ROWS)
    # Three of four rows have texts: each prompt is read once.
    assert own.work.real == int(given.mask[[0, 1, 3]].sum()) + sum(LENGTHS) - len(LENGTHS)
    shared.sum().backward()
    torch.testing.assert_close(shared, apart, atol=1e-5, rtol=1e-5)
    for slope, parameter in zip(slopes, own.parameters(), strict=True):
        torch.testing.assert_close(slope, parameter.grad, atol=2e-4, rtol=1e-3)


def test_no_text_sees_another_and_a_broken_mask_is_noticed(built, prompt, monkeypatch):
    own, given, (ids, mask) = built("gpt2"), prompt(4, 16), texts()

    def leaks() -> bool:
        with torch.no_grad():
            before = own.taught(given, ids, mask, ROWS)
            changed = ids.clone()
            changed[0] = (ids[0] + 7) % PIECES
            after = own.taught(given, changed, mask, ROWS)
        assert not torch.equal(before[0], after[0])
        return not torch.equal(before[1:], after[1:])

    assert not leaks()

    def broken(*given):
        """Every place sees all before it."""
        found = share(*given)
        return replace(found, mask=torch.zeros_like(found.mask).masked_fill(found.mask < 0, 0.0))

    monkeypatch.setattr(decoders, "share", broken)
    assert leaks()


def test_prompts_are_shared_where_that_is_less_alone(prompt):
    given, (_, mask) = prompt(4, 16), texts()
    assert share(given.mask, mask, ROWS) is not None
    assert share(given.mask, mask[:4], torch.arange(4)) is None


def test_prompts_are_not_shared_where_their_masks_would_fill_the_memory(prompt, monkeypatch):
    given, (_, mask) = prompt(4, 16), texts()
    found = share(given.mask, mask, ROWS)
    assert found is not None
    monkeypatch.setattr(sharing, "MOST", found.mask.numel())
    assert share(given.mask, mask, ROWS) is not None
    monkeypatch.setattr(sharing, "MOST", found.mask.numel() - 1)
    assert share(given.mask, mask, ROWS) is None
    monkeypatch.undo()
    # Nine hundred texts of one row: their mask alone would be near a GiB.
    many = torch.ones(900, 19, dtype=torch.bool)
    assert share(given.mask, many, torch.zeros(900, dtype=torch.long)) is None


def test_a_model_of_windows_shares_nothing(built, prompt, monkeypatch):
    own, given, (ids, mask) = built("qwen3"), prompt(4, 16), texts()
    own.model.config.sliding_window = 4
    monkeypatch.setattr(decoders, "share", lambda *_: pytest.fail("its windows are lost"))
    assert own.taught(given, ids, mask, ROWS).shape == mask.shape


@pytest.mark.parametrize("kernel", ["plain", "sdpa"])
def test_in_half_precision_texts_cost_about_the_same(built, prompt, kernel):
    own, given, (ids, mask) = built("gpt2"), prompt(4, 16), texts()
    own.backbone.attention = kernel
    wanted = own.taught(given, ids, mask, ROWS)
    with torch.autocast("cpu", torch.bfloat16):
        half = replace(given, vectors=given.vectors.bfloat16())
        found = own.taught(half, ids, mask, ROWS)
    assert (found - wanted).abs().max() < 0.1 < (wanted.exp() - 1).abs().max()


def test_a_text_that_has_no_room_is_one_clear_error(built, prompt):
    own, given, (ids, mask) = built("gpt2", context=20), prompt(4, 16), texts()
    given = replace(given, mask=torch.ones_like(given.mask))
    with pytest.raises(UserError, match="A row needs 24 places"):
        own.taught(given, ids, mask, ROWS)
    # Several short ones have, though they are longer together.
    assert own.taught(given, ids[:, :5], mask[:, :5], ROWS).shape == (7, 5)
