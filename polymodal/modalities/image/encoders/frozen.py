"""A frozen pretrained model's output, projected."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.modalities.image.forms.frozen import Frozen as Output
from polymodal.nn import pretrained
from polymodal.nn.masked import Standardise


class Frozen(Encoder):
    """A linear projection of what the form holds, standardised: one token a picture.

    Args:
        form: image/frozen.
        width: of the token.
        dropout: of the model's output.
    """

    kind = "image"
    form = "frozen"

    def __init__(self, form: Form, width: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        assert isinstance(form, Output)
        size = pretrained.width(form.path, kind="image")
        self.scale = Standardise(size)
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(size, width))

    def adapt(self, fields: Iterable[Field]) -> None:
        self.scale.adapt(_by_row(field) for field in fields)

    def forward(self, field: Field) -> Tokens:
        """`(batch, 1, size)` -> Tokens `(batch, 1, width)`."""
        values = self.project(self.scale(_by_row(field)))
        return Tokens(values.unsqueeze(1), field.present.unsqueeze(1))


def _by_row(field: Field) -> Field:
    return Field(field.data.squeeze(1), None, field.present)
