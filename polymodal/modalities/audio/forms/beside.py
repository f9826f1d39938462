"""A frozen model's outputs of a sound beside its descriptors."""

from __future__ import annotations

from typing import final

from polymodal.contract import beside


@final
class Beside(beside.Beside):
    """See `contract.beside.Beside`."""

    kind = "audio"
