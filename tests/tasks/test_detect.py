"""Boxes in pictures: assignments, losses, predictions in pixels, and a small fit."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.builtin import scenes
from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.recipe import Recipe
from polymodal.contract.task import Pass
from polymodal.metrics.detection import overlaps
from polymodal.modalities.image.forms.pixels import Pixels
from polymodal.nn.processors import stretches
from polymodal.prepared.targets import prepared
from polymodal.table.boxes import listed
from polymodal.table.media import Media
from polymodal.tasks._assigned import assigned, corners, likeness, middles, set_loss
from polymodal.tasks.detect import Detect

WIDTH = 16
CELLS = ['[[2, 4, 10, 8, "dog"], [20, 4, 10, 12, "cat"]]', "[]", None, '[[0, 0, 40, 20, "cat"]]']
SMALL = {
    "targets": {"boxes": None},
    "data": {"drop": ["question", "answer"]},
    "modalities": {"picture": {"form": {"size": 32}}},
}


def photo(width: int = 40, height: int = 20) -> Media:
    return Media("photo", values=np.zeros((height, width, 3), np.uint8))


def rows(cells: list[Any], photos: Any = None) -> list[dict[str, Any]]:
    media = photos or [photo()] * len(cells)
    return [{"boxes": c, "photo": m} for c, m in zip(cells, media, strict=True)]


def task(cells: list[Any] = CELLS, photos: Any = None, **options: Any) -> Detect:
    found = Detect("boxes", **options)
    found.introduce({"photo": {"photo": "image"}, "table": {"price": "number"}}, lambda _: ())
    found.fit(rows(cells, photos))
    return found


def fused(batch: int, side: int = 4, seed: int = 0) -> Fused:
    made = torch.Generator().manual_seed(seed)
    values = torch.randn(batch, side**2, WIDTH, generator=made)
    note = torch.randn(batch, 3, WIDTH, generator=made)
    tokens = {
        "photo": Tokens(values, torch.ones(batch, side**2, dtype=torch.bool)),
        "note": Tokens(note, torch.tensor([[True, True, False]]).expand(batch, -1)),
    }
    return Fused(values.mean(1), tokens)


def test_boxes_come_back_in_pixels_whatever_shape_pictures_have() -> None:
    photos = [photo(), photo(40, 60), photo(), photo(80, 30)]
    one = task(photos=photos)
    given = rows(CELLS, photos)
    for cell, array in zip(given, one.encode(given), strict=True):
        if array is None:
            assert cell["boxes"] is None
            continue
        assert array[1:].min(initial=0) >= 0 and array[1:, :4].max(initial=0) <= 1
        again = listed(one.form.decode(array)) or []
        assert [b[:5] for b in again] == [b[:5] for b in listed(cell["boxes"]) or []]
    assert one.encode(given)[0][1, :4] == pytest.approx([2 / 40, 4 / 20, 12 / 40, 12 / 20])


def test_what_is_padded_or_cut_off_is_no_place_for_boxes() -> None:
    one = task()
    for form, fits in ((Pixels(resize="stretch"), True), (Pixels(resize="pad"), False)):
        if fits:
            one.heads(WIDTH, [], 0.0, {"photo": form})
            continue
        with pytest.raises(UserError, match="Not all of 'photo' is shown"):
            one.heads(WIDTH, [], 0.0, {"photo": form})
    named = {"height": 8, "width": 8}
    assert stretches(SimpleNamespace(size=named))
    assert not stretches(SimpleNamespace(size=named, do_center_crop=True))
    assert not stretches(SimpleNamespace(size={"shortest_edge": 8}))


def test_giou_is_the_known_answer_and_stays_below_iou() -> None:
    unit, far, double = torch.tensor([[0.0, 0, 1, 1], [2, 0, 3, 1], [0, 0, 2, 1]])
    assert likeness(unit, far).item() == pytest.approx(-1 / 3)
    assert likeness(unit, double).item() == pytest.approx(0.5)
    made = torch.rand(50, 4, generator=torch.Generator().manual_seed(0))
    boxes = torch.cat([made[:, :2], made[:, :2] + made[:, 2:] + 0.1], 1)
    near = likeness(boxes[:, None], boxes[None])
    assert torch.allclose(near, near.T, atol=1e-6) and (near > -1).all()
    assert torch.allclose(near.diagonal(), torch.ones(50), atol=1e-5)
    assert (near.numpy() <= overlaps(boxes.numpy(), boxes.numpy()) + 1e-6).all()


def test_predictions_are_told_in_pixels_of_each_rows_own_picture() -> None:
    one = task()
    answer = np.array([[0.9, 1, 0.25, 0.5, 0.5, 1.0], [0.1, 0, 0, 0, 1, 1]])
    media = {"photo": [photo(), photo(400, 200), None]}
    (told,) = one.located(one.decode([answer] * 3), media).values()
    assert json.loads(told[0]) == [[10, 10, 10, 10, "dog", 0.9]]
    assert json.loads(told[1]) == [[100, 100, 100, 100, "dog", 0.9]]
    assert told[2] is None


def test_a_camera_that_was_held_upright_changes_what_is_across(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
    upright = Media("a", data=(tmp_path / "a.jpg").read_bytes())
    cells = ['[[10, 20, 10, 20, "dog"]]']
    one = task(cells, [photo(20, 40)])
    assert one.encode(rows(cells, [upright]))[0][1, :4].tolist() == [0.5, 0.5, 1, 1]


def test_the_cheapest_of_all_assignments_is_taken() -> None:
    made = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 2, generator=made)
    places = torch.rand(5, 4, generator=made) * 0.4 + 0.2
    gold = torch.tensor([[0.1, 0.1, 0.4, 0.5, 0], [0.5, 0.2, 0.9, 0.8, 1], [0.2, 0.6, 0.6, 0.9, 0]])
    mine = assigned(logits[None], places[None], gold[None], [3]).tolist()
    assert len(set(mine)) == 3

    def cost(chosen: Any) -> float:
        """By hand: focal costs of the class, distance of middles and sides, GIoU."""
        total = 0.0
        for place, box in zip(chosen, gold, strict=True):
            p = logits[place, int(box[4])].sigmoid().item()
            there = 0.25 * (1 - p) ** 2 * -np.log(p)
            nothing = 0.75 * p**2 * -np.log(1 - p)
            distant = (places[place] - middles(box[None, :4])[0]).abs().sum().item()
            near = likeness(corners(places[place]), box[:4]).item()
            total += 2 * (there - nothing) + 5 * distant - 2 * near
        return total

    best = min(itertools.permutations(range(5), 3), key=cost)
    assert mine == list(best)


def test_a_network_that_has_diverged_has_a_loss_that_is_no_number() -> None:
    gold = torch.tensor([[[0.1, 0.1, 0.4, 0.5, 0], [0.5, 0.2, 0.9, 0.8, 1]]])
    nothing = torch.full((1, 5, 4), torch.nan)
    assert len(set(assigned(nothing[..., :2], nothing, gold, [2]).tolist())) == 2
    assert set_loss(nothing[..., :2], nothing, gold, [2]).isnan()


def test_more_boxes_than_places_are_refused() -> None:
    gold = torch.tensor([[0.1, 0.1, 0.4, 0.5, 0]] * 5)
    with pytest.raises(UserError, match="5 boxes, more than places"):
        assigned(torch.zeros(1, 4, 1), torch.full((1, 4, 4), 0.5), gold[None], [5])
    crowd = json.dumps([[i, 0, 1, 1, "dog"] for i in range(40)])
    # Every box has several places to choose from.
    assert task([crowd]).places == 13 and task().places == 8
    assert task([crowd], grid=7).places == 7
    with pytest.raises(UserError, match="40 boxes, more than places"):
        task([crowd], grid=6)


def test_what_is_padded_absent_or_unknown_changes_nothing() -> None:
    one, read = task(), fused(4)
    torch.manual_seed(0)
    head = one.heads(WIDTH, [], 0.0, {}).eval()
    with torch.no_grad():
        output = head(read).output
        for name, tokens in read.tokens.items():
            tokens.values[~tokens.mask] = 99.0
            assert name
        again = head(read).output
    assert torch.equal(output["places"], again["places"])
    assert torch.equal(output["classes"], again["classes"])

    target = prepared(one, rows(CELLS)).gather(np.arange(4))
    assert target.present.tolist() == [True, True, False, True]
    logits = output["classes"].requires_grad_()
    loss = one.loss(Pass({}, read, {**output, "classes": logits}, target=target))
    loss.backward()
    assert logits.grad is not None and (logits.grad[2] == 0).all()
    known = [0, 1, 3]
    # Behind the boxes of a row that has fewer stands what is none.
    gold = target.data[known][:, 1:].clone()
    gold[1:, 1:] = 0.7
    alone = set_loss(output["classes"][known], output["places"][known], gold, [2, 0, 1])
    assert loss.item() == pytest.approx(alone.item(), rel=1e-6)
    target.present[:] = False
    nothing = one.loss(Pass({}, read, {**output, "classes": logits}, target=target))
    assert nothing.item() == 0 and nothing.requires_grad


def test_answers_do_not_depend_on_the_batch_and_a_restored_task_gives_the_same() -> None:
    one, read = task(threshold=0.01), fused(4)
    torch.manual_seed(0)
    head = one.heads(WIDTH, [], 0.0, {}).eval()
    with torch.no_grad():
        every = one.answer(Pass({}, read, head(read).output))
        for row, answer in enumerate(every):
            own = Fused(
                read.pooled[row : row + 1],
                {n: t.take(torch.tensor([row])) for n, t in read.tokens.items()},
            )
            (single,) = one.answer(Pass({}, own, head(own).output))
            assert single == pytest.approx(answer, abs=1e-5)
            assert (np.diff(single[:, 0]) <= 0).all()
    again = Detect("boxes", threshold=0.01)
    again.state = json.loads(json.dumps(one.state))
    assert again.decode(every) == one.decode(every) and again.columns == one.columns
    np.testing.assert_array_equal(again.encode(rows(CELLS))[0], one.encode(rows(CELLS))[0])


def test_one_place_says_one_thing() -> None:
    place = [0.1, 0.1, 0.5, 0.5]
    answer = np.array([[0.9, 0, *place], [0.8, 1, *place], [0.5, 1, 0.6, 0.6, 0.9, 0.9]])
    (told,) = task().decode([answer])["boxes"]
    assert [(b.label, b.score) for b in listed(told) or []] == [("cat", 0.9), ("dog", 0.5)]
    (sure,) = task(threshold=0.6).decode([answer])["boxes"]
    assert [b.score for b in listed(sure) or []] == [0.9]


def test_judged_by_what_is_found_and_what_is_made_up() -> None:
    one = task()
    target = one.encode(rows(CELLS))[0]
    right = np.array([[0.9, *line[[4, 0, 1, 2, 3]]] for line in target[1:]])
    more = np.concatenate([right, [[0.5, 0, 0.8, 0.8, 1, 1]]])
    nothing = np.zeros((0, 6))
    judged = one.judged([right, right[:1], more, nothing], [target] * 4)
    assert judged.right.tolist() == [True, False, False, False]
    assert judged.loss == pytest.approx([0, 1 - 2 / 3, 1 - 4 / 5, 1])
    assert one.criterion([right], [target]) == pytest.approx(0)
    assert one.criterion([nothing], [target]) == 1 and one.criterion([], []) == 1
    assert one.support(right, right) == pytest.approx(0.9)
    assert one.support(right, nothing) == pytest.approx(0.1) and one.support(nothing, right) == 0


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["dog"], "no list of boxes"),
        (["[]"], "no training row has a box"),
        (['[[50, 4, 10, 8, "dog"]]'], "lies nowhere in its picture"),
        (['[[5, 4, 0, 8, "dog"]]'], "no training row has a box"),
    ],
)
def test_boxes_that_cannot_be_learned(cells: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        task(cells)


def test_new_classes_unreadable_pictures_and_boxes_beyond_the_edge() -> None:
    one = task()
    (new,) = rows(['[[1, 1, 5, 5, "cow"]]'])
    assert one.is_unseen(new)
    with pytest.raises(UserError, match="'cow', which no training row had"):
        one.encode([new])
    broken = rows([CELLS[0]], [Media("broken", data=b"no picture at all")])
    assert one.encode(broken) == [None] and not one.is_unseen(broken[0])
    beyond = task(['[[30, 10, 20, 20, "dog"]]'])
    assert "are they left, top, right and bottom?" in beyond.remarks()[0][1] and not one.remarks()
    few = task([*CELLS[:1] * 3, '[[30, 10, 20, 20, "dog"]]'])
    assert few.remarks() == [
        ("info", "1 of 7 boxes of 'boxes' reach beyond their picture: they are cut at its edge")
    ]
    empty = task([*CELLS, '[[1, 1, 0, 9, "cow"], [2, 2, 4, 4, "dog"]]'])
    assert empty.classes == ["cat", "dog"] and "have no area" in empty.remarks()[0][1]
    assert len(empty.encode(rows(['[[1, 1, 0, 9, "cow"], [2, 2, 4, 4, "dog"]]']))[0]) == 2
    shares = task(['[[0.1, 0.2, 0.5, 0.5, "dog"]]'])
    assert "are they shares of the sides?" in shares.remarks()[0][1]
    assert beyond.encode(rows(['[[30, 10, 20, 20, "dog"]]']))[0][1, 2:4].tolist() == [1, 1]


def test_it_asks_which_picture_is_meant() -> None:
    several = {name: {name: "image"} for name in ("front", "back")}
    with pytest.raises(UserError, match="not clear which picture") as caught:
        Detect("boxes").introduce(several, lambda _: ())
    assert "front, back" in caught.value.got
    named = Detect("boxes", column="back")
    named.introduce(several, lambda _: ())
    assert named.columns == ("boxes", "back") and named.asks == {"back": ("gridded",)}
    with pytest.raises(UserError, match="not clear which picture"):
        Detect("boxes").introduce({"note": {"note": "text"}}, lambda _: ())
    for options in ({"grid": 65}, {"depth": 0}, {"threshold": 1.0}):
        with pytest.raises(UserError, match="cannot tell 'boxes'"):
            Detect("boxes", **options)


def test_depth_and_grid_are_what_a_head_is_built_of() -> None:
    one = task(depth=2, grid=5).heads(WIDTH, [], 0.0, {})
    assert len(one.blocks) == 2 and one(fused(1)).output["places"].shape == (1, 25, 4)


@pytest.mark.whole
def test_a_table_of_pictures_becomes_boxes_in_new_ones(tmp_path: Path) -> None:
    files = scenes.write(tmp_path, 110, columns=["picture", "boxes"], size=34)
    training = {"epochs": 25, "batch_size": 16, "lr": 0.003, "precision": "fp32"}
    kernels = {"attention": "plain", "memory_format": "contiguous", "threads": 1}
    described = {**SMALL, "width": 32, "training": training | kernels}
    described["targets"] = {"boxes": {"name": "detect", "column": "picture"}}
    del described["modalities"]
    run = pm.fit(files["train"], recipe=Recipe.model_validate(described), out=tmp_path / "run")
    (member,) = run.recipe.models
    assert member.modalities["picture"].encoder == {"name": "tiles"}
    # Whole patches, and the whole picture.
    assert member.modalities["picture"].form == {"size": 40, "resize": "stretch"}
    found = pm.evaluate(tmp_path / "run", files["test"]).targets["boxes"]
    assert found["map_50"]["value"] > 0.3
    told = pm.load(tmp_path / "run").predict(files["test"])["boxes"]
    every = [box for cell in told for box in listed(cell) or []]
    assert every and all(b.x >= 0 and b.x + b.width <= 34.1 and b.score for b in every)


def test_a_broken_cell_among_boxes_is_named(tmp_path: Path) -> None:
    files = scenes.write(tmp_path, 40, columns=["picture", "boxes"], size=32)
    table = files["train"].read_text().splitlines()
    cells = list(csv.DictReader(table))
    cells[3]["boxes"] = "[[1, 2, 3, 4]]"
    given = [{"picture": str(tmp_path / c["picture"]), "boxes": c["boxes"]} for c in cells]
    with pytest.raises(UserError, match="is no list of boxes"):
        pm.fit(given, "boxes", out=tmp_path / "run")


def test_pictures_whose_places_are_told_are_not_moved(tmp_path: Path) -> None:
    files = scenes.write(tmp_path, 40, columns=["picture", "boxes"], size=32)
    modalities = {"picture": {"form": {"size": 32}, "augment": {"flip": True}}}
    described = {**SMALL, "modalities": modalities, "training": {"epochs": 1}}
    with pytest.raises(UserError, match="cannot be augmented by flip"):
        pm.fit(files["train"], recipe=Recipe.model_validate(described), out=tmp_path / "run")
