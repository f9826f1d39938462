"""A frozen pretrained model's outputs, projected."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.modalities.text.forms.frozen import Frozen as Outputs
from polymodal.nn import pretrained
from polymodal.nn.masked import Standardise


class Frozen(Encoder):
    """A linear projection of what the form holds, standardised: one token a text or a word.

    Args:
        form: text/frozen; its `pool` says whether there is one vector a text or one a word.
        width: of the tokens.
        words: insist on one token a word, as labelling words needs.
        dropout: of the model's outputs.
    """

    kind = "text"
    form = "frozen"
    words = True

    def __init__(
        self, form: Form, width: int, *, words: bool = False, dropout: float = 0.1
    ) -> None:
        super().__init__()
        assert isinstance(form, Outputs)
        if words and form.pool != "words":
            raise UserError(
                "A frozen model's pooled output has no vector a word to label",
                expected="form: {pool: words}",
                got=f"pool: {form.pool}",
                do="set it in the recipe, beside `pretrained`",
            )
        size = pretrained.width(form.path, kind="text")
        self.scale = Standardise(size)
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(size, width))

    def adapt(self, fields: Iterable[Field]) -> None:
        self.scale.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """`(batch, length, size)` -> Tokens `(batch, length, width)`."""
        assert field.mask is not None
        return Tokens(self.project(self.scale(field)), field.mask)
