"""Cells as clients give them to cells as a pipeline takes them: a file is its bytes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polymodal.serve.errors import Refused


@dataclass(frozen=True)
class Limits:
    """What a request may hold.

    Attributes:
        body: bytes of a request.
        file: bytes of a file.
        held: bytes of all requests that are being read.
        rows: of one request.
        explained: rows of a request for explanations, which cost as much as many predictions.
        text: characters of a cell.
        numbers: in a list.
        requests: that are in hand at once.
    """

    body: int = 64 * 2**20
    file: int = 20 * 2**20
    held: int = 512 * 2**20
    rows: int = 256
    explained: int = 4
    text: int = 100_000
    numbers: int = 1_000_000
    requests: int = 512

    @property
    def encoded(self) -> int:
        """Characters of a file in base64, with what stands before it."""
        return self.file * 4 // 3 + 256


def cell(column: Mapping[str, Any], value: Any, place: str, limits: Limits) -> Any:
    """A checked cell of JSON as a pipeline takes it; Refused if it is to be a file and is none.

    Args:
        place: where it stands in the request.
    """
    if "file" not in column["given"] or not isinstance(value, str):
        return value
    return file(decoded(value, place), place, limits)


def file(content: bytes, place: str, limits: Limits) -> bytes:
    """The bytes of a file; Refused if there are none, or too many."""
    if not content:
        raise Refused(400, f"{place}: the file is empty", param=place, code="empty_file")
    if len(content) > limits.file:
        raise too_large(place, limits)
    return content


def too_large(place: str, limits: Limits) -> Refused:
    """A file that is."""
    what = f"{place}: the file is larger than {limits.file / 2**20:,.0f} MiB"
    return Refused(413, what, param=place, code="too_large")


def decoded(text: str, place: str) -> bytes:
    """The file in a text: a data URL, or base64 alone. Nothing is fetched, and nothing opened."""
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            text = "-"
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        what = f"{place}: a file is given as base64 or as a data URL of base64, not by its name"
        raise Refused(400, what, param=place, code="invalid_file") from None
