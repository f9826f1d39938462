"""Captions in the forms in which data sets publish them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from polymodal.table.infer import infer
from polymodal.table.read import read

TEXTS = ["a dog runs", "one dog", "a cat sleeps", "some cat"]


def pictures(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(b"\xff\xd8\xff" + name.encode())


def test_coco_is_a_row_a_picture_with_all_its_captions(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": name} for i, name in ((7, "a.jpg"), (8, "b.jpg"))]
    notes = [{"image_id": 7 + i // 2, "caption": text} for i, text in enumerate(TEXTS)]
    path = tmp_path / "captions.json"
    path.write_text(json.dumps({"info": {}, "images": images, "annotations": notes}))
    table = read(path)
    assert table.cells("file_name") == ["a.jpg", "b.jpg"]
    assert table.cells("caption") == [TEXTS[:2], TEXTS[2:]]


def test_numbers_of_captions_are_no_part_of_files_names(tmp_path: Path) -> None:
    names = ["a.jpg#0", "a.jpg#1", "b.jpg#0", "b.jpg#1"]
    rows, path = zip(names, TEXTS, strict=True), tmp_path / "captions.tsv"
    path.write_text("image\tcaption\n" + "".join(f"{n}\t{t}\n" for n, t in rows))
    assert read(path).cells("image") == ["a.jpg", "a.jpg", "b.jpg", "b.jpg"]
    # One that is a name as it stands, or no file's, leaves all as they are.
    assert read({"image": ["a.jpg#0", "b.jpg"]}).cells("image") == ["a.jpg#0", "b.jpg"]
    assert read({"code": ["v1.5#2", "v1.5#3"]}).cells("code") == ["v1.5#2", "v1.5#3"]


@pytest.mark.parametrize("place", ["Images", "../photos"])
def test_pictures_are_found_in_the_one_folder_that_holds_them(tmp_path: Path, place: str) -> None:
    base = tmp_path / "set"
    pictures(base / place)
    base.mkdir(exist_ok=True)
    path = base / "captions.csv"
    path.write_text("image,caption\na.jpg,a dog\nb.jpg,a cat\n")
    table = read(path)
    found = [one.path or "" for one in table.media("image") if one is not None]
    assert len(found) == 2 and all(Path(one).exists() for one in found)
    assert table.notes == (f"Files such as 'a.jpg' are read from {table.base}",)
    # One in the table's folder goes before one beside it.
    pictures(tmp_path / "elsewhere")
    pictures(base / "Images")
    assert read(path).base == str(base / "Images")
    # In two folders it is not known which is meant; beside the table nothing is looked for.
    pictures(base / "other")
    assert read(path).base == str(base)
    assert str(base / "other") in read(path).notes[0] and "several" in read(path).notes[0]
    pictures(base)
    assert read(path).base == str(base) and not read(path).notes


def test_a_few_pictures_may_be_lost(tmp_path: Path) -> None:
    pictures(tmp_path / "Images")
    path = tmp_path / "captions.csv"
    for lost, there in (("c.jpg", True), ("c.jpg\nd.jpg", False)):
        path.write_text(f"image\na.jpg\nb.jpg\n{lost}\n")
        assert (read(path).base == str(tmp_path / "Images")) is there


@pytest.mark.parametrize("start", [0, 1])
def test_what_counts_the_captions_of_a_picture_is_no_input(start: int) -> None:
    names, texts = [f"{c}.jpg" for c in "aaabbb"], [*TEXTS, "dogs run", "cats sleep"]
    columns = {"image": names, "number": [start, start + 1, start + 2] * 2, "caption": texts}
    schema = infer(read(columns), ["caption"], {"caption": "text"})
    assert schema.skipped["number"].startswith("counts the rows of one 'image'; if it says more: ")
    assert "`kind number=number`" in schema.skipped["number"]
    # Other numbers are inputs, and so are these where something else is to be told.
    assert infer(read(columns), [], {"caption": "text"}).column("number")
    others = pa.table({**columns, "number": [0, 1, 2, 5, 3, 4]})
    assert infer(read(others), ["caption"], {"caption": "text"}).column("number")
    assert infer(read({**columns, "caption": list("xyxyxy")}), ["caption"]).column("number")
    assert infer(read(columns), ["caption"], {"caption": "text", "number": "number"}).column(
        "number"
    )


@pytest.mark.parametrize(
    ("images", "numbers"),
    [
        ("aabbcc", [0, 1] * 3),  # a style of each of two
        ("aabcdefg", [0, 1, 0, 0, 1, 0, 1, 0]),  # a flag, and one picture twice
        ("aaabcdefg", [0, 1, 2, 0, 0, 0, 0, 0, 0]),  # hardly any picture twice
        ("aaabbb", [0, 1, 2, 1, 2, 3]),  # no common start
        ("aaabbb", [0, 1, 2, 0, 1, 1]),
    ],
)
def test_what_may_say_something_of_a_picture_is_an_input(images: str, numbers: list[int]) -> None:
    names, texts = [f"{c}.jpg" for c in images], [f"text {c}{i}" for i, c in enumerate(images)]
    columns = {"image": names, "number": numbers, "caption": texts}
    assert infer(read(columns), ["caption"], {"caption": "text"}).column("number")
