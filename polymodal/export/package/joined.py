"""A frozen model's outputs beside fixed features: `contract.beside` in an exported model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polymodal.contract.answers import Array
from polymodal.contract.form import Form
from polymodal.contract.joining import join, vector


class Joined(Form):
    """Two forms' arrays as one.

    Args:
        frozen, plain: the forms, with what they learned.
    """

    dtype = "float32"

    def __init__(self, frozen: Form, plain: Form) -> None:
        self.made_of, self.ragged = (frozen, plain), plain.ragged

    def encode(self, cell: Any) -> Array:
        return self.encode_many([cell])[0]

    def encode_many(self, cells: Sequence[Any]) -> list[Array]:
        frozen, plain = (form.encode_many(cells) for form in self.made_of)
        return [join(vector(a), b, self.ragged) for a, b in zip(frozen, plain, strict=True)]
