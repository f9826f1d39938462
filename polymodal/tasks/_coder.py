"""A tokenizer of pictures: how it is told by a recipe, how it learns, and what it makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.base import lookup
from polymodal.base.devices import device_of
from polymodal.contract.batch import Decided, Field, Fused
from polymodal.contract.form import Form
from polymodal.contract.metric import Metric
from polymodal.contract.recipe import Spec
from polymodal.contract.task import Answers, Array, Judged, Pass
from polymodal.contract.unlabelled import Unlabelled
from polymodal.metrics import pictures
from polymodal.nn.canvas import Canvas, check_grid
from polymodal.nn.quantizer import Quantized, Quantizer

# Before a picture's codes stands how far they are from it: a sum of squared errors.
ERROR = 1
# Pictures that are coded at once.
BATCH = 64
# What pixels are halved by and less: they lie in [-1, 1].
MIDDLE = 127.5


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """A tokenizer of pictures, as a recipe has it.

    Attributes:
        size: side of the pictures in pixels; 0: that of the training pictures, 64 at most.
        patch: side of what one code stands for, which divides the size.
        quantizer: a file of `nn/quantizers`, with its options.
        channels, depth: of its convolutions, as of the encoder `tiles`.
        epochs: passes over the training pictures; 0: as many as the number of rows says.
        lr: peak rate.
    """

    size: int = 0
    patch: int = 8
    quantizer: Spec = "fsq"
    channels: int = 64
    depth: int = 1
    epochs: int = 0
    lr: float = 2e-3


class Retell(Unlabelled):
    """Mean squared error of a picture told again from its codes.

    An answer is `(1 + places,)`: the sum of squared errors of 8-bit numbers, and the codes.

    Args:
        name: of the task.
        modality: what is told again.
        tokenizer: see there.
    """

    primary = "psnr"
    chooses: ClassVar[str] = "squared error"

    def __init__(self, name: str, modality: str, tokenizer: Tokenizer, size: int) -> None:
        self.name, self.modality, self.tokenizer, self.size = name, modality, tokenizer, size

    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        return Retelling(self.modality, width, self.size, self.tokenizer)

    def loss(self, done: Pass) -> Tensor:
        """Of pixels in [-1, 1], over the pictures that are there; and what the quantiser asks."""
        told, own = done.output, done.inputs[self.modality]
        wanted = own.data[own.present] / MIDDLE - 1
        loss = F.mse_loss(told["pixels"][own.present].float(), wanted)
        if not len(wanted):
            loss = told["pixels"].float().sum() * 0
        return loss if told["loss"] is None else loss + told["loss"]

    def answer(self, done: Pass) -> list[Array]:
        own = done.inputs[self.modality].data
        return list(_answer(done.output, own).cpu().numpy().astype(float))

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        """Each picture's own peak signal-to-noise ratio."""
        ones = np.eye(len(answers))
        return {self.name: self._psnr(answers).statistic(ones).tolist()}

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        return {"psnr": self._psnr(answers)} if len(answers) else {}

    def criterion(self, answers: Answers, targets: Answers) -> float:
        errors = np.array([answer[0] for answer in answers])
        return float(errors.mean() / (3 * self.size**2)) if len(errors) else 0.0

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        errors = np.array([answer[0] for answer in answers], float)
        return Judged(errors, errors == 0, errors, 0.0)

    def support(self, answer: Array, answered: Array) -> float:
        return float((answer[ERROR:] == answered[ERROR:]).mean())

    def _psnr(self, answers: Answers) -> Metric:
        errors = np.array([answer[0] for answer in answers], float)
        return pictures.psnr(errors, np.full(len(errors), 3.0 * self.size**2))


