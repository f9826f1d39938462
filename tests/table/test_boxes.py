"""Boxes as people write them, and annotations as COCO has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from polymodal.base.errors import UserError
from polymodal.table.boxes import listed, written
from polymodal.table.read import read

DOG, CAT = (1.0, 2.0, 3.0, 4.5, "dog"), (5.0, 6.0, 7.0, 8.0, "cat")
ROWS = [[*DOG], [*CAT]]
MAPPINGS = [{"bbox": [*one[:4]], "category": one[4]} for one in (DOG, CAT)]
TOGETHER = {"bbox": [[*DOG[:4]], [*CAT[:4]]], "category": ["dog", "cat"]}


@pytest.mark.parametrize(
    "cell",
    [
        ROWS,
        (DOG, CAT),
        np.array(ROWS, object),
        MAPPINGS,
        [{"box": [*one[:4]], "label": one[4]} for one in (DOG, CAT)],
        TOGETHER,
        {"boxes": np.array(TOGETHER["bbox"]), "labels": TOGETHER["category"]},
    ],
)
def test_every_way_to_write_boxes(cell: Any) -> None:
    assert listed(cell) == [(*DOG, None), (*CAT, None)]
    if isinstance(cell, list | dict) and "boxes" not in cell:
        assert listed(json.dumps(cell)) == listed(repr(cell)) == listed(cell)


def test_scores_numbers_for_classes_and_nothing_at_all() -> None:
    assert listed('[[1, 2, 3, 4, "dog", 0.25]]') == [(1, 2, 3, 4, "dog", 0.25)]
    assert listed([[1, 2, 3, 4, 7]]) == listed([[1, 2, 3, 4, "7"]]) == [(1, 2, 3, 4, "7", None)]
    assert listed("[]") == listed([]) == listed({"bbox": [], "category": []}) == []
    assert listed(written(listed(ROWS) or [])) == listed(ROWS)
    assert listed(written(listed([[1, 2, 3, 4, "dog", 0.5]]) or [])) == [(1, 2, 3, 4, "dog", 0.5)]


@pytest.mark.parametrize(
    "cell",
    [
        *(
            "dog",
            "",
            "[1, 2",
            3.5,
            [1, 2, 3, 4, "dog"],
            [[1, 2, 3, "dog"]],
            [[1, 2, 3, "x", "dog"]],
        ),
        *([[1, 2, 3, float("nan"), "dog"]], [[1, 2, 3, True, "dog"]], [[1, 2, 3, 4, None]]),
        *([{"bbox": [1, 2, 3, 4]}], {"bbox": [[1, 2, 3, 4]], "category": []}, ["dog"], "{'a': 1}"),
        *("[" * 50_000, f"[[1, 2, 3, {'9' * 400}, 'dog']]"),
    ],
)
def test_what_spells_no_boxes(cell: Any) -> None:
    assert listed(cell) is None


def test_lists_that_mix_numbers_and_classes_are_read_from_any_table(tmp_path: Path) -> None:
    rows = [{"photo": "a.png", "boxes": ROWS}, {"photo": "b.png", "boxes": []}, {"photo": "c.png"}]
    lines = tmp_path / "rows.jsonl"
    lines.write_text("\n".join(map(json.dumps, rows)))
    for table in (read(rows), read(lines)):
        cells = table.cells("boxes")
        assert [None if cell is None else listed(cell) for cell in cells] == [
            listed(ROWS),
            [],
            None,
        ]


def coco(folder: Path, **changes: Any) -> Path:
    """Two pictures with a box and a crowd, in a folder beside that of the annotations."""
    (folder / "images").mkdir()
    (folder / "annotations").mkdir()
    for name in ("0.png", "1.png"):
        Image.new("RGB", (30, 20)).save(folder / "images" / name)
    box = {"image_id": 4, "category_id": 18, "bbox": [1, 2, 3, 4], "iscrowd": 0}
    found = {
        "images": [{"id": 4, "file_name": "0.png"}, {"id": 9, "file_name": "1.png"}],
        "categories": [{"id": 18, "name": "dog"}],
        "annotations": [{**box, "id": 1}, {**box, "id": 2, "image_id": 9, "iscrowd": 1}],
    }
    path = folder / "annotations" / "instances_train.json"
    path.write_text(json.dumps(found | changes))
    return path


def test_boxes_of_a_file_of_coco(tmp_path: Path) -> None:
    table = read(coco(tmp_path))
    assert table.cells("boxes") == ['[[1.0, 2.0, 3.0, 4.0, "dog"]]', "[]"]
    assert all(medium is not None and medium.bytes() for medium in table.media("file_name"))
    assert "1 boxes around crowds" in table.notes[0] and "images" in table.notes[1]


def test_captions_of_a_file_of_coco(tmp_path: Path) -> None:
    said = [{"image_id": 4, "caption": text} for text in ("a dog ", "one dog")]
    table = read(coco(tmp_path, annotations=said))
    assert table.names == ["file_name", "caption"]
    assert table.cells("caption") == [["a dog", "one dog"], None]


def test_images_with_one_id_are_refused(tmp_path: Path) -> None:
    images = [{"id": 4, "file_name": name} for name in ("0.png", "1.png")]
    with pytest.raises(UserError, match="have one id"):
        read(coco(tmp_path, images=images))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image_id": 5}, "no picture of the file has this id"),
        ({"category_id": 1}, "no category of the file has this id"),
        ({"bbox": [1, 2, 3]}, "its bbox is not x, y, width and height"),
        ({"bbox": [1, 2, 3, float("nan")]}, "its bbox is not x, y, width and height"),
    ],
)
def test_annotations_that_cannot_be_read(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    one = {"image_id": 4, "category_id": 18, "bbox": [1, 2, 3, 4], **changes}
    with pytest.raises(UserError, match=says):
        read(coco(tmp_path, annotations=[one]))
