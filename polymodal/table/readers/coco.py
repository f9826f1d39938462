"""Files of annotations as COCO has them: pictures, and boxes in them or captions of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polymodal.base.errors import UserError
from polymodal.table.boxes import Box, listed, written


def fits(whole: Mapping[str, Any]) -> bool:
    """Whether a JSON object is such a file."""
    return all(
        isinstance(whole.get(name), list)
        and all(isinstance(one, Mapping) and key in one for one in whole[name])
        for name, key in (("images", "file_name"), ("annotations", "image_id"))
    )


def rows(whole: Mapping[str, Any], path: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """A row a picture: its `file_name`, its `boxes` (in JSON), and its `caption`, a list of texts.

    A picture without a box has an empty list of them, one without a caption none. Boxes around
    crowds (`iscrowd`) are left out. Papers: "Microsoft COCO" (Lin et al. 2014, arXiv 1405.0312),
    "Microsoft COCO Captions" (Chen et al. 2015, arXiv 1504.00325).

    Args:
        path: of the file, for messages.

    Returns:
        The rows, and what is left out.

    Raises:
        UserError: an annotation of no picture or category of the file, or of another form.
    """
    names = {one.get("id"): one.get("name") for one in whole.get("categories") or ()}
    boxes: dict[Any, list[Box]] = {one.get("id"): [] for one in whole["images"]}
    if len(boxes) < len(whole["images"]):
        raise UserError(
            f"Several images of {path} have one id",
            expected="an id for each, by which annotations name it",
            got=f"{len(boxes):,} ids of {len(whole['images']):,} images",
            do="write the file again with an id for each image",
        )
    captions: dict[Any, list[str]] = {number: [] for number in boxes}
    crowds = 0
    for one in whole["annotations"]:
        picture = one["image_id"]
        if picture not in boxes:
            raise _wrong(path, one, "no picture of the file has this id")
        if isinstance(one.get("caption"), str):
            captions[picture].append(one["caption"].strip())
        if one.get("iscrowd"):
            crowds += 1
        elif one.get("bbox") is not None:
            boxes[picture].append(_box(path, one, names))
    found = []
    for one in whole["images"]:
        row: dict[str, Any] = {"file_name": one["file_name"]}
        if any(boxes.values()) or (names and not any(captions.values())):
            row["boxes"] = written(boxes[one.get("id")])
        if any(captions.values()):
            row["caption"] = captions[one.get("id")] or None
        found.append(row)
    note = f"{crowds:,} boxes around crowds (`iscrowd`) of {path} are left out"
    return found, (note,) if crowds else ()


def _box(path: Path, one: Mapping[str, Any], names: Mapping[Any, Any]) -> Box:
    if names.get(one.get("category_id")) is None:
        raise _wrong(path, one, "no category of the file has this id")
    found = listed([[*one["bbox"], names[one["category_id"]]]] if _is_four(one["bbox"]) else None)
    if not found:
        raise _wrong(path, one, "its bbox is not x, y, width and height")
    return found[0]


def _is_four(found: Any) -> bool:
    return isinstance(found, list) and len(found) == 4


def _wrong(path: Path, one: Mapping[str, Any], why: str) -> UserError:
    return UserError(
        f"An annotation of {path} cannot be read: {why}",
        expected="image_id, and category_id with bbox, or caption, as COCO has them",
        got=repr(dict(one))[:200],
        do="write the file again with all of its images and categories",
    )
