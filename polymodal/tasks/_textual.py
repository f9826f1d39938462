"""What tasks share that answer with texts: what is told of an answer, and how it is measured."""

from __future__ import annotations

import zlib
from abc import ABC
from typing import Any

import numpy as np

from polymodal.contract.metric import Metric
from polymodal.contract.task import Answers, Array, Judged
from polymodal.metrics import captions, summed
from polymodal.metrics.answers import normalised
from polymodal.metrics.texts import texts
from polymodal.nn.tokens import Tokens
from polymodal.tasks._costed import Costed
from polymodal.tasks._written import ENDED, ID, LOG, NATS, PLACES, Written


class Textual(Costed, ABC):
    """Its answers are texts, as `_written.answered` has them.

    Attributes:
        tokens: of its texts.
    """

    tokens: Tokens
    form: Written

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        """Beside the text its log-likelihood, and whether it ended ("stop") or had no more room."""
        return {
            self.name: self._texts(answers),
            f"{self.name}.log_likelihood": [float(a[1:, LOG].sum()) for a in answers],
            f"{self.name}.finish": ["stop" if a[0, ENDED] else "length" for a in answers],
        }

    def _texts(self, answers: Answers) -> list[str]:
        return [self.tokens.text(answer[1:, ID].astype(np.int64)) for answer in answers]

    # -- measuring -----------------------------------------------------------------------------

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        """See `metrics.texts`; and perplexity, where it is known what the targets would cost."""
        if not len(targets):
            return {}
        found = texts(self._texts(answers), [self.form.texts(target) for target in targets])
        heads = np.stack([answer[0] for answer in answers])
        if heads[:, PLACES].sum():
            found["perplexity"] = summed.perplexity(heads[:, NATS], heads[:, PLACES])
        return found

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        """A text is right if it is one of the references, as `metrics.answers` compares them."""
        given = self._texts(answers)
        right = np.array(
            [
                normalised(text) in map(normalised, self.form.texts(target))
                for text, target in zip(given, targets, strict=True)
            ],
            bool,
        )
        told = np.array([zlib.crc32(text.encode()) for text in given], float)
        heads = np.array([answer[0] for answer in answers]).reshape(len(answers), 4)
        return Judged(told, right, heads[:, NATS] / heads[:, PLACES].clip(min=1))

    def support(self, answer: Array, answered: Array) -> float:
        mine, other = (one[1:, ID].astype(int).tolist() for one in (answer, answered))
        total = len(mine) + len(other)
        return 2 * captions.common_words(mine, other) / total if total else 1.0
