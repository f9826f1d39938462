"""The Transformer over hashed words, and what it shares with `embedding`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.contract.encoder import Encoder
from polymodal.modalities.text.augment import Augment as Text
from polymodal.modalities.text.encoders.embedding import Embedding
from polymodal.modalities.text.encoders.transformer import Transformer
from polymodal.modalities.text.forms.words import Words
from polymodal.nn.weights import fill
from polymodal.train.kernels import Kernels

TEXTS = ["Anna sees Bob", "the house", "Bob sees the red house in London", "", None]
FORM = Words(subwords=6, limit=32)


def built(kind: type[Encoder], collate: Callable[..., Field], **options: Any) -> Encoder:
    torch.manual_seed(0)
    encoder = kind(FORM, 16, size=64, **options)  # type: ignore[call-arg]
    encoder.adapt([collate(FORM, TEXTS), collate(FORM, ["Anna in the house", "red Bob"])])
    return encoder.eval()


@pytest.mark.parametrize("kind", [Embedding, Transformer])
@pytest.mark.parametrize("words", [True, False])
def test_padding_and_neighbours_change_nothing(
    kind: type[Encoder], words: bool, collate: Callable[..., Field]
) -> None:
    encoder = built(kind, collate, words=words)
    together = encoder(collate(FORM, TEXTS, extra=3, garbage=77_777))
    for i, text in enumerate(TEXTS[:4]):
        alone = encoder(collate(FORM, [text]))
        count = int(alone.mask.sum())
        assert count == int(together.mask[i].sum()) == len(str(text).split()) + (not words)
        torch.testing.assert_close(
            alone.values[0, :count], together.values[i, :count], atol=1e-5, rtol=0
        )
    assert together.values.isfinite().all()


@pytest.mark.parametrize("kind", [Embedding, Transformer])
def test_an_empty_text_has_a_token_unless_words_are_meant(
    kind: type[Encoder], collate: Callable[..., Field]
) -> None:
    field = collate(FORM, ["", "the house"])
    assert built(kind, collate)(field).mask.sum(1).tolist() == [1, 3]
    assert built(kind, collate, words=True)(field).mask.sum(1).tolist() == [0, 2]


@pytest.mark.parametrize("kind", [Embedding, Transformer])
def test_order_matters(kind: type[Encoder], collate: Callable[..., Field]) -> None:
    encoder = built(kind, collate)
    one = encoder(collate(FORM, ["Anna sees Bob"])).mean()
    other = encoder(collate(FORM, ["Bob sees Anna"])).mean()
    if kind is Transformer:
        assert (one - other).abs().max() > 1e-3
    else:
        # Positions only shift vectors about: the mean cannot tell, single words can.
        first = encoder(collate(FORM, ["Bob sees Anna"])).values[0, 3]
        last = encoder(collate(FORM, ["Anna sees Bob"])).values[0, 1]
        assert (first - last).abs().max() > 1e-3


@pytest.mark.parametrize("kind", [Embedding, Transformer])
def test_unknown_words_count_by_parts_and_shape(
    kind: type[Encoder], collate: Callable[..., Field]
) -> None:
    encoder = built(kind, collate, words=True)
    # Nothing of these is known; the first two look alike.
    one, same, other = (
        encoder(collate(FORM, [word])).values for word in ("qqxjz", "vvkjq", "Vvkjq")
    )
    torch.testing.assert_close(one, same)
    assert (one - other).abs().max() > 1e-4


def test_vocabulary_is_what_two_rows_share(collate: Callable[..., Field]) -> None:
    encoder = built(Transformer, collate)
    vocabulary = encoder.vectors.vocabulary
    ids = torch.from_numpy(FORM.encode("house London sees")[:, 0])
    # "house" and "sees" are in two rows, "London" in one.
    assert (vocabulary(ids) > 0).tolist() == [True, False, True]


def test_vocabulary_keeps_the_most_frequent(collate: Callable[..., Field]) -> None:
    form = Words(subwords=0)
    encoder = Embedding(form, 8, size=2)
    encoder.adapt([collate(form, ["a b c", "a b", "a c c c", "b c", "a", "b"])])
    numbers = encoder.vectors.vocabulary(torch.from_numpy(form.encode("a b c")[:, 0]))
    # Rows are counted, not words: c stands three times in one row.
    assert sorted(numbers[:2].tolist()) == [1, 2] and numbers[2] == 0


@pytest.mark.parametrize("kind", [Embedding, Transformer])
def test_save_and_load(kind: type[Encoder], collate: Callable[..., Field]) -> None:
    encoder = built(kind, collate)
    fresh = kind(FORM, 16, size=64).eval()  # type: ignore[call-arg]
    fill(fresh, encoder.state_dict())
    field = collate(FORM, TEXTS)
    torch.testing.assert_close(fresh(field).values, encoder(field).values, atol=0, rtol=0)


def test_attention_kernels_agree(collate: Callable[..., Field]) -> None:
    field = collate(FORM, TEXTS, extra=2)
    encoder = built(Transformer, collate)
    plain, fused = (
        Kernels(attention=kernel).apply(encoder)(field).values for kernel in ("plain", "sdpa")
    )
    real = collate(FORM, TEXTS, extra=2).mask
    # The learned first token, then the words.
    real = torch.cat([real.new_ones(len(real), 1), real], 1)
    torch.testing.assert_close(plain[real], fused[real], atol=1e-5, rtol=0)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(UserError, match="do not divide"):
        Transformer(FORM, 16, heads=3)


def test_training_forgets_words_but_not_evaluation(collate: Callable[..., Field]) -> None:
    field = collate(FORM, TEXTS)
    encoder = built(Transformer, collate, dropout=0.0, forget=0.5)
    torch.testing.assert_close(encoder(field).values, encoder(field).values, atol=0, rtol=0)
    encoder.train()
    assert (encoder(field).values - encoder(field).values).abs().max() > 1e-3
    encoder.vectors.forget = 0.0
    torch.testing.assert_close(encoder(field).values, encoder(field).values, atol=0, rtol=0)


def test_a_hidden_word_is_its_shape_alone(collate: Callable[..., Field]) -> None:
    encoder = built(Transformer, collate, words=True)
    one, other = collate(FORM, ["the house sees Bob"]), collate(FORM, ["the Bob sees Anna"])
    other.data[0, 1, 1] = one.data[0, 1, 1]
    for field in (one, other):
        field.data[0, 1, 0] = -1
    field = collate(FORM, ["the house sees Bob"])
    blank = encoder.vectors(one)[0, 1]
    torch.testing.assert_close(blank, encoder.vectors(other)[0, 1], atol=0, rtol=0)
    assert (blank - encoder.vectors(field)[0, 1]).abs().max() > 1e-3
    hidden = Text(drop=0.9)(field, torch.Generator().manual_seed(0))
    assert encoder(hidden).mask.sum() == 4


def test_it_learns_to_tag_unseen_words_by_their_looks(collate: Callable[..., Field]) -> None:
    """Names are capitalised words after "mr": neither sign is enough alone."""
    names, others = ["Abel", "Bela", "Cilo", "Dora"], ["Run", "Sky", "Tea", "Urn"]
    texts, tags = [], []
    for i in range(16):
        name, other = names[i % 4], others[(i // 4) % 4]
        texts.append(f"mr {name} saw {other} and mr {other.lower()}")
        tags.append([0, 1, 0, 0, 0, 0, 0])
    torch.manual_seed(0)
    encoder = Transformer(FORM, 16, words=True, depth=1, size=64, dropout=0.1)
    encoder.adapt([collate(FORM, texts)])
    head = nn.Linear(16, 2)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=1e-2)
    field, target = collate(FORM, texts), torch.tensor(tags)
    for _ in range(60):
        loss = nn.functional.cross_entropy(
            head(encoder(field).values).flatten(0, 1), target.view(-1)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    encoder.eval()
    unseen = collate(FORM, ["mr Xerxes saw Oak and mr oak"])
    assert head(encoder(unseen).values).argmax(-1)[0].tolist() == [0, 1, 0, 0, 0, 0, 0]


def test_bf16_autocast(collate: Callable[..., Field]) -> None:
    field = collate(FORM, TEXTS)
    encoder = built(Transformer, collate)
    with torch.autocast("cpu", torch.bfloat16):
        low = encoder(field)
    torch.testing.assert_close(low.values.float(), encoder(field).values, atol=0.1, rtol=0.1)
