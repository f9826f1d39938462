"""Trained backbones: parity with the model itself, words, and what a run keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from polymodal.contract.batch import Field
from polymodal.modalities.text.augment import Augment as Text
from polymodal.modalities.text.encoders.pretrained import Pretrained
from polymodal.modalities.text.forms.pretrained import TEXT
from polymodal.modalities.text.forms.pretrained import Pretrained as Form
from polymodal.nn import checkpoint, pretrained, processors

TEXTS = ["Anna's quick house", "fox", "", "the quick brown fox jumps over", None]


def built(path: str, **options: bool) -> tuple[Form, Pretrained]:
    torch.manual_seed(0)
    form = Form(path=path, tune=True)
    return form, Pretrained(form, 8, **options).eval()


def direct(path: str, text: str, encoder: Pretrained) -> torch.Tensor:
    """The backbone's outputs for one text, `(pieces, 16)`, normalised and projected."""
    ids = processors.tokenizer(path)(text, return_tensors="pt")["input_ids"]
    hidden = pretrained.hidden(pretrained.load(path, TEXT), input_ids=ids)[0]
    return encoder.tuned.project(encoder.tuned.norm(hidden))


@pytest.mark.parametrize("checkpoint", ["bert_path", "gpt2_path"])
def test_tokens_are_the_models_outputs(
    checkpoint: str, collate: Callable[..., Field], request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(checkpoint)
    form, encoder = built(path)
    with torch.no_grad():
        encoder.tuned.shapes.weight.zero_()
        tokens = encoder(collate(form, TEXTS, extra=2))
        for i, text in enumerate(TEXTS[:2]):
            expected = direct(path, str(text), encoder)
            assert int(tokens.mask[i].sum()) == len(expected)
            torch.testing.assert_close(
                tokens.values[i, : len(expected)], expected, atol=1e-5, rtol=0
            )


@pytest.mark.parametrize("checkpoint", ["bert_path", "gpt2_path"])
@pytest.mark.parametrize("words", [True, False])
def test_padding_and_neighbours_change_nothing(
    checkpoint: str, words: bool, collate: Callable[..., Field], request: pytest.FixtureRequest
) -> None:
    form, encoder = built(request.getfixturevalue(checkpoint), words=words)
    with torch.no_grad():
        together = encoder(collate(form, TEXTS, extra=3, garbage=99))
        assert together.values.isfinite().all()
        for i, text in enumerate(TEXTS[:4]):
            alone = encoder(collate(form, [text]))
            count = int(alone.mask.sum())
            assert count == int(together.mask[i].sum())
            torch.testing.assert_close(
                alone.values[0, :count], together.values[i, :count], atol=1e-5, rtol=0
            )


def test_words_are_means_over_their_pieces(bert_path: str, collate: Callable[..., Field]) -> None:
    form, encoder = built(bert_path, words=True)
    by_piece = built(bert_path)[1]
    for name in ("norm", "project", "shapes"):
        getattr(by_piece.tuned, name).load_state_dict(getattr(encoder.tuned, name).state_dict())
    # Without norm and projection a mean before them equals a mean after them.
    for one in (encoder.tuned, by_piece.tuned):
        one.norm, one.project = torch.nn.Identity(), torch.nn.Identity()
        one.shapes = torch.nn.Embedding(1024, 16)
        torch.nn.init.zeros_(one.shapes.weight)
    field = collate(form, ["Anna's quick house", "fox"])
    with torch.no_grad():
        tokens, pieces = encoder(field), by_piece(field)
    assert tokens.mask[:, :3].tolist() == [[True, True, True], [True, False, False]]
    assert not tokens.mask[:, 3:].any()
    for row in range(2):
        for word in range(int(tokens.mask[row].sum())):
            mine = field.data[row, :, 1] == word + 1
            torch.testing.assert_close(tokens.values[row, word], pieces.values[row, mine].mean(0))


def test_capitals_are_seen_though_the_tokenizer_drops_them(
    bert_path: str, collate: Callable[..., Field]
) -> None:
    form, encoder = built(bert_path, words=True)
    lower, upper = (encoder(collate(form, [t])).values for t in ("the fox", "the Fox"))
    torch.testing.assert_close(lower[0, 0], upper[0, 0])
    assert (lower[0, 1] - upper[0, 1]).abs().max() > 1e-2


def test_all_learns_unless_tuning_says_else(bert_path: str, collate: Callable[..., Field]) -> None:
    form, encoder = built(bert_path)
    encoder(collate(form, TEXTS)).values.square().sum().backward()
    assert not [name for name, p in encoder.named_parameters() if p.grad is None]
    rate_of_its_own = [m for m in encoder.modules() if getattr(m, "is_backbone", False)]
    assert rate_of_its_own == [encoder.tuned.backbone]


def test_a_run_keeps_the_weights_elsewhere(
    bert_path: str, tmp_path: Path, collate: Callable[..., Field]
) -> None:
    form, encoder = built(bert_path)
    checkpoint.copy(bert_path, tmp_path / "model", weights=False)
    later_form, later = built(str(tmp_path / "model"))
    field = collate(form, TEXTS)
    assert (later(field).values - encoder(field).values).abs().max() > 1e-3
    later.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(later(field).values, encoder(field).values, atol=0, rtol=0)
    assert later_form.fingerprint == form.fingerprint


def test_a_batch_without_any_text(bert_path: str, collate: Callable[..., Field]) -> None:
    for words in (True, False):
        form, encoder = built(bert_path, words=words)
        tokens = encoder(collate(form, [None, None], columns=3))
        assert not tokens.mask.any() and tokens.values.isfinite().all()


def test_hidden_pieces_are_not_seen(bert_path: str, collate: Callable[..., Field]) -> None:
    form, encoder = built(bert_path)
    one, other = collate(form, ["the fox jumps"]), collate(form, ["the dog jumps"])
    assert one.data.shape == other.data.shape
    for field in (one, other):
        field.data[0, 2, 0] = -1
    torch.testing.assert_close(encoder(one).values, encoder(other).values, atol=0, rtol=0)
    hidden = Text(drop=0.9)(collate(form, TEXTS), torch.Generator().manual_seed(0))
    assert encoder(hidden).values.isfinite().all()
