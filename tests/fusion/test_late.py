"""Decisions of the modalities, averaged over those that a row has."""

from __future__ import annotations

import torch

from polymodal.contract.batch import Field, Tokens
from polymodal.fusion.late import Late
from polymodal.models.model import Model
from polymodal.tasks.classify import Classify


class Given(torch.nn.Module):
    """An encoder whose field holds the tokens."""

    def forward(self, field: Field) -> Tokens:
        return Tokens(field.data, field.mask)


def test_views_are_the_means_and_weights_follow_alpha(make_tokens):
    fusion = Late(["a", "b"], 8)
    fusion.alpha.copy_(torch.tensor([0.8, 0.2]).log())
    tokens = make_tokens()
    fused = fusion(tokens)
    assert list(fused.views) == ["a", "b"]
    for name, tokens_of in tokens.items():
        torch.testing.assert_close(fused.views[name], tokens_of.mean())
    wanted = torch.tensor([[0.8, 0.2], [1, 0], [0, 1], [0.5, 0.5]])
    torch.testing.assert_close(fused.weights, wanted)
    torch.testing.assert_close(fused.pooled[1], fused.views["a"][1])


def test_a_model_averages_the_decisions(make_tokens):
    tokens = make_tokens()
    fields = {name: Field(t.values, t.mask, t.present()) for name, t in tokens.items()}
    encoders = {"a": Given(), "b": Given()}
    task = Classify("y")
    task.fit(["no", "no", "no", "yes"])
    prior = task.bias()
    model = Model(encoders, Late(["a", "b"], 8), {"y": task}, 8).eval()
    outputs = model(fields)
    a, b = outputs.views["y"]["a"], outputs.views["y"]["b"]
    wanted = torch.stack([(a[0] + b[0]) / 2, a[1], b[2], prior])
    torch.testing.assert_close(outputs.logits["y"], wanted)
