"""Components of the user's own that a run was fitted with: their files travel in its folder.

They are the only code that loading a run may execute, and only for who trusts them.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from hashlib import blake2b
from pathlib import Path
from typing import Any

from polymodal.base import files
from polymodal.base.errors import UserError

FOLDER = "code"
NAME = re.compile(r"(.+\.py):([A-Za-z_]\w*)")


def packed(described: Any, folder: Path) -> Any:
    """A description with every file of a "file.py:Class" copied to `folder`/code and named there.

    Args:
        described: anything that JSON can hold, of component names and their options.
    """
    return _mapped(described, lambda file, cls: f"{_copied(Path(file), folder)}:{cls}")


def contents(described: Any) -> dict[str, str]:
    """The hash of every file that a description names; one that is not there is not in it."""
    found = {}

    def hashed(file: str, cls: str) -> None:
        if Path(file).is_file():
            found[file] = _hash(Path(file))

    _mapped(described, hashed)
    return found


def clear(folder: Path, keep: Collection[str]) -> None:
    """Remove the copies in `folder`/code, but none that `keep` names and no file of the user's."""
    own = folder / FOLDER
    kept = {Path(file).resolve() for file in keep}
    for file in own.glob("*.py"):
        if file.stem.endswith(f"_{_hash(file)}") and file.resolve() not in kept:
            file.unlink()
    if own.exists() and not any(own.iterdir()):
        own.rmdir()


def unpacked(described: Any, folder: Path, trust: bool) -> Any:
    """The description with the names in `folder`/code made paths that `lookup.find` takes.

    Raises:
        UserError: there is such a name and no `trust`, or it leads elsewhere.
    """

    def placed(file: str, cls: str) -> str:
        path = folder / file
        if path.resolve().parent != (folder / FOLDER).resolve():
            raise UserError(
                f"'{folder}' names a file outside of its own folder",
                expected=f"files in {folder / FOLDER}",
                got=file,
                do="do not use this run: it was tampered with",
            )
        if not trust:
            raise UserError(
                f"'{folder}' brings Python code of its own, which loading it would execute",
                expected="a run of built-in components only",
                got=file,
                do="read that file; if you trust it, load the run with `trust`",
            )
        return f"{path}:{cls}"

    return _mapped(described, placed)


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return {key: _mapped(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_mapped(inner, change) for inner in value]
    if isinstance(value, str) and (found := NAME.fullmatch(value)):
        return change(*found.groups())
    return value


def _hash(file: Path) -> str:
    return blake2b(file.read_bytes(), digest_size=4).hexdigest()


def _copied(file: Path, folder: Path) -> str:
    """Copy a file under a name that holds its content's hash: two of one name may differ."""
    mark = _hash(file)
    stem = file.stem if file.stem.endswith(mark) else f"{file.stem}_{mark}"
    target = folder / FOLDER / f"{stem}.py"
    if not target.exists():
        files.make_folder(target.parent)
        with files.whole(target) as temporary:
            shutil.copyfile(file, temporary)
    return f"{FOLDER}/{stem}.py"
