"""A small network on the fixed descriptors of a series: cheap and strong on small data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.series.forms.summary import Summary
from polymodal.nn.masked import Descriptors


class Statistics(Encoder):
    """`series/summary`, standardised, to one token.

    Args:
        form: the fitted form.
        width: of the token.
        hidden: units of the hidden layer.
        dropout: of the descriptors and of the hidden layer.
    """

    kind: ClassVar[str] = "series"
    form: ClassVar[str] = "summary"

    def __init__(
        self, form: Summary, width: int, *, hidden: int = 128, dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.descriptors = Descriptors(form.size, width, hidden, dropout)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.descriptors.scale.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, size)` -> Tokens `(batch, 1, width)`."""
        tokens: Tokens = self.descriptors(field)
        return tokens
