"""Questions about scenes made by hand, whose answers can be seen."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.builtin._render import Thing
from polymodal.builtin._scene import LEVELS, Group, Scene, imagine
from polymodal.builtin._topics import TOPICS, describe

SCENE = Scene(
    groups=(Group("circle", "red", 2), Group("circle", "blue", 1), Group("square", "red", 1)),
    things=(
        Thing("circle", "red", 0.1, 0.5, 0.05),
        Thing("circle", "red", 0.5, 0.9, 0.05),
        Thing("circle", "blue", 0.9, 0.6, 0.05),
        Thing("square", "red", 0.4, 0.1, 0.05),
    ),
    beeps=2,
    pitch="low",
    motion="up",
    trend="growing",
    weight=61.5,
    place="city",
)
KNOWN = {
    # Red is worn by two shapes and circles come in two colours: neither can be asked.
    "shape": {("blue", "circle")},
    "colour": {("squares", "red")},
    "count": {("red circles", "two"), ("blue circles", "one"), ("red squares", "one")},
    "edge": {("left", "circle"), ("right", "circle"), ("top", "square"), ("bottom", "circle")},
    "beeps": {("", "two")},
    "pitch": {("", "low")},
    "motion": {("", "up")},
    "trend": {("", "growing")},
    "weight": {("", "heavy")},
    "place": {("", "city")},
}


@pytest.mark.parametrize("topic", TOPICS)
def test_answers(topic):
    asked = TOPICS[topic].askable(SCENE)
    assert {(one.about, one.answer) for one in asked} == KNOWN[topic]
    # The reason names the answer, or what makes it true.
    assert all(one.answer in one.why or topic == "weight" for one in asked)


@pytest.mark.parametrize("level", LEVELS)
def test_every_topic_of_a_level_can_always_be_asked(level):
    for seed in range(100):
        scene = imagine(LEVELS[level], np.random.default_rng(seed))
        for name in LEVELS[level].topics:
            asked = TOPICS[name].askable(scene)
            assert asked
            assert {one.answer for one in asked} <= set(TOPICS[name].answers)


@pytest.mark.parametrize("level", LEVELS)
def test_things_neither_touch_nor_leave_the_picture(level):
    for seed in range(50):
        things = imagine(LEVELS[level], np.random.default_rng(seed)).things
        for i, one in enumerate(things):
            assert one.radius < min(one.x, one.y, 1 - one.x, 1 - one.y)
            for other in things[:i]:
                apart = np.hypot(one.x - other.x, one.y - other.y)
                assert apart > one.radius + other.radius


def test_a_caption_tells_every_group():
    captions = {describe(SCENE, np.random.default_rng(seed)) for seed in range(30)}
    assert len(captions) > 10
    for caption in captions:
        for part in ("two red circles", "one blue circle", "one red square"):
            assert part in caption.lower()
