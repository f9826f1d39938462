"""What tasks share that tell which word or piece stands at some positions of a text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from polymodal.base.errors import UserError
from polymodal.contract.batch import Decided, Field, Fused
from polymodal.contract.form import Form, Ids
from polymodal.contract.kind import kinds
from polymodal.contract.task import Array, Pass, Task
from polymodal.tasks._named import Named

# Outputs that a hash's id falls into, where the form's ids have no bound.
BUCKETS = 8192
# Logits at a time: more are computed in parts, and once more for their gradients.
MOST = 2**24


class Vocabulary(nn.Module):
    """Each token of a text to a state, and one linear output for every id.

    The output is `states (batch, length, width)` and the `weight` and `bias` of the last layer, so
    that only the positions that are asked for are computed in full.

    Args:
        modality: the text's.
        size: ids.
        conditioned: whether tokens are read after the fusion, with the fused vector.
    """

    def __init__(
        self, width: int, modality: str, size: int, conditioned: bool, dropout: float
    ) -> None:
        super().__init__()
        self.modality = modality
        self.context = nn.Linear(width, width) if conditioned else None
        self.layers = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width)
        )
        self.last = nn.Linear(width, size)
        nn.init.normal_(self.last.weight, std=0.02)
        nn.init.zeros_(self.last.bias)

    def forward(self, fused: Fused, target: Field | None = None) -> Decided:
        if self.context is None:
            values = fused.own[self.modality].values
        else:
            values = fused.tokens[self.modality].values + self.context(fused.pooled).unsqueeze(1)
        found = {"states": self.layers(values), "weight": self.last.weight, "bias": self.last.bias}
        return Decided(found)


class Wordwise(Named, ABC):
    """Cross-entropy over the ids of the form that the text is read in.

    Ids without a bound (hashes) are told apart by their remainder modulo `buckets`, so that some
    words share an output.

    Args:
        name: of the task.
        modality: the text.
        buckets: see above.
    """

    needs = "a text whose words or pieces a network reads one by one"
    modality: str
    buckets: int

    @property
    def asks(self) -> Mapping[str, tuple[str, ...]]:
        return {self.modality: ("steps",)}

    def ids(self, forms: Mapping[str, Form]) -> Ids:
        """How the text's form numbers words.

        Raises:
            UserError: the model does not read the text, or in a form without words.
        """
        form = worded(self, self.modality, forms, "to tell")
        assert form.ids is not None
        return form.ids

    def size(self, forms: Mapping[str, Form]) -> int:
        return self.ids(forms).size or self.buckets

    @abstractmethod
    def sought(self, done: Pass) -> tuple[Tensor, Tensor]:
        """Which tokens say something `(batch, length)` bool, and of which id `(batch, length)`."""

    def loss(self, done: Pass) -> Tensor:
        """Mean over the places that are asked for; 0 (with gradient) if there is none."""
        states, truth = self._sought(done)
        weight, bias = done.output["weight"].float(), done.output["bias"].float()
        if not len(truth):
            return states.sum() * 0 + weight.sum() * 0 + bias.sum() * 0
        parts = list(_parts(states, truth, len(weight)))
        if len(parts) == 1:
            return F.cross_entropy(F.linear(states, weight, bias), truth)
        sums = [checkpoint(_surprise, *part, weight, bias, use_reentrant=False) for part in parts]
        return torch.stack(sums).sum() / len(truth)

    def answer(self, done: Pass) -> list[Array]:
        chosen, _ = self.sought(done)
        states, truth = self._sought(done)
        weight, bias = done.output["weight"].float(), done.output["bias"].float()
        found = [torch.zeros(0, 2, dtype=torch.float64, device=states.device)]
        for part, true in _parts(states, truth, len(weight)):
            logs = F.linear(part, weight, bias).log_softmax(1)
            own = logs.gather(1, true.unsqueeze(1))[:, 0]
            found.append(torch.stack([logs.argmax(1).double(), own.double()], 1))
        places = chosen.nonzero()[:, 1]
        told = torch.stack([places, truth], 1).double()
        rows = torch.split(torch.cat([told, torch.cat(found)], 1), chosen.sum(1).tolist())
        return [row.detach().cpu().numpy() for row in rows]

    def _sought(self, done: Pass) -> tuple[Tensor, Tensor]:
        """States `(asked, width)` and ids `(asked,)`."""
        chosen, truth = self.sought(done)
        states, length = done.output["states"].float(), chosen.shape[1]
        if states.shape[1] < length:
            # An absent text leaves one token, which stands for all.
            states = states[:, -1:].expand(-1, length, -1)
        # Marks of the encoder's own stand before the tokens of words.
        states = states[:, states.shape[1] - length :]
        return states[chosen], truth[chosen]


def worded(task: Task, modality: str, forms: Mapping[str, Form], purpose: str) -> Form:
    """The form that a text is read in.

    Raises:
        UserError: the model does not read the text, or in a form without words.
    """
    form = forms.get(modality)
    if form is None or form.ids is None:
        raise UserError(
            f"The task '{task.name}' has no words of '{modality}' {purpose}",
            expected=task.needs,
            got=f"a model of {', '.join(forms) or 'nothing'}",
            do="leave the task out, or give the text an encoder that reads words or pieces",
        )
    return form


def texts(modalities: Mapping[str, str]) -> list[str]:
    """The modalities whose kind has words that can be told one by one."""
    known = kinds()
    return [name for name, kind in modalities.items() if known[kind].words]


def named(task: str, modalities: Sequence[str]) -> dict[str, dict[str, Any]]:
    """One task of each modality, called like it unless there is only one."""
    if len(modalities) == 1:
        return {task: {"modality": modalities[0]}}
    return {f"{task}_{name}": {"modality": name} for name in modalities}


def _parts(states: Tensor, truth: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    if not len(truth):
        return iter(())
    most = max(1, MOST // size)
    return zip(torch.split(states, most), torch.split(truth, most), strict=True)


def _surprise(states: Tensor, truth: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(states, weight, bias), truth, reduction="sum")
