"""Encoder: one modality's field to tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from typing import Any, ClassVar

from torch import Tensor, nn

from polymodal.base import lookup
from polymodal.contract.batch import Field, Tokens


class Encoder(nn.Module, ABC):
    """One modality's prepared field to tokens.

    Constructor: `(form: Form, width: int, *, options...)`. `forward` must give the same values at
    a real position whatever stands at masked ones, and must not mix rows (so no batch statistics
    at evaluation).

    Attributes:
        kind: folder under `modalities/`.
        form: the form's name that this encoder reads, under `modalities/<kind>/forms/`.
        words: True if the tokens are one per word of the text, so that a `tag` task can label
            them; of a class, if they are so given `words=True` as an option.
        steps: True if its tokens are one per position of the form, in order; marks of its own
            stand before them.
        timed: True if its tokens follow one another in time, one for 40 ms or less and the real
            ones first, so that speech can be written down along them; `lengths` counts them.
        spells: True if its tokens bring the cell itself along (`Tokens.spelled`).
        gridded: True if its tokens are places of a picture, line by line, as many in each line as
            there are lines, and each sees little but its own surroundings.
        causal: True if a token depends on no position after its own.
        bare: True if it may be built with None for its width: its tokens are then as wide as a
            pretrained model makes them, and not projected.
        width: of the tokens of one built so.
    """

    kind: ClassVar[str]
    form: ClassVar[str]
    words: bool = False
    steps: ClassVar[bool] = False
    timed: bool = False
    spells: ClassVar[bool] = False
    gridded: bool = False
    causal: ClassVar[bool] = False
    bare: ClassVar[bool] = False
    width: int

    def adapt(self, fields: Iterable[Field]) -> None:
        """Set data-dependent buffers (means, vocabularies) from training batches, before step 1."""

    def lengths(self, counts: Tensor) -> Tensor:
        """How many tokens rows of so many real positions have, where it is `timed`."""
        raise NotImplementedError(f"The tokens of {type(self).__name__} are not counted in time")

    @classmethod
    def suited(cls, asked: Collection[str]) -> dict[str, Any]:
        """Options under which it has what tasks ask of encoders ("words", "timed"): unless it says
        otherwise, those of the same names, set to true."""
        return {one: True for one in asked if lookup.options(cls).get(one) is False}

    @abstractmethod
    def forward(self, field: Field) -> Tokens:
        """Field -> Tokens `(batch, length, width)`.

        The model applies `field.present` itself: to the mask that comes in, so that an absent row
        has no real position, and to the tokens that go out.
        """
