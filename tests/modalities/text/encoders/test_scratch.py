"""LSTM, BERT and GPT from scratch: the published sizes, parity, padding, order, causality."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.contract.encoder import Encoder
from polymodal.contract.kind import kinds
from polymodal.modalities.text.augment import Augment
from polymodal.modalities.text.encoders.bert import Bert
from polymodal.modalities.text.encoders.gpt import Gpt
from polymodal.modalities.text.encoders.lstm import Lstm
from polymodal.modalities.text.forms.pieces import MASK, SEP, Pieces
from polymodal.modalities.text.forms.words import Words
from polymodal.train.kernels import Kernels

TEXTS = ["anna sees bob", "bob sees anna", "the red house in london", "x", "", None]
SMALL: dict[str, Any] = {"hidden": 16, "depth": 2, "heads": 2, "dropout": 0.0}


@pytest.fixture(scope="module")
def form() -> Pieces:
    made = Pieces(limit=32)
    made.fit([text for text in TEXTS if text] * 2)
    return made


def small(kind: type[Encoder], form: Pieces, **options: Any) -> Any:
    torch.manual_seed(0)
    return kind(form, 16, **SMALL | options).eval()


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


class Full(Pieces):
    """As many pieces as a published model has."""

    known = 0

    @property
    def count(self) -> int:
        return self.known


@pytest.mark.parametrize(
    ("kind", "pieces", "limit", "size"),
    # Of google-bert/bert-base-uncased without its pooler, and of openai-community/gpt2.
    [(Bert, 30_522, 512, 109_482_240 - 590_592), (Gpt, 50_257, 1024, 124_439_808)],
)
def test_published_sizes(kind: Any, pieces: int, limit: int, size: int) -> None:
    form = Full(limit=limit)
    form.known = pieces
    with torch.device("meta"):
        assert count(kind(form, 8, hidden=768, depth=12, heads=12).backbone) == size


def test_bert_is_transformers_bert(form: Pieces, collate: Callable[..., Field]) -> None:
    encoder = small(Bert, form)
    theirs = BertModel(
        BertConfig(
            vocab_size=form.count,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=32,
        ),
        add_pooling_layer=False,
    ).eval()
    theirs.load_state_dict(encoder.backbone.model.state_dict())
    field = collate(form, TEXTS[:4])
    assert field.mask is not None
    ids, attended = field.data[..., 0].long(), field.mask.long()
    wanted = encoder.project(theirs(input_ids=ids, attention_mask=attended).last_hidden_state)
    found = encoder(field).values
    torch.testing.assert_close(found[field.mask], wanted[field.mask], atol=1e-6, rtol=1e-5)


def test_gpt_is_transformers_gpt2(form: Pieces, collate: Callable[..., Field]) -> None:
    encoder = small(Gpt, form)
    theirs = GPT2Model(
        GPT2Config(vocab_size=form.count, n_positions=32, n_embd=16, n_layer=2, n_head=2)
    ).eval()
    theirs.load_state_dict(encoder.backbone.model.state_dict())
    field = collate(form, TEXTS[:4])
    assert field.mask is not None
    ids, attended = field.data[..., 0].long(), field.mask.long()
    wanted = encoder.project(theirs(input_ids=ids, attention_mask=attended).last_hidden_state)
    found = encoder(field).values
    torch.testing.assert_close(found[field.mask], wanted[field.mask], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", [Bert, Gpt])
@pytest.mark.parametrize("words", [True, False])
def test_padding_and_neighbours_change_nothing(
    kind: type[Encoder], words: bool, form: Pieces, collate: Callable[..., Field]
) -> None:
    encoder = small(kind, form, words=words)
    together = encoder(collate(form, TEXTS, extra=3, garbage=7))
    assert together.values.isfinite().all()
    for i, text in enumerate(TEXTS[:5]):
        alone = encoder(collate(form, [text]))
        real = alone.mask[0]
        length = int(real.sum())
        assert length == int(together.mask[i].sum())
        assert not words or length == len(str(text).split())
        torch.testing.assert_close(
            together.values[i, :length], alone.values[0, :length], atol=1e-5, rtol=0
        )


def test_gpt_sees_nothing_of_what_comes(form: Pieces, collate: Callable[..., Field]) -> None:
    field = collate(form, ["the red house in london"])
    for kind in (Gpt, Bert):
        encoder = small(kind, form)
        before = encoder(field).values
        for place in range(1, field.data.shape[1]):
            changed = field.data.clone()
            changed[:, place:, 0] = 5 + (changed[:, place:, 0] + 1) % (form.count - 5)
            after = encoder(Field(changed, field.mask, field.present)).values
            assert torch.equal(before[:, :place], after[:, :place]) == (kind is Gpt)
            assert (before[:, place] - after[:, place]).abs().max() > 1e-4


def test_what_stands_behind_sep_is_bert_s_second_segment(
    form: Pieces, collate: Callable[..., Field]
) -> None:
    encoder = small(Bert, form)
    one = collate(form, ["anna sees bob"])
    two = one.data.clone()
    two[0, 2, 0] = SEP
    field = Field(two, one.mask, one.present)
    before = encoder(field).values
    with torch.no_grad():
        encoder.backbone.model.embeddings.token_type_embeddings.weight[1].normal_()
    assert (encoder(field).values - before).abs().max() > 1e-3
    wanted = small(Bert, form)(one).values
    torch.testing.assert_close(encoder(one).values, wanted)


@pytest.mark.parametrize("kind", [Bert, Gpt])
def test_attention_is_computed_as_measured(
    kind: type[Encoder], form: Pieces, collate: Callable[..., Field]
) -> None:
    encoder, field = small(kind, form), collate(form, TEXTS)
    assert encoder.backbone.attention == "sdpa"
    fused = encoder(field)
    plain = Kernels(attention="plain").apply(encoder)
    assert plain.backbone.attention == "plain"
    assert plain.backbone.model.config._attn_implementation == "eager"
    found = plain(field)
    torch.testing.assert_close(
        found.values[found.mask], fused.values[fused.mask], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("kind", [Bert, Gpt])
def test_hidden_pieces_are_masks(
    kind: type[Encoder], form: Pieces, collate: Callable[..., Field]
) -> None:
    field = collate(form, ["the red house in london"] * 4)
    hidden = Augment(drop=0.5)(field, torch.Generator().manual_seed(0))
    gone = hidden.data[..., 0] < 0
    assert gone.any() and not gone[:, 0].any() and not gone[:, -1].any()
    masked = field.data.clone()
    masked[..., 0][gone] = MASK
    encoder = small(kind, form)
    wanted = encoder(Field(masked, field.mask, field.present)).values
    torch.testing.assert_close(encoder(hidden).values, wanted, atol=0, rtol=0)


@pytest.mark.parametrize("kind", [Lstm, Bert, Gpt])
def test_it_learns_who_comes_first(kind: Any, collate: Callable[..., Field]) -> None:
    """The same words in every text, and how often: only their order tells."""
    names = ["anna", "bob", "carl", "dora"]
    texts = [f"{one} and then {two}" for one in names for two in names if one != two]
    labels = torch.tensor([int(text.split()[0] < text.split()[-1]) for text in texts])
    form: Any = Words(subwords=0) if kind is Lstm else Pieces(limit=16)
    form.fit(texts)
    torch.manual_seed(0)
    options = {"size": 64, "forget": 0.0} if kind is Lstm else {"heads": 2, "depth": 1}
    encoder = kind(form, 16, hidden=32, dropout=0.0, **options)
    field = collate(form, texts)
    encoder.adapt([field])
    head = nn.Linear(16, 2)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=5e-3)
    for _ in range(60):
        loss = nn.functional.cross_entropy(head(encoder(field).mean()), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert torch.equal(head(encoder.eval()(field).mean()).argmax(1), labels)


def test_lstm_reads_backwards_if_asked(collate: Callable[..., Field]) -> None:
    form = Words(subwords=0)
    one, other = collate(form, ["anna sees bob"]), collate(form, ["anna sees carl"])
    for both in (True, False):
        torch.manual_seed(0)
        encoder = Lstm(form, 16, words=True, hidden=8, bidirectional=both, size=64).eval()
        encoder.adapt([one, other, one, other])
        same = torch.equal(encoder(one).values[:, :2], encoder(other).values[:, :2])
        assert same == (not both)


@pytest.mark.parametrize("kind", [Bert, Gpt])
def test_impossible_options_are_refused(kind: Any, form: Pieces) -> None:
    with pytest.raises(UserError, match="do not divide"):
        kind(form, 8, hidden=16, heads=3)
    with pytest.raises(UserError, match="depth=0"):
        kind(form, 8, depth=0)


def test_explanations_hide_words_of_it(form: Pieces, collate: Callable[..., Field]) -> None:
    text = "the quick fox"
    cell, parts = kinds()["text"].parts(text, [form], [text])
    arrays = [form.encode(covered) for covered in [cell, *parts[0].cells]]
    # Their number stays, so that labels of words stand where they stood.
    assert [array[:, 1].max() for array in arrays] == [3, 3, 3, 3]
    encoder = small(Bert, form)
    pooled = encoder(collate(form, [cell, *parts[0].cells])).mean()
    assert all((pooled[0] - covered).abs().max() > 1e-3 for covered in pooled[1:])
