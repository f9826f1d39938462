"""Every encoder: masks, single rows, determinism and precision."""

from __future__ import annotations

import inspect

import pytest
import torch

from polymodal.base import lookup
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.kind import kinds

PLAIN = [
    (kind, name, False) for kind in kinds() for name in lookup.names(f"modalities/{kind}/encoders")
]
BY_WORD = [
    (kind, name, True)
    for kind, name, _ in PLAIN
    if lookup.find(f"modalities/{kind}/encoders", name).words
]
ENCODERS = PLAIN + BY_WORD

every_encoder = pytest.mark.parametrize(("kind", "name", "words"), ENCODERS)


def real(tokens: Tokens, field: Field) -> torch.Tensor:
    """Values at real positions of present rows, as the model takes them."""
    return tokens.values[tokens.mask & field.present.unsqueeze(1)]


def rows_of(field: Field, rows: list[int]) -> Field:
    """Some rows, padded no longer than they need."""
    mask = None if field.mask is None else field.mask[rows]
    data = field.data[rows]
    if mask is not None:
        longest = max(1, int(mask.sum(1).max()))
        mask, data = mask[:, :longest], data[:, :longest]
    return Field(data, mask, field.present[rows])


@every_encoder
def test_tokens(kind, name, words, subject):
    s = subject(kind, name, words)
    cls = lookup.find(f"modalities/{kind}/encoders", name)
    assert cls.kind == kind
    tokens = s.build(16).eval()(s.field)
    batch, length = tokens.mask.shape
    assert tokens.values.shape == (batch, length, 16)
    assert tokens.mask.dtype == torch.bool
    assert tokens.values.isfinite().all()
    assert tokens.mask[s.field.present].any(1).all()
    if words:
        counts = [len(tags) if tags else 0 for tags in s.tags]
        assert (tokens.mask.sum(1) * s.field.present).tolist() == counts
    assert s.build(24).eval()(s.field).values.shape[-1] == 24


@every_encoder
@torch.no_grad()
def test_one_that_may_be_bare_has_tokens_of_its_own_width(kind, name, words, subject):
    s = subject(kind, name, words)
    if lookup.find(f"modalities/{kind}/encoders", name).bare:
        encoder = s.build(None).eval()
        projected = s.build(16)
        assert encoder(s.field).values.shape[-1] == encoder.width
        linear = [
            sum(isinstance(m, torch.nn.Linear) for m in e.modules()) for e in (encoder, projected)
        ]
        assert linear[0] == linear[1] - 1


@every_encoder
@torch.no_grad()
def test_masked_positions_change_nothing(kind, name, words, subject):
    s = subject(kind, name, words)
    encoder = s.build().eval()
    wanted = real(encoder(s.field), s.field)
    data = s.field.data.clone()
    data[~s.field.present] = s.field.data[0]
    mask = s.field.mask
    if mask is not None:
        data = torch.where(mask.view(*mask.shape, *[1] * (data.dim() - 2)), data, data[0, :1])
        # And three more padded positions, with the same in them.
        data = torch.cat([data, data[:1, :1].expand(len(data), 3, *data.shape[2:])], 1)
        mask = torch.cat([mask, torch.zeros(len(mask), 3, dtype=torch.bool)], 1)
    field = Field(data, mask, s.field.present)
    torch.testing.assert_close(real(encoder(field), field), wanted, atol=1e-5, rtol=1e-5)


@every_encoder
@torch.no_grad()
def test_a_row_alone_is_what_it_is_in_a_batch(kind, name, words, subject):
    s = subject(kind, name, words)
    encoder = s.build().eval()
    together = encoder(s.field)
    for row in range(4):
        alone = rows_of(s.field, [row])
        torch.testing.assert_close(
            real(encoder(alone), alone),
            together.values[row][together.mask[row]],
            atol=1e-5,
            rtol=1e-5,
        )


@every_encoder
def test_same_seed_same_encoder(kind, name, words, subject):
    s = subject(kind, name, words)
    outcomes = []
    for _ in range(2):
        torch.manual_seed(7)
        encoder = s.build().train()
        values = real(encoder(s.field), s.field)
        outcomes.append((values, real(encoder.eval()(s.field), s.field)))
    assert torch.equal(outcomes[0][0], outcomes[1][0])
    assert torch.equal(outcomes[0][1], outcomes[1][1])


@every_encoder
@torch.no_grad()
def test_precisions(kind, name, words, subject):
    s = subject(kind, name, words)
    encoder = s.build().eval()
    single = real(encoder(s.field), s.field)
    with torch.autocast("cpu", torch.bfloat16):
        half = real(encoder(s.field), s.field).float()
    assert half.isfinite().all()
    assert (half - single).norm() <= 0.1 * single.norm()


@every_encoder
def test_a_batch_in_which_no_row_has_it(kind, name, words, subject):
    s = subject(kind, name, words)
    mask = None if s.field.mask is None else torch.zeros_like(s.field.mask[:2])
    none = Field(torch.zeros_like(s.field.data[:2]), mask, torch.zeros(2, dtype=torch.bool))
    encoder = s.build()
    values = encoder(none).values
    assert values.isfinite().all()
    torch.where(none.present[:, None, None], values, 0).sum().backward()
    grads = [p.grad for p in encoder.parameters() if p.grad is not None]
    assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize(("kind", "name", "words"), PLAIN)
def test_every_option_has_a_default(kind, name, words):
    defaults = lookup.options(lookup.find(f"modalities/{kind}/encoders", name))
    assert inspect.Parameter.empty not in defaults.values()
