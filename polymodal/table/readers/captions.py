"""Names of media as data sets publish them: Flickr's numbers, and folders that are not said."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from polymodal.base.arrow import is_text
from polymodal.table.media import kind_of_name

# "1000268201_693b08cb0e.jpg#3": the fourth caption of a picture.
_NUMBERED = re.compile(r"(.+\.\w+)#\d+")
# Names that are looked for in another folder, and folders that are looked into.
SAMPLE, FOLDERS = 20, 100
# Folders that are named where several hold the same files.
SHOWN = 5


def unnumbered(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column whose texts are all names of files with the number of a text, as Flickr has them
    ("a.jpg#0"), without the numbers; any other as it is."""
    if not is_text(column.type):
        return column
    first = next((cell.as_py() for cell in column if cell.is_valid), "")
    match = _NUMBERED.fullmatch(first.strip())
    if match is None or kind_of_name(match[1]) is None:
        return column
    numbered = pc.match_substring_regex(column, r"^\s*.+\.\w+#\d+\s*$")
    if not pc.all(numbered, min_count=1).as_py():
        return column
    return pc.replace_substring_regex(column, r"#\d+\s*$", "")


def folder_of(columns: Sequence[pa.ChunkedArray], base: str) -> tuple[str, tuple[str, ...]]:
    """The folder that names of files start from, and what to say of it.

    It is `base` where any of a column's first names is there. Else it is the one folder in it, or
    where none in it is, the one beside it, that holds most of them: the others may be lost.
    """
    for column in columns:
        if not is_text(column.type):
            continue
        cells = (cell.as_py() for cell in column if cell.is_valid)
        names = [cell.strip() for cell in islice(cells, SAMPLE)]
        if not names or not all(kind_of_name(one) and not os.path.isabs(one) for one in names):
            continue
        if any(os.path.exists(os.path.join(base, one)) for one in names):
            continue
        for place in (Path(base), Path(base).absolute().parent):
            found = _holding(_folders(place), names)
            if len(found) == 1:
                return str(found[0]), (f"Files such as '{names[0]}' are read from {found[0]}",)
            if found:
                shown = ", ".join(map(str, found[:SHOWN])) + ", ..." * (len(found) > SHOWN)
                what = f"Files such as '{names[0]}' are not in {base}, and in several others"
                return base, (f"{what}: {shown}. Write in the table in which of them they are",)
    return base, ()


def _holding(folders: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """The folders that hold more of the names than others do, and more than half."""
    held = {one: sum((one / name).is_file() for name in names) for one in folders}
    most = max([len(names) // 2 + 1, *held.values()])
    return sorted(one for one, count in held.items() if count == most)


def _folders(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            return [Path(one.path) for one in islice((e for e in entries if e.is_dir()), FOLDERS)]
    except OSError:
        return []  # one that may not be listed holds nothing that could be read
