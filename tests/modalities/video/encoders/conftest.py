"""A question of motion that every encoder of clips must answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from polymodal.contract.batch import Field
from polymodal.contract.encoder import Encoder


def moving(generator: torch.Generator, rows: int, frames: int, side: int) -> Field:
    """Squares that go right in every second clip and left in the others, from any place."""
    clips = torch.full((rows, frames, side, side, 3), 60, dtype=torch.uint8)
    square = side // 4
    for row in range(rows):
        top = int(torch.randint(side - square, (1,), generator=generator))
        for frame in range(frames):
            at = round((side - square) * frame / (frames - 1))
            at = at if row % 2 == 0 else side - square - at
            clips[row, frame, top : top + square, at : at + square] = 200
    return Field(clips, None, torch.ones(rows, dtype=torch.bool))


@pytest.fixture
def learns_motion() -> Callable[..., float]:
    """(encoder of width 2, steps) -> its accuracy on clips that it has not seen."""

    def learn(encoder: Encoder, steps: int, frames: int, side: int, rate: float = 2e-3) -> float:
        generator = torch.Generator().manual_seed(0)
        label = torch.arange(16) % 2
        encoder.adapt([moving(generator, 16, frames, side)])
        optimizer = torch.optim.AdamW(encoder.parameters(), rate)
        for _ in range(steps):
            tokens = encoder.train()(moving(generator, 16, frames, side))
            loss = torch.nn.functional.cross_entropy(tokens.mean(), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            answers = encoder.eval()(moving(generator, 16, frames, side)).mean().argmax(1)
        return float((answers == label).float().mean())

    return learn
