"""A colour as three numbers."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.form import Form


@final
class Channels(Form):
    """A colour as float32 `(3,)`: red, green and blue from 0 to 1."""

    kind = "colour"
    dtype = "float32"
    ragged = False

    def encode(self, cell: str) -> np.ndarray[Any, Any]:
        try:
            return np.array([*bytes.fromhex(cell.removeprefix("#"))], np.float32) / 255
        except ValueError as error:
            raise UserError(f"'{cell}' is no colour", expected="such as #a1b2c3") from error
