"""Components of the user's own that a run was fitted with: their files travel in its folder.

They are the only code that loading a run may execute, and only for who trusts them.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterable
from hashlib import blake2b
from pathlib import Path

from polymodal.base import files, lookup
from polymodal.base.errors import UserError

FOLDER = "code"
# What `packed` calls a copy: the file's own name and a hash of its content.
COPY = re.compile(r"[^/\\]+_[0-9a-f]{8}\.py")


def packed(name: str, folder: Path) -> str:
    """A component's name; of a "file.py:Class" the file is copied to `folder`/code and named
    there."""
    own = lookup.own(name)
    return name if own is None else f"{_copied(Path(own[0]), folder)}:{own[1]}"


def contents(names: Iterable[str]) -> dict[str, str]:
    """The hash of every file that components' names name; one that is not there is not in it."""
    found = (own[0] for name in names if (own := lookup.own(name)) is not None)
    return {file: _hash(Path(file)) for file in found if Path(file).is_file()}


def clear(folder: Path, keep: Collection[str]) -> None:
    """Remove the copies in `folder`/code, but none that `keep` names and no file of the user's."""
    own = folder / FOLDER
    kept = {Path(file).resolve() for file in keep}
    for file in own.glob("*.py"):
        if file.stem.endswith(f"_{_hash(file)}") and file.resolve() not in kept:
            file.unlink()
    if own.exists() and not any(own.iterdir()):
        own.rmdir()


def unpacked(name: str, folder: Path, trust: bool) -> str:
    """The name as `lookup.find` takes it: of a file in `folder`/code the path.

    Raises:
        UserError: it names a file and there is no `trust`, or the file lies elsewhere.
    """
    own = placed(name, folder)
    if own is None:
        return name
    if not trust:
        raise UserError(
            f"'{folder}' brings Python code of its own, which loading it would execute",
            expected="a run of built-in components only",
            got=name,
            do="read that file; if you trust it, load the run with `trust`",
        )
    return own


def placed(name: str, folder: Path) -> str | None:
    """What `unpacked` returns for who trusts the file; None for a built-in's name.

    Raises:
        UserError: it is no name of a component, or of a file that lies elsewhere.
    """
    own = lookup.own(name)
    if own is None:
        if lookup.BUILTIN.fullmatch(name):
            return None
        raise _tampered(folder, name, "names of components, built in or as code/my_file.py:MyClass")
    path = folder / own[0]
    if path.resolve().parent != (folder / FOLDER).resolve():
        what = f"files in {folder / FOLDER}"
        raise _tampered(folder, name, what, "names a file outside of its own folder")
    return f"{path}:{own[1]}"


def _tampered(
    folder: Path, name: str, expected: str, what: str = "names what is no component"
) -> UserError:
    return UserError(
        f"'{folder}' {what}",
        expected=expected,
        got=repr(name)[:200],
        do="do not use this run: it was tampered with",
    )


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
