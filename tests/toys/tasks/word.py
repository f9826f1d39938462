"""A word is generated, letter by letter, by a small recurrent decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.contract.batch import Decided, Field, Fused
from polymodal.contract.form import Form
from polymodal.contract.metric import Metric
from polymodal.contract.task import Answers, Array, Judged, Pass, Task

# The code that ends a word, and fills what is behind it.
END = 0


class Letters(Form):
    """A word as codes `(longest + 1,)`, closed by END."""

    kind, dtype, ragged = "target", "int64", False

    def __init__(self, *, letters: str, longest: int) -> None:
        self.letters, self.longest = letters, longest

    def encode(self, cell: Any) -> Array:
        codes = np.full(self.longest + 1, END, np.int64)
        known = [self.letters.find(letter) + 1 for letter in str(cell)[: self.longest]]
        codes[: len(known)] = known
        return codes

    def decode(self, array: Array) -> str:
        found = [int(code) for code in array]
        end = found.index(END) if END in found else len(found)
        return "".join(self.letters[code - 1] for code in found[:end])


class Decoder(nn.Module):
    """A GRU that starts from the fused vector and reads its own last letter."""

    def __init__(self, width: int, letters: int, length: int, dropout: float) -> None:
        super().__init__()
        self.length, self.dropout = length, nn.Dropout(dropout)
        self.embedding = nn.Embedding(letters + 1, width)
        self.cell = nn.GRUCell(width, width)
        self.letter = nn.Linear(width, letters + 1)

    def forward(self, fused: Fused, target: Field | None = None) -> Decided:
        """Logits `(batch, length, letters + 1)`: taught by the target, or read from themselves."""
        state = self.dropout(fused.pooled)
        last = torch.zeros(len(state), dtype=torch.long, device=state.device)
        steps = []
        for i in range(self.length):
            state = self.cell(self.embedding(last), state)
            steps.append(self.letter(state))
            last = steps[-1].argmax(1) if target is None else target.data[:, i]
        return Decided(torch.stack(steps, 1))


class Word(Task):
    """Cross-entropy of the letters; answers are the codes of the word that was written."""

    reads = ("text", "category")
    primary = "exact_match"
    exact = True
    averaged = False
    supports = "whether it is written again"

    def __init__(self, name: str) -> None:
        self.name = name

    def fit(self, cells: Sequence[Any], details: Mapping[str, Any] | None = None) -> None:
        words = [str(cell) for cell in cells if self.is_known(cell)]
        letters = "".join(sorted(set("".join(words))))
        self.state = {"letters": letters, "longest": max(map(len, words)), "common": _common(words)}

    @property
    def state(self) -> dict[str, Any]:
        return {**self.form.settings, "common": self.common}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.form: Letters = Letters(letters=state["letters"], longest=state["longest"])
        self.common = state["common"]

    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        return Decoder(width, len(self.form.letters), self.form.longest + 1, dropout)

    def loss(self, done: Pass) -> Tensor:
        assert done.target is not None
        logits = done.output.float()
        each = F.cross_entropy(logits.transpose(1, 2), done.target.data, reduction="none").mean(1)
        known = done.target.present
        return torch.where(known, each, 0).sum() / known.sum().clamp(min=1)

    def answer(self, done: Pass) -> list[Array]:
        return list(done.output.argmax(-1).cpu().numpy())

    def merge(self, answers: Mapping[str, Answers], shares: Mapping[str, float]) -> list[Array]:
        """The answer of the largest share."""
        return list(answers[max(shares, key=lambda name: shares[name])])

    def constant(self, like: Answers) -> list[Array]:
        return [self.form.encode(self.common) for _ in like]

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        return {self.name: [self.form.decode(answer) for answer in answers]}

    def _right(self, answers: Answers, targets: Answers) -> Array:
        pairs = zip(answers, targets, strict=True)
        return np.array([self.form.decode(a) == self.form.decode(b) for a, b in pairs], bool)

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        right = self._right(answers, targets).astype(float)
        return {self.primary: Metric(lambda w: w @ right / w.sum(1))} if len(targets) else {}

    def criterion(self, answers: Answers, targets: Answers) -> float:
        return 1 - float(self._right(answers, targets).mean()) if len(targets) else 0.0

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        right = self._right(answers, targets)
        return Judged(np.stack(list(answers)), right, 1 - right.astype(float))

    def support(self, answer: Array, answered: Array) -> float:
        return float(self.form.decode(answer) == self.form.decode(answered))


def _common(words: Sequence[str]) -> str:
    return max(sorted(set(words)), key=words.count)
