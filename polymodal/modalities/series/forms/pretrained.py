"""A series for a pretrained model, or a frozen model's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.modalities._pretrained import PretrainedForm
from polymodal.modalities.series.forms._form import SeriesForm
from polymodal.nn import pretrained
from polymodal.table.media import Media

SERIES = pretrained.Half("series", ("past_values",), "series_model")
# Series that go through a frozen model together.
BATCH = 64


class Pretrained(PretrainedForm, SeriesForm):
    """What a pretrained model is given of a series, or what it makes of it if it is frozen.

    A series is brought to the model's length by linear interpolation, whole: float32
    `(steps, channels)` for a model that is trained on. A frozen one's outputs are computed once and
    kept, the mean over the patches of each channel: float32 `(channels, width)`. A model that reads
    channels one by one, as PatchTST does by default, takes any number of them (Nie et al. 2023).

    Args:
        path: folder or hub id of the model.
        tune: whether the model is trained on.
        layout: as `SeriesForm` says.
    """

    ragged = False

    def __init__(self, *, path: str, tune: bool = False, layout: str = "auto") -> None:
        SeriesForm.__init__(self, layout)
        PretrainedForm.__init__(self, path, tune)
        self.dtype = "float32"

    @property
    def size(self) -> int:
        """Width of the model's outputs."""
        return pretrained.width(self.path, SERIES)

    def encode(self, cell: Media) -> np.ndarray[Any, Any]:
        """Series -> its array; UserErrors as `load` says."""
        return self.encode_many([cell])[0]

    def encode_many(self, cells: Sequence[Media]) -> list[np.ndarray[Any, Any]]:
        """Several series, of a frozen model BATCH at once."""
        stretched = [self._stretched(self.load(cell)) for cell in cells]
        if self.tune:
            return stretched
        starts = range(0, len(cells), BATCH)
        return [out for start in starts for out in self._outputs(stretched[start : start + BATCH])]

    def _stretched(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """`(steps, channels)` of the model's length."""
        length = self._length
        if len(values) == length:
            return values.astype(np.float32)
        at = np.linspace(0, len(values) - 1, length)
        given = np.arange(len(values))
        columns = [np.interp(at, given, column) for column in values.T]
        return np.stack(columns, 1).astype(np.float32)

    def _outputs(self, series: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """float32 `(channels, width)` each."""
        data = np.stack(series)
        if alone(self.path):
            data = data.transpose(0, 2, 1).reshape(-1, data.shape[1], 1)
        # `(batch, channels, patches, width)`
        (hidden,) = self.reader(past_values=np.ascontiguousarray(data))
        return list(hidden.mean(2).reshape(len(series), self.channels, -1))

    @cached_property
    def _length(self) -> int:
        found = pretrained.told(self.path, SERIES, "context_length")
        if found is None:
            raise UserError(
                f"'{self.path}' is not a model of series",
                expected="a model with a context_length, such as PatchTST",
                do="choose a model of series, or give this one to a column of its own kind",
            )
        return found

    @cached_property
    def reader(self) -> Any:
        settings = shared(self.path, self.channels)
        return pretrained.reader(self.path, SERIES, ("past_values",), **settings)

    def along(self, folder: Path) -> dict[str, Any]:
        """Of the model's settings those that are asked here."""
        told = ("context_length", "share_embedding", "channel_attention")
        return {name: pretrained.told(self.path, SERIES, name) for name in told}


def alone(path: str) -> bool:
    """Whether a model reads each channel by itself, and need not know how many there are."""
    one_for_all = pretrained.told(path, SERIES, "share_embedding")
    return bool(one_for_all) and not pretrained.told(path, SERIES, "channel_attention")


def shared(path: str, channels: int) -> dict[str, Any]:
    """Settings with which a model reads series of so many channels; UserError if it cannot."""
    if alone(path):
        return {"num_input_channels": 1}
    own = pretrained.told(path, SERIES, "num_input_channels")
    if channels != own:
        raise UserError(
            f"'{path}' is a model of series with other channels",
            expected=f"{own} channels",
            got=f"{channels}",
            do="choose a model that shares its embedding among channels",
        )
    return {}
