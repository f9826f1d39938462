"""One model gives the reasons, another the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from polymodal.reason.model import Asked, Model, Thought, lacks
from polymodal.reason.strategy import Strategy


class TwoStage(Strategy):
    """The model's reasons, without its answer, are handed to its `second`, which answers.

    A second model is trained on reasons that the first has written (`polymodal rationales`): one
    that has seen people's reasons only is not used to a model's mistakes. Paper: "Multimodal
    Chain-of-Thought Reasoning in Language Models" (Zhang et al. 2023, arXiv 2302.00923), whose
    second stage is trained on people's.
    """

    def answers(self, model: Model, asked: Sequence[Asked]) -> list[Thought]:
        if model.second is None:
            raise lacks(
                model,
                "has no second model that answers from its reasons (`strategy two_stage`)",
                "write them with `polymodal rationales`, fit on that table, and name the run "
                "(`second`)",
            )
        given = [own[0].reason for own in model.chains(asked)]
        found = model.second.answers(
            [replace(one, reason=reason) for one, reason in zip(asked, given, strict=True)]
        )
        return [replace(one, reason=reason) for one, reason in zip(found, given, strict=True)]
