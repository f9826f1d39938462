"""Files that stand in a cell themselves: data URIs, and base64."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from polymodal.base.errors import UserError
from polymodal.contract.kind import kinds

# Shorter texts of these letters are words, not files.
SHORTEST = 64
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_HEAD = 64


def decoded(text: str) -> bytes | None:
    """The file that a text is in full; None if it is none. UserError at a broken data URI."""
    if text[:5].lower() == "data:":
        kind, comma, rest = text.partition(",")
        if not comma:
            raise UserError(
                "A cell is a broken data URI", expected="data:image/png;base64,...", got=text[:40]
            )
        if not kind.lower().endswith(";base64"):
            return unquote_to_bytes(rest)
        content = _from_base64(unquote_to_bytes(rest).decode("latin-1"))
        if content is None:
            raise UserError(
                "A cell is a broken data URI", expected="base64 after the comma", got=rest[:40]
            )
        return content
    if not looks_inline(text):
        return None
    head = _from_base64(text[: 4 * (_HEAD // 3 + 1)])
    if head is None or not any(kind.opens(head) for kind in kinds().values()):
        return None
    return _from_base64(text)


def looks_inline(text: str) -> bool:
    """Whether a text may be a file itself, by its first letters."""
    if text[:5].lower() == "data:":
        return True
    start = "".join(text[: 2 * SHORTEST].split())
    return len(start) >= SHORTEST and _BASE64.fullmatch(start) is not None


def _from_base64(text: str) -> bytes | None:
    """The bytes, of either alphabet, with or without the marks that fill the end; None if none."""
    letters = "".join(text.split()).rstrip("=")
    letters += "=" * (-len(letters) % 4)
    try:
        return base64.b64decode(letters.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return None
