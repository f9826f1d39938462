"""WebDataset tar shards."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from polymodal.base.errors import UserError
from polymodal.table.media import kind_of_name
from polymodal.table.readers.memory import from_rows

_END = bytes(512)
LARGEST = 64 * 2**20  # bytes of one text


def read_tar(path: Path) -> pa.Table:
    """A WebDataset shard: members of one key are one row, named by their suffixes.

    .json objects become columns, .txt and .cls strings, media `{"tar", "offset", "size"}` that is
    read by seeking. The key is in column "__key__".

    Raises:
        UserError: not a plain tar, cut short, with links or with names that leave the archive, or
            with members of unknown kind.
    """
    rows: dict[str, dict[str, Any]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.isdir():
                    continue
                _refuse(path, member)
                name = PurePosixPath(member.name)
                stem, _, suffix = name.name.partition(".")
                key = (name.parent / stem).as_posix()
                row = rows.setdefault(key, {"__key__": key})
                for column, value in _columns(path, tar, member, suffix.lower()).items():
                    if column in row:
                        raise UserError(f"{path}: sample '{key}' has '{column}' twice")
                    row[column] = value
            end = tar.offset
    except tarfile.TarError as error:
        raise UserError(
            f"{path} is not a whole, uncompressed tar archive ({error})",
            do="write or download it again; unpack .tar.gz, since members are read in place",
        ) from error
    with open(path, "rb") as file:
        # tarfile takes a file that ends between two members, or in a header, for a whole one.
        file.seek(end)
        if file.read(512) != _END:
            raise UserError(
                f"{path} is cut short",
                expected="an archive that ends in empty blocks",
                got=f"{os.path.getsize(path)} bytes, {len(rows)} samples",
                do="write or download it again",
            )
    return from_rows(list(rows.values()), str(path))


def _refuse(path: Path, member: tarfile.TarInfo) -> None:
    name = PurePosixPath(member.name)
    if not member.isfile() or member.issparse() or name.is_absolute() or ".." in name.parts:
        raise UserError(
            f"{path} has a member that is refused: '{member.name}'",
            expected="plain files with relative names",
            got="a link or device" if not member.isfile() else "a name that leaves the archive",
        )


def _columns(
    path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, suffix: str
) -> dict[str, Any]:
    """What one member adds to its row."""
    kind = suffix.rpartition(".")[2]
    if kind_of_name("x." + kind):
        place = {"tar": str(path.resolve()), "offset": member.offset_data, "size": member.size}
        return {suffix: place}
    if kind not in ("json", "txt", "cls"):
        raise UserError(
            f"{path} has a member of unknown kind: '{member.name}'",
            expected="media, .json, .txt or .cls",
        )
    if member.size > LARGEST:
        raise UserError(
            f"{path}: member '{member.name}' is too large",
            expected=f"texts of at most {LARGEST // 2**20} MiB",
            got=f"{member.size / 2**20:,.0f} MiB",
        )
    file = tar.extractfile(member)
    assert file is not None  # a plain file
    try:
        text = file.read().decode()
        if kind != "json":
            return {suffix: text.strip()}
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or nested without end
        said = str(error)[:200]
        raise UserError(f"{path}: member '{member.name}' is broken ({said})") from error
    return value if isinstance(value, dict) else {suffix: value}
