"""Files that tell whether they are still what was written: a hash goes with the content.

A disk, a copy or a hand changes a byte, and what is read back would answer otherwise without a
word. The hash finds that; it is no signature, and proves nothing about who wrote a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any

from polymodal.base.files import damaged, finite, read_json, write_json

SEAL = "seal"
_DIGEST = 16


def write(path: Path, described: Mapping[str, Any]) -> None:
    """Write a JSON object with the hash of its content under "seal"."""
    plain = json.loads(json.dumps(finite(described)))
    write_json(path, {**plain, SEAL: _of_json(plain)})


def read(path: Path) -> dict[str, Any]:
    """What `write` wrote, without its seal.

    Raises:
        UserError: another content, no seal, or no JSON object.
    """
    found = unchecked(path)
    check(path, found)
    return {key: value for key, value in found.items() if key != SEAL}


def unchecked(path: Path) -> dict[str, Any]:
    """The JSON object in a file, as it stands; UserError if there is none."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise damaged(path, TypeError(f"{type(found).__name__} instead of an object"))
    return found


def check(path: Path, found: Mapping[str, Any]) -> None:
    """UserError if what `unchecked` found is not what was written."""
    plain = {key: value for key, value in found.items() if key != SEAL}
    if found.get(SEAL) != _of_json(plain):
        raise damaged(path, ValueError("its content is not the one that was written"))


def hashed(path: Path) -> str:
    """The hash of a regular file's content; UserError if it cannot be read."""
    try:
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path.name}")
        with open(path, "rb") as file:
            return file_digest(file, lambda: blake2b(digest_size=_DIGEST)).hexdigest()
    except OSError as error:
        raise damaged(path, error) from error


def check_file(path: Path, known: str) -> None:
    """UserError if a file's hash is another than `known`."""
    if hashed(path) != known:
        raise damaged(path, ValueError("its content is not the one that was written"))


def _of_json(plain: Mapping[str, Any]) -> str:
    text = json.dumps(plain, sort_keys=True)
    return blake2b(text.encode(), digest_size=_DIGEST).hexdigest()
