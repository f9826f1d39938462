"""Cells as forms take them, and the hash of a whole table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from polymodal.prepared import cells
from polymodal.prepared.cells import Contents, digest
from polymodal.table.read import Table
from polymodal.table.schema import Column

IMAGE = Column("image", "image")


def test_a_digest_is_of_contents_however_they_are_stored(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(600)]
    for i, name in enumerate(names):
        (tmp_path / name).write_bytes(bytes([i % 256, i // 256]))

    def of(table: Any, base: Path = tmp_path) -> str:
        return digest(Contents(Table(table, str(base), "t"), tmp_path / "cache"), [IMAGE])

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


def test_a_column_is_hashed_once_and_its_parts_number_their_rows_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    table = Table(pa.table({"image": ["a.png", None, "gone.png", "a.png"]}), str(tmp_path), "t")
    asked: list[str] = []
    plain = cells.content_keys

    def counted(table: Table, column: Column, files: Any) -> Any:
        asked.append(column.name)
        return plain(table, column, files)

    monkeypatch.setattr(cells, "content_keys", counted)
    whole = Contents(table, tmp_path / "cache")
    keys, reasons = whole.keys(IMAGE)
    part = whole.slice(2, 4, [IMAGE])
    assert part.keys(IMAGE)[0] == keys[2:] == [None, keys[0]]
    assert list(reasons) == [2] and "row 2" in reasons[2]
    assert part.keys(IMAGE)[1] == {0: "row 0, column 'image': gone.png does not exist"}
    assert asked == ["image"]
