"""TF-IDF as scikit-learn computes it; one finite token a text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import nn

from polymodal.contract.batch import Field
from polymodal.modalities.text.encoders.ngrams import Ngrams
from polymodal.modalities.text.forms.ngrams import Ngrams as Form
from polymodal.modalities.text.hashing import identity
from polymodal.models.model import encoded
from polymodal.nn.weights import fill

TEXTS = ["a red house", "a red red fox", "the fox sees a house", "blue", "", "a red fox"]
FORM = Form()


def built(collate: Callable[..., Field], **options: int) -> Ngrams:
    torch.manual_seed(0)
    encoder = Ngrams(FORM, 8, **{"size": 32, "hidden": 8, **options})
    encoder.adapt([collate(FORM, TEXTS[:3]), collate(FORM, TEXTS[3:])])
    return encoder.eval()


def test_weights_are_those_of_scikit_learn(collate: Callable[..., Field]) -> None:
    theirs = TfidfVectorizer(
        token_pattern=r"(?u)\b\w+\b", ngram_range=(1, 2), min_df=2, sublinear_tf=True
    )
    expected = theirs.fit_transform(TEXTS).toarray()
    encoder = built(collate)
    columns = encoder.vocabulary(
        torch.tensor([identity(n) for n in theirs.get_feature_names_out()])
    )
    assert sorted(columns.tolist()) == list(range(1, len(columns) + 1))
    field = collate(FORM, TEXTS, extra=2, garbage=99)
    numbers, weights = encoder.weigh(field)
    ours = torch.zeros(len(TEXTS), 33).scatter_add(1, numbers, weights)
    np.testing.assert_allclose(ours[:, columns].numpy(), expected, atol=1e-6)


def test_padding_and_neighbours_change_nothing(collate: Callable[..., Field]) -> None:
    encoder = built(collate)
    together = encoder(collate(FORM, TEXTS, extra=4, garbage=55))
    assert together.values.shape == (6, 1, 8)
    for i, text in enumerate(TEXTS):
        alone = encoder(collate(FORM, [text], columns=2))
        torch.testing.assert_close(alone.values[0], together.values[i], atol=1e-6, rtol=0)


def test_empty_unknown_and_absent_texts(collate: Callable[..., Field]) -> None:
    tokens = encoded(built(collate), collate(FORM, ["", "never seen", None, "a fox"]))
    assert tokens.mask[:, 0].tolist() == [True, True, False, True]
    assert tokens.values.isfinite().all()
    torch.testing.assert_close(tokens.values[0], tokens.values[1])
    assert (tokens.values[0] - tokens.values[3]).abs().max() > 1e-4


def test_gradients_of_an_empty_text_are_finite(collate: Callable[..., Field]) -> None:
    encoder = built(collate)
    encoder(collate(FORM, ["", "a fox"])).values.sum().backward()
    for parameter in encoder.parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all()


def test_size_keeps_the_most_frequent(collate: Callable[..., Field]) -> None:
    # In rows: "a" 4, "red" 3, "fox" 3, the rest fewer.
    vocabulary = built(collate, size=3).vocabulary
    known = vocabulary(torch.tensor([identity(n) for n in ("a", "red", "fox", "house")])) > 0
    assert known.tolist() == [True, True, True, False]


def test_save_and_load(collate: Callable[..., Field]) -> None:
    encoder = built(collate)
    fresh = Ngrams(FORM, 8, size=32, hidden=8).eval()
    fill(fresh, encoder.state_dict())
    field = collate(FORM, TEXTS)
    torch.testing.assert_close(fresh(field).values, encoder(field).values, atol=0, rtol=0)


def test_it_learns_what_single_words_say(collate: Callable[..., Field]) -> None:
    rng = np.random.default_rng(0)
    good, bad, rest = ["fine", "great"], ["poor", "awful"], ["coat", "dress", "it", "was", "the"]

    def made(rows: int) -> tuple[list[str], torch.Tensor]:
        labels = rng.integers(2, size=rows)
        telling = [rng.choice(good if label else bad) for label in labels]
        texts = [" ".join(rng.permutation([*rng.choice(rest, 4), word])) for word in telling]
        return texts, torch.from_numpy(labels).float()

    texts, target = made(64)
    torch.manual_seed(0)
    encoder, head = Ngrams(FORM, 8, size=256), nn.Linear(8, 1)
    encoder.adapt([collate(FORM, texts)])
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=3e-3)
    field = collate(FORM, texts)
    for _ in range(60):
        logits = head(encoder(field).values[:, 0])[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    encoder.eval()
    texts, target = made(64)
    right = (head(encoder(collate(FORM, texts)).values[:, 0])[:, 0] > 0) == (target > 0)
    assert right.float().mean() > 0.95
