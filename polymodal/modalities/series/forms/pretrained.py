"""A series for a pretrained model, or a frozen model's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.base.devices import device, device_of
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

    @torch.inference_mode()
    def _outputs(self, series: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """float32 `(channels, width)` each."""
        data = torch.from_numpy(np.stack(series)).to(device_of(self._model))
        return list(self._model(data).cpu().numpy())

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
    def _model(self) -> Patches:
        return Patches(self.path, self.channels).to(device()).eval()


class Patches(nn.Module):
    """A model of series: `(batch, steps, channels)` -> means over patches `(batch, channels,
    width)`.

    Args:
        path: folder or hub id.
        channels: of the series.
        weights: False builds the configured architecture with random weights.

    Attributes:
        is_backbone: tells the optimiser to move its weights at a rate of their own.
    """

    is_backbone = True

    def __init__(self, path: str, channels: int, *, weights: bool = True) -> None:
        super().__init__()
        shared = pretrained.told(path, SERIES, "share_embedding")
        # Then a channel is a row of its own, and the model need not know how many there are.
        self.alone = bool(shared) and not pretrained.told(path, SERIES, "channel_attention")
        settings = {"num_input_channels": 1} if self.alone else {}
        self.model = pretrained.load(path, SERIES, weights=weights, **settings)
        own = channels if self.alone else self.model.config.num_input_channels
        if channels != own:
            raise UserError(
                f"'{path}' is a model of series with other channels",
                expected=f"{own} channels",
                got=f"{channels}",
                do="choose a model that shares its embedding among channels",
            )

    def forward(self, data: Tensor) -> Tensor:
        batch, steps, channels = data.shape
        if self.alone:
            data = data.transpose(1, 2).reshape(batch * channels, steps, 1)
        # `(batch, channels, patches, width)`
        values: Tensor = self.model(past_values=data).last_hidden_state.mean(2)
        return values.view(batch, channels, -1)
