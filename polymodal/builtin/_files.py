"""What the built-in sets share: checks, no repeated files, and the way to a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from polymodal.base.errors import UserError
from polymodal.base.lookup import unknown
from polymodal.builtin import _render

Cells = dict[str, Any]
Content = TypeVar("Content", str, bytes, np.ndarray)
SPLITS: Mapping[str, float] = MappingProxyType({"train": 0.8, "test": 0.2})


def check(rows: int, seed: int) -> None:
    """UserError unless this many rows can be drawn from this seed."""
    if rows < 1:
        raise UserError(
            "A data set needs at least one row", expected="rows of at least 1", got=str(rows)
        )
    if seed < 0:
        raise UserError("A seed is never negative", expected="0, 1, 2, ...", got=str(seed))


def write(
    folder: str | Path,
    rows: Iterable[Cells],
    suffixes: Mapping[str, str],
    splits: Mapping[str, int],
) -> dict[str, Path]:
    """Write every media cell to a file of its own and every split to `<split>.csv`.

    Media files are `<column>/<row number>.<suffix>`; cells hold their paths relative to the
    folder. Files of the same name are replaced. The tables are written last, so that an
    interrupted call leaves none that names a missing file.

    Args:
        rows: column -> value, streamed: only what the tables hold stays in memory.
        suffixes: media column -> file suffix.
        splits: name -> how many of the rows, in the order of `rows`.

    Returns:
        Split -> path of its table.

    Raises:
        UserError: the folder cannot be written to.
    """
    import pandas as pd

    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for column in suffixes:
            (folder / column).mkdir(exist_ok=True)
        table = pd.DataFrame([_store(folder, i, row, suffixes) for i, row in enumerate(rows)])
        paths, first = {}, 0
        for split, count in splits.items():
            paths[split] = folder / f"{split}.csv"
            part = table.iloc[first : first + count]
            part.to_csv(paths[split], index=False, encoding="utf-8", lineterminator="\n")
            first += count
    except OSError as error:
        raise UserError(
            f"The built-in data could not be written to '{folder}'",
            expected="a folder that can be made and written to, on a disk with room",
            got=str(error),
            do="give another folder",
        ) from error
    return paths


def choose(what: str, name: str, known: Collection[str]) -> None:
    """UserError unless `name` is one of the known ones; `what` says of which sort."""
    if name not in known:
        raise unknown(f"There is no {what} '{name}'", name, known, "choose one of these")


def divide(rows: int, shares: Mapping[str, float]) -> dict[str, int]:
    """How many of the rows each split gets; the last takes what rounding leaves.

    Raises:
        UserError: the shares are not positive or do not add up to 1, or leave a split empty.
    """
    if not shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise UserError(
            "The splits' shares do not divide the rows",
            expected="positive numbers that add up to 1, such as {'train': 0.8, 'test': 0.2}",
            got=repr(dict(shares)),
        )
    bounds = np.rint(np.cumsum([0.0, *shares.values()]) * rows).astype(int)
    counts = dict(zip(shares, np.diff(bounds).tolist(), strict=True))
    if min(counts.values()) < 1:
        raise UserError(
            f"{rows} rows are too few for the splits {', '.join(shares)}",
            expected="at least one row in each",
            got=repr(counts),
            do="ask for more rows",
        )
    return counts


def unseen(draw: Callable[[], Content], seen: set[bytes]) -> Content:
    """What `draw` returns, drawn again if it came before, so that no two rows share it."""
    while True:
        content = draw()
        data = content if isinstance(content, bytes) else _bytes(content)
        key = hashlib.blake2b(data, digest_size=16).digest()
        if key not in seen:
            seen.add(key)
            return content


def _bytes(content: str | np.ndarray) -> bytes:
    return content.encode() if isinstance(content, str) else content.tobytes()


def _store(folder: Path, number: int, row: Cells, suffixes: Mapping[str, str]) -> Cells:
    """Write a row's media cells; the row with paths in their places."""
    paths = {column: f"{column}/{number:06d}.{suffix}" for column, suffix in suffixes.items()}
    for column, path in paths.items():
        value = row[column]
        data = value if isinstance(value, bytes) else _render.npy(value)
        (folder / path).write_bytes(data)
    return {**row, **paths}
