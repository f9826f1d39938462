"""What may be asked about a scene, and the questions, captions and reasons in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from polymodal.builtin._random import pick
from polymodal.builtin._render import COLOURS, SHAPES
from polymodal.builtin._scene import (
    DIRECTIONS,
    NUMBERS,
    PITCHES,
    PLACES,
    TRENDS,
    WEIGHTS,
    Group,
    Scene,
)

_PLURALS = {"circle": "circles", "square": "squares", "triangle": "triangles", "cross": "crosses"}
# Edge -> axis, and whether the smallest coordinate is closest to it.
_EDGES = {"left": ("x", True), "right": ("x", False), "top": ("y", True), "bottom": ("y", False)}


class Asked(NamedTuple):
    """One thing that may be asked on a topic: about what, the answer, and why it is that."""

    about: str
    answer: str
    why: str


@dataclass(frozen=True)
class Topic:
    """A sort of question.

    Attributes:
        source: the column that holds the answer.
        answers: all of them; without the source they are equally likely.
        wordings: where "{}" stands for what is asked about.
        askable: everything that may be asked of a scene on this topic; never empty.
    """

    source: str
    answers: tuple[str, ...]
    wordings: tuple[str, ...]
    askable: Callable[[Scene], list[Asked]]


def describe(scene: Scene, rng: np.random.Generator) -> str:
    """A caption: the groups of the picture, in random order and one of several wordings."""
    parts = [_counted(scene.groups[i]) for i in rng.permutation(len(scene.groups))]
    listed = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    wording = pick(_CAPTIONS, rng).format(listed)
    return wording[0].upper() + wording[1:]


def word(wording: str, about: str, rng: np.random.Generator) -> str:
    """A question in full: its wording between one of the openers and one of the closers."""
    question = wording.format(about)
    opener, closer = pick(_OPENERS, rng), pick(_CLOSERS, rng)
    if opener:
        question = question[0].lower() + question[1:]
    return f"{opener} {question} {closer}".strip()


def reason(topic: Topic, asked: Asked) -> str:
    """The chain of thought from a question to its answer."""
    return f"The question is about the {topic.source}. {asked.why} So the answer is {asked.answer}."


def _counted(group: Group) -> str:
    noun = group.shape if group.count == 1 else _PLURALS[group.shape]
    return f"{NUMBERS[group.count - 1]} {group.colour} {noun}"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _shapes(scene: Scene) -> list[Asked]:
    """The shape in a colour that only one shape has."""
    worn = [group.colour for group in scene.groups]
    return [
        Asked(g.colour, g.shape, f"Whatever is {g.colour} is a {g.shape}.")
        for g in scene.groups
        if worn.count(g.colour) == 1
    ]


def _colours(scene: Scene) -> list[Asked]:
    """The colour of a shape that has only one."""
    drawn = [group.shape for group in scene.groups]
    return [
        Asked(_PLURALS[g.shape], g.colour, f"Every {g.shape} is {g.colour}.")
        for g in scene.groups
        if drawn.count(g.shape) == 1
    ]


def _counts(scene: Scene) -> list[Asked]:
    return [
        Asked(
            f"{g.colour} {_PLURALS[g.shape]}",
            NUMBERS[g.count - 1],
            f"There {_is(g.count)} {_counted(g)}.",
        )
        for g in scene.groups
    ]


def _edges(scene: Scene) -> list[Asked]:
    asked = []
    for edge, (axis, smallest) in _EDGES.items():
        ordered = sorted(scene.things, key=lambda thing: float(getattr(thing, axis)))
        thing = ordered[0 if smallest else -1]
        why = f"Closest to the {edge} edge is a {thing.colour} {thing.shape}."
        asked.append(Asked(edge, thing.shape, why))
    return asked


def _beeps(scene: Scene) -> list[Asked]:
    number = NUMBERS[scene.beeps - 1]
    noun = "beep" if scene.beeps == 1 else "beeps"
    return [Asked("", number, f"There {_is(scene.beeps)} {number} {noun}.")]


def _weights(scene: Scene) -> list[Asked]:
    heavy = scene.weight > 50
    than = "more" if heavy else "less"
    return [Asked("", "heavy" if heavy else "light", f"{scene.weight} grams is {than} than 50.")]


TOPICS = {
    "shape": Topic(
        "picture",
        SHAPES,
        (
            "Which shape is {}?",
            "What shape is the {} one?",
            "What is the shape that you see in {}?",
            "Name the {} shape.",
        ),
        _shapes,
    ),
    "colour": Topic(
        "picture",
        tuple(COLOURS),
        (
            "What colour are the {}?",
            "Which colour do the {} have?",
            "In which colour were the {} drawn?",
            "Name the colour of the {}.",
        ),
        _colours,
    ),
    "count": Topic(
        "picture",
        NUMBERS,
        (
            "How many {} are there?",
            "How many {} do you see?",
            "Count the {}.",
            "What is the number of {}?",
        ),
        _counts,
    ),
    "edge": Topic(
        "picture",
        SHAPES,
        (
            "Which shape is closest to the {} edge?",
            "What shape is the one nearest to the {} edge?",
            "Name the shape next to the {} edge.",
        ),
        _edges,
    ),
    "beeps": Topic(
        "sound",
        NUMBERS,
        (
            "How many beeps do you hear?",
            "How often does it beep?",
            "Count the beeps.",
            "What is the number of beeps?",
        ),
        _beeps,
    ),
    "pitch": Topic(
        "sound",
        tuple(PITCHES),
        (
            "What pitch does it have?",
            "How high does it sound?",
            "Is the tone low, middle or high?",
            "Name the pitch.",
        ),
        lambda scene: [Asked("", scene.pitch, f"The tone is {scene.pitch}.")],
    ),
    "motion": Topic(
        "sensor",
        tuple(DIRECTIONS),
        (
            "Which way did it move?",
            "In what direction did it go?",
            "Where did it move to?",
            "Name the direction of the motion.",
        ),
        lambda scene: [Asked("", scene.motion, f"The velocity points {scene.motion}.")],
    ),
    "trend": Topic(
        "clip",
        TRENDS,
        (
            "What is the disc doing, growing or shrinking?",
            "How does the size of the disc change?",
            "Does the disc grow or shrink?",
        ),
        lambda scene: [Asked("", scene.trend, f"From frame to frame the disc is {scene.trend}.")],
    ),
    "weight": Topic(
        "weight",
        tuple(WEIGHTS),
        (
            "Is it heavy or light?",
            "How heavy is it?",
            "Would you call it heavy or light?",
        ),
        _weights,
    ),
    "place": Topic(
        "place",
        PLACES,
        (
            "Where was it found?",
            "At what place was it?",
            "Where does it come from?",
            "Name the place.",
        ),
        lambda scene: [Asked("", scene.place, f"It was found in the {scene.place}.")],
    ),
}

_CAPTIONS = (
    "{}.",
    "a picture of {}.",
    "here you see {}.",
    "{} on a pale ground.",
    "someone has drawn {}.",
)
_OPENERS = (
    "",
    "Please say:",
    "Quick question:",
    "I wonder,",
    "Take your time:",
    "Tell me,",
    "One more:",
    "Now,",
)
_CLOSERS = (
    "",
    "Thanks.",
    "Answer in one word.",
    "Be exact.",
    "Think first.",
    "I have to know.",
)
