"""Cells as forms take them, and the hash of a whole table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from polymodal.prepared.cache import Files
from polymodal.prepared.cells import digest
from polymodal.table.read import Table
from polymodal.table.schema import Column

IMAGE = Column("image", "image")


def test_a_digest_is_of_contents_however_they_are_stored(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(600)]
    for i, name in enumerate(names):
        (tmp_path / name).write_bytes(bytes([i % 256, i // 256]))

    def of(table: Any, base: Path = tmp_path) -> str:
        with Files(tmp_path / "cache") as files:
            return digest(Table(table, str(base), "t"), [IMAGE], files)

    table = pa.table({"image": names, "x": [None, *range(599)]})
    first = of(table)
    assert first == of(pa.concat_tables([table.slice(0, 300), table.slice(300)]))
    (tmp_path / "elsewhere").mkdir()
    for name in names:
        (tmp_path / "elsewhere" / name).write_bytes((tmp_path / name).read_bytes())
    assert first == of(table, tmp_path / "elsewhere")
    assert first != of(table.rename_columns(["image", "y"]))
    assert first != of(table.set_column(1, "x", pa.array([None, *range(598), 0])))
    (tmp_path / "599.png").write_bytes(b"another")
    assert first != of(table)
