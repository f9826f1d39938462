"""Series: numbers in time, one or several a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, final

import numpy as np

from polymodal.base import arrow
from polymodal.base.errors import UserError
from polymodal.contract.block import Block
from polymodal.contract.form import Form
from polymodal.contract.kind import Guess, Seen
from polymodal.contract.parts import PARTS, SPANS, Parts, numbered, spans
from polymodal.modalities import _drawing
from polymodal.modalities._media import CELLS, Medium
from polymodal.modalities.series.corruptions import _steps
from polymodal.modalities.series.forms.features import Features
from polymodal.modalities.series.forms.steps import Steps
from polymodal.nn.blocks import Descriptors
from polymodal.table import listed
from polymodal.table.media import NPY, Media

# Channels of one picture.
CURVES = 6


@final
class Series(Medium):
    """Time series: lists or arrays `(steps,)` or `(steps, channels)`, also as texts, .npy and .csv
    files."""

    columns: ClassVar = {"series": CELLS}
    order: ClassVar[int] = 40
    suffixes: ClassVar = ("npy", "csv", "tsv")
    accepts: ClassVar[str] = ".npy,.csv,.tsv,.json"
    axes: ClassVar = (1, 2)
    encoder: ClassVar[str] = "cnn"
    raw: ClassVar[str] = "patch"
    described: ClassVar[str | None] = "features"

    def given(self, column_kind: str) -> tuple[str, ...]:
        return "numbers", "matrix", "file"

    def sniff(self, column: Seen) -> Guess | None:
        found = super().sniff(column)
        if found is not None or not (column.is_plain and arrow.is_text(column.inner)):
            return found
        listing = listed.is_series(column.cells)
        return Guess(self.name, "texts that list numbers") if listing else None

    def opens(self, head: bytes) -> bool:
        return head.startswith(NPY)

    def block(self, form: Form, most: int) -> Block:
        assert isinstance(form, Features)
        # Where no training row holds a series there is nothing to be read.
        return Descriptors(*form.sections if form.state else ())

    def parts(
        self, cell: Media, forms: Sequence[Form], sample: Iterable[Media]
    ) -> tuple[Any, list[Parts]]:
        """SPANS spans of steps, and channels, replaced by the channel's mean over the sample."""
        transposed = forms[0].state.get("transposed", False)
        steps = _steps.load(cell, transposed)
        readable = (other for other in sample if _reads(forms[0], other))
        means = [_steps.load(other, transposed).mean(0) for other in readable]
        typical = np.mean(means or [steps.mean(0)], axis=0)

        def covered(lines: slice, channels: slice) -> Media:
            other = steps.copy()
            other[lines, channels] = typical[channels]
            return _steps.save(cell, other, transposed)

        found, replaced_by = [], "the channel's mean over some rows"
        for unit, length, most in (("step", len(steps), SPANS), ("channel", steps.shape[1], PARTS)):
            if unit == "channel" and length == 1:
                continue  # it is the whole cell
            cuts = spans(length, most)
            lines = [slice(*cut) if unit == "step" else slice(None) for cut in cuts]
            channels = [slice(*cut) if unit == "channel" else slice(None) for cut in cuts]
            cells = list(map(covered, lines, channels))
            labels = [numbered(unit, *cut) for cut in cuts]
            layout = "along" if unit == "step" else "bars"
            found.append(Parts(f"{unit}s", replaced_by, labels, cells, layout))
        return _steps.save(cell, steps, transposed), found

    def drawing(self, sample: Callable[[], Iterable[Any]]) -> Callable[[Any], str]:
        # Which axis is time one cell alone may not tell.
        steps = Steps()
        steps.fit(sample())
        return lambda cell: _draw(steps.load(cell))


def _reads(form: Form, cell: Any) -> bool:
    """Whether a form can read a cell; one that it cannot counts as missing (`max_bad_rows`)."""
    try:
        form.encode(cell)
    except UserError:
        return False
    return True


def _draw(values: np.ndarray[Any, Any]) -> str:
    """The first CURVES channels of `(steps, channels)`, all on one scale."""
    values = values[:, :CURVES].astype(float)
    places = np.linspace(0, len(values) - 1, min(_drawing.POINTS, len(values)))
    low, high = float(values.min()), float(values.max())
    paths = []
    for channel, curve in enumerate(values.T):
        heights = 31 - 30 * (np.interp(places, np.arange(len(curve)), curve) - low) / (
            high - low or 1.0
        )
        points = " ".join(f"{i},{y:.1f}" for i, y in enumerate(heights))
        paths.append(f'<polyline class="c{channel}" points="{points}"/>')
    return _drawing.curves(len(places), "".join(paths))
