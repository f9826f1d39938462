"""Questions of several steps: each is answered by its steps, and these by the scene."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from polymodal.base.errors import UserError
from polymodal.builtin import steps
from polymodal.builtin._random import stream


def test_the_same_arguments_give_the_same_bytes_and_no_two_rows_share_media(tmp_path: Path):
    first = steps.write(tmp_path / "a", rows=24)
    steps.write(tmp_path / "b", rows=24)
    names = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert len(names) == 2 + 48
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    table = pd.concat([pd.read_csv(path) for path in first.values()])
    assert list(table) == [
        "picture",
        "sensor",
        "weight",
        "question",
        "steps",
        "rationale",
        "answer",
    ]
    assert Counter(table["steps"]) == {1: 8, 2: 8, 3: 8}
    contents = {(tmp_path / "a" / cell).read_bytes() for cell in table["picture"]}
    assert len(contents) == 24


def test_answers_follow_from_the_scene_step_by_step():
    """Read back from the facts, without the code that asked."""
    for number in range(300):
        scene = steps.imagine(stream(5, number, "scene"))
        count, aspect = 1 + number % 3, ("colour", "shape")[number % 2]
        found = steps.ask(scene, count, aspect, stream(5, number, "question"))
        told = re.findall(r"([^.?]+\?) (\w+)\.", found["rationale"])
        assert len(told) == count == found["steps"] and told[-1][1] == found["answer"]
        for question, answer in told:
            at = re.match(r" ?What (\w+) is at the (\w+)\?", question)
            if at is not None:
                assert answer == getattr(scene.things[at[2]], at[1])
            elif "Which way" in question:
                assert answer == scene.motion
            else:
                assert answer == ("heavy" if scene.weight > 50 else "light")
        if count > 1:
            there, opposite = steps.PLACES[scene.motion]
            place = opposite if "else" in found["question"] and scene.weight < 50 else there
            assert found["answer"] == getattr(scene.things[place], aspect)


def test_things_are_where_the_scene_says(tmp_path: Path):
    paths = steps.write(tmp_path, rows=20, size=48, splits={"all": 1.0})
    table = pd.read_csv(paths["all"])
    for number, name in enumerate(table["picture"]):
        scene = steps.imagine(stream(0, number, "scene"))
        pixels = np.asarray(Image.open(tmp_path / name)).astype(int)
        assert pixels.shape == (48, 48, 3)
        for thing in scene.things.values():
            seen = pixels[round(thing.y * 48), round(thing.x * 48)]
            wanted = np.array(steps._render.COLOURS[thing.colour])
            assert np.abs(seen - wanted).max() < 60


def test_arguments_out_of_range(tmp_path: Path):
    for given, says in (
        ({"size": 8}, "size=8"),
        ({"aspects": ()}, "Nothing is asked"),
        ({"aspects": ("color",)}, "no aspect 'color'"),
        ({"rows": 0}, "at least one row"),
    ):
        with pytest.raises(UserError, match=says):
            steps.write(tmp_path, **given)
    assert not list(tmp_path.iterdir())
