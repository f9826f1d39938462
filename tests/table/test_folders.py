"""Folders: classes, tables beside media, parts of data sets; what is not read is said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polymodal.base.errors import UserError
from polymodal.table.read import read
from polymodal.table.readers import folders


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def fails(source: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(source)
    return str(caught.value)


@pytest.mark.parametrize("parts", [("train", "test"), ("Training", "Validation"), ("dev", "test"),
                                   ("train", "val", "test"), ("train",)])  # fmt: skip
def test_parts_of_a_data_set_are_no_classes(parts: tuple[str, ...], tmp_path: Path) -> None:
    make(tmp_path, *(f"{part}/{name}/{part}-{name}.png" for part in parts for name in "ab"))
    assert "parts of a data set" in fails(tmp_path)
    assert read(tmp_path / parts[0]).cells("label") == ["a", "b"]


def test_the_advice_names_the_parts(tmp_path: Path) -> None:
    make(tmp_path, "train/a/1.png", "val/a/1.png", "test/a/1.png", "extra/readme.txt")
    said = fails(tmp_path)
    assert f"{tmp_path}/train, with valid='{tmp_path}/val'" in said
    assert f"evaluate on {tmp_path}/test" in said


def test_parts_without_classes_and_parts_below_classes(tmp_path: Path) -> None:
    assert "parts" in fails(make(tmp_path / "flat", "train/1.png", "test/2.png"))
    below = make(tmp_path / "below", "cats/train/1.png", "cats/test/2.png", "dogs/train/3.png")
    assert "put the parts above" in fails(below)


def test_a_class_may_be_called_like_a_part(tmp_path: Path) -> None:
    make(tmp_path, "train/1.png", "bus/1.png", "car/deep/1.png")
    assert sorted(read(tmp_path).cells("label")) == ["bus", "car", "train"]


def test_shards_of_several_parts_are_not_mixed(tmp_path: Path) -> None:
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        pq.write_table(pa.table({"a": [name]}), tmp_path / f"{name}.parquet")
    said = fails(tmp_path)
    assert "test, train" in said and f"{tmp_path}/train*" in said
    assert len(read(f"{tmp_path}/train*")) == 2


@pytest.mark.parametrize("name", ["metadata.csv", "labels.csv", "Metadata.tsv", "metadata.jsonl",
                                  "train.csv"])  # fmt: skip
def test_a_table_beside_media_is_the_table(name: str, tmp_path: Path) -> None:
    make(tmp_path, "images/1.png", "images/2.png", "3.png")
    rows = [("images/1.png", "x"), ("images/2.png", "y"), ("3.png", "x")]
    if name.endswith("jsonl"):
        text = "".join(f'{{"file_name": "{a}", "kind": "{b}"}}\n' for a, b in rows)
    else:
        mark = "\t" if name.endswith("tsv") else ","
        text = "\n".join(mark.join(row) for row in [("file_name", "kind"), *rows])
    (tmp_path / name).write_text(text)
    table = read(tmp_path)
    assert table.cells("kind") == ["x", "y", "x"]
    assert [m.bytes() for m in table.media("file_name") if m] == [a.encode() for a, _ in rows]


def test_a_table_of_classes_is_not_the_table_of_their_media(tmp_path: Path) -> None:
    make(tmp_path, "cats/0.png", "dogs/1.png")
    (tmp_path / "class_indices.json").write_text('{\n "cats": 0,\n "dogs": 1\n}')
    assert folders.table_of(tmp_path, [".json", ".csv"]) is None
    make(tmp_path, "cats/tom.png")
    (tmp_path / "names.csv").write_text("who,age\ntom,3\n")
    assert folders.table_of(tmp_path, [".csv"]) == tmp_path / "names.csv"


@pytest.mark.parametrize(
    ("name", "content", "media"),
    [
        ("class_indices.json", '{"cats": 0, "dogs": 1}', ["cats/1.png", "dogs/one.png"]),
        ("class_indices.json", '{"0": "cats", "1": "dogs"}', ["cats/cats.png", "dogs/dogs.png"]),
        ("classes.csv", "class,legs\ncats,4\ndogs,4\n", ["cats/cats.png", "dogs/b.png"]),
        ("notes.csv", "when,what\n-1,a dog barked\n2.5,nothing\n", ["cats/-1.png", "dogs/2.5.png"]),
        ("notes.csv", "what\nthe dog barked at a cat\n", ["cats/cat.png", "dogs/dog.png"]),
        ("names.json", '{"cat1": "first", "dog1": "second"}', ["cats/cat1.png", "dogs/dog1.png"]),
    ],
)  # fmt: skip
def test_what_names_none_of_the_media_is_no_table_of_them(
    name: str, content: str, media: list[str], tmp_path: Path
) -> None:
    make(tmp_path, *media)
    (tmp_path / name).write_text(content)
    assert read(tmp_path).cells("label") == ["cats", "dogs"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.csv", "file,y\nscan1,a\nscan2,b\n"),
        ("list.csv", "y;file\na;scan1\nb;scan2\n"),
        ("list.csv", 'file,y\n"pictures/scan1.png",a\n"pictures/scan2.png",b\n'),
        ("list.csv", "file,y\npictures\\scan1.png,a\npictures\\scan2.png,b\n"),
        ("list.jsonl", '{"file": "scan1", "y": "a"}\n{"file": "scan2", "y": "b"}\n'),
        ("list.json", '[{"y": "a", "file": "scan1.png"}, {"y": "b", "file": "scan2.png"}]'),
    ],
)
def test_a_table_that_names_its_media_is_the_table(name: str, content: str, tmp_path: Path) -> None:
    make(tmp_path, "pictures/scan1.png", "pictures/scan2.png")
    (tmp_path / name).write_text(content)
    assert folders.table_of(tmp_path, (".csv", ".json", ".jsonl")) == tmp_path / name


def test_several_tables_are_named(tmp_path: Path) -> None:
    make(tmp_path, "1.png")
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text("image,y\n1.png,2\n")
    said = fails(tmp_path)
    assert "several tables" in said and "test.csv, train.csv" in said
    (tmp_path / "metadata.csv").write_text("image,y\n1.png,metadata\n")
    assert read(tmp_path).cells("y") == ["metadata"]


def test_loose_files_and_empty_classes_are_said(tmp_path: Path) -> None:
    make(tmp_path, "cats/1.png", "dogs/1.png", "3.png", "4.png", "notes.csv", ".DS_Store")
    (tmp_path / "birds").mkdir()
    table = read(tmp_path)
    assert table.cells("label") == ["cats", "dogs"]
    loose, empty = table.notes
    assert "3 files (such as '3.png') beside what is read" in loose
    assert "1 class folder (such as 'birds')" in empty
    assert table.take([0]).notes == table.notes


def test_check_says_what_a_folder_lacks(tmp_path: Path) -> None:
    from polymodal.checks.check import check
    from polymodal.table.infer import infer

    make(tmp_path, *(f"{name}/{i}.png" for name in ("cats", "dogs") for i in range(9)), "loose.png")
    table = read(tmp_path)
    found = check(table, infer(table, ["label"]), cache=tmp_path / "cache")
    assert any("beside what is read" in line for line in found.lines())


def test_a_class_that_may_not_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "cats/1.png", "dogs/deep/1.png", "birds/1.png")
    listed = Path.iterdir

    def refuse(path: Path) -> Any:
        if path.name == "deep":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    said = fails(tmp_path)
    assert "deep cannot be read (Permission denied)" in said


def test_links_are_followed_but_never_in_a_circle(tmp_path: Path) -> None:
    make(tmp_path, "elsewhere/1.png", "set/cats/2.png", "set/dogs/3.png")
    os.symlink(tmp_path / "elsewhere", tmp_path / "set" / "birds")
    os.symlink(tmp_path / "set" / "cats", tmp_path / "set" / "cats" / "again")
    assert read(tmp_path / "set").cells("image") == ["birds/1.png", "cats/2.png", "dogs/3.png"]


def test_media_without_classes_can_be_predicted(tmp_path: Path) -> None:
    table = read(make(tmp_path, "1.png", "2.png", "readme.txt"))
    assert table.names == ["image"] and table.cells("image") == ["1.png", "2.png"]
    assert "1 file (such as 'readme.txt')" in table.notes[0]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.arrow", "a.tar"])
def test_a_table_of_holes_is_refused_at_once(name: str, tmp_path: Path) -> None:
    with open(tmp_path / name, "wb") as file:
        file.truncate(2**40)
    assert "nearly empty" in fails(tmp_path / name)


def test_pipes_among_the_media_are_named(tmp_path: Path) -> None:
    make(tmp_path, "cats/1.png", "dogs/1.png")
    os.mkfifo(tmp_path / "cats" / "2.png")
    assert "cats/2.png" in fails(tmp_path)
    assert folders.table_of(tmp_path, (".csv",)) is None
