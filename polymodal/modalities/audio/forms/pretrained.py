"""A sound for a pretrained model, or a frozen model's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.modalities._pretrained import PretrainedForm, batches
from polymodal.modalities.audio import decode
from polymodal.modalities.audio.listener import Listener, listener
from polymodal.modalities.series.slices import slices
from polymodal.table.media import Media

# Seconds of sound that go through a frozen model together, padding included, and sounds at most.
TOGETHER, MANY = 60, 16


class Pretrained(PretrainedForm):
    """What a pretrained model is given of a sound, or what it makes of it if it is frozen.

    A model that is trained on is given what it reads, float32 `(steps, features)`: samples
    (wav2vec 2.0, HuBERT) or frames of a spectrogram (Whisper, AST). A frozen one's outputs are
    computed once and kept: float32 `(parts, width)`, means over its real positions in equal parts
    of time.

    On one thread of a busy machine a second of sound took 0.2 s by a wav2vec 2.0 of base size; any
    sound took 3.6 s by Whisper's small encoder, which always hears 30 s, and 2.9 s by AST.

    Args:
        path: name of a package of weights, folder or hub id of the model.
        tune: whether the model is trained on.
        seconds: what is longer is cut to this; `was_truncated` tells.
        parts: of a frozen model: 1 says what the sound is like, more say when.
    """

    kind = "audio"

    def __init__(
        self, *, path: str, tune: bool = False, seconds: float = 30, parts: int = 1
    ) -> None:
        super().__init__(path, tune)
        if seconds < 0.01 or not 1 <= parts <= 1000:
            raise UserError(
                "The options of audio/pretrained are out of range",
                expected="seconds ≥ 0.01, parts from 1 to 1000",
                got=f"seconds={seconds}, parts={parts}",
            )
        if tune and parts != 1:
            raise UserError(
                "A model that is trained on has no parts: it gives all of its positions",
                expected="no 'parts', or a frozen model",
                got=f"parts: {parts}",
            )
        self.seconds, self.parts = seconds, parts
        self.dtype, self.ragged = "float32", tune
        if tune and not self.listener.trainable:
            raise UserError(
                f"The model '{path}' cannot be trained on",
                expected="no `tune`: its outputs are kept",
                got="tune: true",
            )

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        """A Media -> its array; UserErrors as `decode.waveform` says."""
        return self.encode_many([cell])[0]

    def encode_many(self, cells: Sequence[Media]) -> list[np.ndarray[Any, Any]]:
        """Several sounds, those of like length together: the same values as one by one."""
        sounds = [self._waveform(cell) for cell in cells]
        prepared = [self.listener.prepare(sound) for sound in sounds]
        if self.tune:
            return prepared
        # Some models hear every sound as if it lasted as long as the longest that they take.
        together = TOGETHER * self.listener.rate
        lengths = [max(together // MANY, len(sound)) for sound in sounds]
        encoded: dict[int, np.ndarray[Any, Any]] = {}
        for batch in batches(lengths, together):
            for i, outputs in zip(batch, self._outputs([prepared[i] for i in batch]), strict=True):
                encoded[i] = slices(outputs, self.parts).astype(np.float32)
        return [encoded[i] for i in range(len(cells))]

    def was_truncated(self, cell: Media) -> bool:
        """Whether `encode` leaves out the end of this sound; reads its header only."""
        return decode.is_longer(cell, self.listener.rate, self.seconds)

    def _waveform(self, cell: Media) -> np.ndarray[Any, Any]:
        return decode.waveform(cell, self.listener.rate, self.seconds)

    def _outputs(self, sounds: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Outputs `(positions, width)` at each sound's real positions."""
        lengths = np.array([len(sound) for sound in sounds])
        data = np.zeros((len(sounds), lengths.max(), sounds[0].shape[1]), np.float32)
        for row, sound in zip(data, sounds, strict=True):
            row[: len(sound)] = sound
        mask = np.arange(data.shape[1]) < lengths[:, None]
        values, heard = self.reader(data=data, mask=mask)
        return [one[real] for one, real in zip(values, heard, strict=True)]

    @cached_property
    def listener(self) -> Listener:
        """How the model hears."""
        return listener(self.path)

    @cached_property
    def reader(self) -> Any:
        return self.listener.reader()

    def along(self, folder: Path) -> dict[str, Any]:
        """How it hears."""
        return self.listener.along(folder)
