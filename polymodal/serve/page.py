"""The page at /: inputs made from the run's schema, its answer, and what carried it."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

CONTENT = files("polymodal.serve").joinpath("page.html").read_bytes()


def _hashes(tag: str) -> str:
    """What the page holds in elements of a tag, as a content security policy names it."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>".encode(), CONTENT, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(one).digest()).decode() for one in found)
    return " ".join(f"'sha256-{one}'" for one in digests)


HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": (
        f"default-src 'none'; script-src {_hashes('script')}; style-src {_hashes('style')}; "
        "img-src 'self' blob: data:; media-src blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
}
