"""What a scene may hold and what may be asked about it, in facts and words; nothing is rendered.

The facts of a scene are independent of each other and even: every shape, colour, number, pitch and
direction is as likely as any other. So a question alone leaves its topic's answers equally likely,
which is what makes `scenes.ceilings` exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from polymodal.data.builtin._render import COLOURS, SHAPES, Thing

# Words, not digits, so that the answers are one column of categories.
NUMBERS = ("one", "two", "three")
PITCHES = {"low": (220, 330), "middle": (600, 800), "high": (1500, 2000)}
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, 1), "down": (0, -1)}
WEIGHTS = {"light": (10, 45), "heavy": (55, 90)}
TRENDS = ("growing", "shrinking")
PLACES = ("beach", "city", "desert", "forest")

_PLURALS = {"circle": "circles", "square": "squares", "triangle": "triangles", "cross": "crosses"}
# Edge -> axis, and whether the smallest coordinate is closest to it.
_EDGES = {"left": ("x", True), "right": ("x", False), "top": ("y", True), "bottom": ("y", False)}
# The thing closest to an edge is closer than any other by at least this share of the side.
_MARGIN = 0.05


@dataclass(frozen=True)
class Level:
    """One difficulty.

    Attributes:
        topics: what is asked about.
        groups: (shape, colour) of each group of equal things, as places in a random order of the
            shapes and of the colours: ((0, 0), (0, 1)) is one shape in two colours.
        most: how many things a group may have.
        radius: smallest and largest, as fractions of the picture's side.
        turn: how far a thing may be turned either way, in radians.
        speckle: noise of a pixel, in grey levels.
        hiss: noise of the sound, where a beep's loudness is about 0.5.
        tremor: noise of the sensor, where the motion's peak is about 1.
    """

    topics: tuple[str, ...]
    groups: tuple[tuple[int, int], ...]
    most: int
    radius: tuple[float, float]
    turn: float
    speckle: float
    hiss: float
    tremor: float


# What a few hundred rows a topic teach a small network; counting takes it more.
_PLAIN = ("shape", "colour", "pitch", "motion", "trend", "weight", "place")
_ALL = (*_PLAIN, "count", "edge", "beeps")
LEVELS = {
    "easy": Level(_PLAIN, ((0, 0),), 1, (0.2, 0.28), 0.0, 0, 0.01, 0.1),
    "medium": Level(_ALL, ((0, 0), (1, 1)), 3, (0.08, 0.12), 0.3, 0, 0.05, 0.2),
    "hard": Level(_ALL, ((0, 0), (0, 1), (1, 0)), 3, (0.06, 0.08), 0.3, 12, 0.12, 0.4),
}


class Group(NamedTuple):
    """Equal things of a picture: `count` of one shape in one colour."""

    shape: str
    colour: str
    count: int


@dataclass(frozen=True)
class Scene:
    """The facts of one row."""

    groups: tuple[Group, ...]
    things: tuple[Thing, ...]
    beeps: int
    pitch: str
    motion: str
    trend: str
    weight: float
    place: str


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


def imagine(level: Level, rng: np.random.Generator) -> Scene:
    """A scene with random facts."""
    shapes, colours = rng.permutation(SHAPES), rng.permutation(list(COLOURS))
    groups = tuple(
        Group(str(shapes[i]), str(colours[j]), int(rng.integers(1, level.most + 1)))
        for i, j in level.groups
    )
    weight = WEIGHTS[str(rng.choice(list(WEIGHTS)))]
    return Scene(
        groups=groups,
        things=_arrange(groups, level, rng),
        beeps=int(rng.integers(1, len(NUMBERS) + 1)),
        pitch=str(rng.choice(list(PITCHES))),
        motion=str(rng.choice(list(DIRECTIONS))),
        trend=str(rng.choice(TRENDS)),
        weight=round(float(rng.uniform(*weight)), 1),
        place=str(rng.choice(PLACES)),
    )


def describe(scene: Scene, rng: np.random.Generator) -> str:
    """A caption: the groups of the picture, in random order and one of several wordings."""
    parts = [_counted(scene.groups[i]) for i in rng.permutation(len(scene.groups))]
    listed = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    wording = str(rng.choice(_CAPTIONS)).format(listed)
    return wording[0].upper() + wording[1:]


def word(wording: str, about: str, rng: np.random.Generator) -> str:
    """A question in full: its wording between one of the openers and one of the closers."""
    question = wording.format(about)
    opener, closer = str(rng.choice(_OPENERS)), str(rng.choice(_CLOSERS))
    if opener:
        question = question[0].lower() + question[1:]
    return f"{opener} {question} {closer}".strip()


def reason(topic: Topic, asked: Asked) -> str:
    """The chain of thought from a question to its answer."""
    return f"The question is about the {topic.source}. {asked.why} So the answer is {asked.answer}."


def _arrange(
    groups: tuple[Group, ...], level: Level, rng: np.random.Generator
) -> tuple[Thing, ...]:
    """Things that do not touch, with one clearly closest to each edge."""
    kinds = [group for group in groups for _ in range(group.count)]
    while True:
        spots = _spots(len(kinds), level.radius[1], rng)
        if spots is not None and _clear(spots):
            break
    return tuple(
        Thing(
            kind.shape,
            kind.colour,
            float(x),
            float(y),
            float(rng.uniform(*level.radius)),
            float(rng.uniform(-level.turn, level.turn)),
        )
        for kind, (x, y) in zip(kinds, spots, strict=True)
    )


def _spots(count: int, radius: float, rng: np.random.Generator) -> np.ndarray | None:
    """Centres `(count, 2)` far enough apart, or None where the first ones leave no room."""
    edge = 1.15 * radius
    chosen: list[np.ndarray] = []
    for candidate in rng.uniform(edge, 1 - edge, (20 * count, 2)):
        if all(np.hypot(*(candidate - spot)) > 2.3 * radius for spot in chosen):
            chosen.append(candidate)
            if len(chosen) == count:
                return np.stack(chosen)
    return None


def _clear(spots: np.ndarray) -> bool:
    """Whether one centre is closest to each edge by the margin."""
    if len(spots) == 1:
        return True
    ordered = np.sort(spots, axis=0)
    gaps = np.concatenate([ordered[1] - ordered[0], ordered[-1] - ordered[-2]])
    return bool(gaps.min() >= _MARGIN)


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
        ordered = sorted(scene.things, key=lambda thing: float(getattr(thing, axis)))  # noqa: B023
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