class Retelling(nn.Module):
    """Tokens to codes, and these to pixels.

    Args:
        modality: whose tokens, as its encoder made them.
        width: of these.
        size: side of the pictures.
    """

    def __init__(self, modality: str, width: int, size: int, tokenizer: Tokenizer) -> None:
        super().__init__()
        own = tokenizer
        check_grid(size, own.patch, own.channels, own.depth)
        self.modality, self.side = modality, size // own.patch
        quantizer = lookup.build("nn/quantizers", own.quantizer)
        assert isinstance(quantizer, Quantizer)
        self.quantizer = quantizer
        self.enter = nn.Linear(width, quantizer.size)
        self.canvas = Canvas(quantizer.size, self.side, 3, own.patch, own.channels, own.depth)

    def forward(self, fused: Fused, target: Field | None = None) -> Decided:
        """ "pixels" `(batch, size, size, 3)`, "codes" `(batch, places)`, "loss" or None."""
        found = self.quantized(fused.own[self.modality].values)
        pixels = self.canvas(found.vectors)
        return Decided({"pixels": pixels, "codes": found.codes, "loss": found.loss})

    def quantized(self, tokens: Tensor) -> Quantized:
        found: Quantized = self.quantizer(self.enter(tokens))
        return found


def _answer(told: Mapping[str, Any], pixels: Tensor) -> Tensor:
    """`(batch, 1 + places)` int64: the sum of squared errors of 8-bit numbers, and the codes."""
    errors = (in_bytes(told["pixels"]).long() - pixels.long()).square().flatten(1).sum(1)
    return torch.cat([errors.unsqueeze(1), told["codes"]], 1)


def in_bytes(pixels: Tensor) -> Tensor:
    """Pixels in [-1, 1], or a little beyond, as uint8."""
    return ((pixels.float() + 1) * MIDDLE).round().clamp(0, 255).byte()


class Coder(nn.Module):
    """A tokenizer that has learned: pictures to codes and back, never trained on.

    Args:
        encoder: of the pictures' form.
        head: of `Retell`.
    """

    def __init__(self, encoder: nn.Module, head: Retelling) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.requires_grad_(False).eval()

    @property
    def places(self) -> int:
        """Codes of a picture."""
        return self.head.side**2

    @property
    def count(self) -> int:
        """Different codes."""
        return self.head.quantizer.count

    @torch.no_grad()
    def codes(self, pixels: Array) -> Array:
        """Pictures `(n, size, size, 3)` uint8 to int64 `(n, 1 + places)`: errors and codes."""
        found = [np.zeros((0, ERROR + self.places), np.int64)]
        for some in self._parts(pixels):
            data = torch.from_numpy(some).to(device_of(self))
            given = Field(data, None, torch.ones(len(data), dtype=torch.bool))
            codes = self.head.quantized(self.encoder(given).values).codes
            told = {"codes": codes, "pixels": self._drawn(codes)}
            found.append(_answer(told, data).cpu().numpy())
        return np.concatenate(found)

    @torch.no_grad()
    def pictures(self, codes: Array) -> Array:
        """Codes `(n, places)` to pictures `(n, size, size, 3)` uint8."""
        parts = [torch.from_numpy(some).to(device_of(self)) for some in self._parts(codes)]
        return np.concatenate([in_bytes(self._drawn(one)).cpu().numpy() for one in parts])

    def _drawn(self, codes: Tensor) -> Tensor:
        drawn: Tensor = self.head.canvas(self.head.quantizer.vectors(codes))
        return drawn

    @staticmethod
    def _parts(rows: Array) -> Iterator[Array]:
        return (rows[i : i + BATCH] for i in range(0, len(rows), BATCH))


class Codes(Form):
    """A picture as int64 `(1 + places,)`: how far its codes are from it, and the codes.

    Args:
        pixels: fitted.
        coder: learned.
        digest: of what it has learned.
    """

    kind, dtype, ragged, parallel = "target", "int64", False, False
    beyond: ClassVar[str] = "has more than {form} have codes for: left out"

    def __init__(self, pixels: Form, coder: Coder, digest: str) -> None:
        self.pixels, self.coder, self._digest = pixels, coder, digest

    @property
    def settings(self) -> dict[str, Any]:
        return self.pixels.settings

    @property
    def fingerprint(self) -> str:
        return f"{self.pixels.fingerprint}{self._digest}"

    def encode(self, cell: Any) -> Array:
        return self.encode_many([cell])[0]

    def encode_many(self, cells: Sequence[Any]) -> list[Array]:
        return list(self.coder.codes(np.stack([self.pixels.encode(cell) for cell in cells])))

    def was_truncated(self, cell: Any) -> bool:
        return self.pixels.was_truncated(cell)

    def decode(self, array: Array) -> Any:
        """The picture that the codes stand for, as an encoded file."""
        return self.pixels.decode(self.coder.pictures(array[None, ERROR:])[0])
