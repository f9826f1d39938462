"""A table behind an address that the user has named: fetched whole, kept by its content."""

from __future__ import annotations

import http.client
from hashlib import blake2b
from pathlib import Path
from urllib.parse import urlsplit

from polymodal.base.errors import MissingExtra, UserError
from polymodal.base.files import whole
from polymodal.table.fetch import Refused, fetch, struck

MOST = 2**30


def fetched(url: str, folder: Path) -> tuple[Path, str]:
    """The file that an address answers with, and the address that its relative paths start from.

    Args:
        folder: where the file is kept, called by its content.

    Raises:
        UserError: it cannot be fetched; no name or password is in the message.
    """
    try:
        parts = urlsplit(url)
        content = fetch(url, MOST, trusted=parts.hostname)
    except ImportError as error:
        raise MissingExtra(error.name or "fsspec", "url", f"Reading {struck(url)}") from error
    except (Refused, OSError, http.client.HTTPException, ValueError) as error:
        raise UserError(
            f"The table at {struck(url)} cannot be fetched",
            got=struck(f"{type(error).__name__}: {error}")[:300],
            do="check the address and the network, or download it",
        ) from error
    suffix = Path(parts.path).suffix.lower()
    path = folder / f"{blake2b(content, digest_size=16).hexdigest()}{suffix}"
    if not path.exists() or path.read_bytes() != content:
        with whole(path) as temporary:
            temporary.write_bytes(content)
    base = parts._replace(path=parts.path.rpartition("/")[0], query="", fragment="")
    return path, base.geturl()
