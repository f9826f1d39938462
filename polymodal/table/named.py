"""A table as it was named, before it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Named:
    """A table that is not read yet: whoever reads it knows how it is encoded.

    Attributes:
        source: as `polymodal.table.read.read` takes it.
        allow_urls: whether to fetch what its cells name.
    """

    source: Any
    allow_urls: bool = False
