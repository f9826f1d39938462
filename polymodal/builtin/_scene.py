"""The facts of a scene, at each difficulty; nothing is rendered here.

The facts are independent of each other and even: every shape, colour, number, pitch and direction
is as likely as any other. So a question alone leaves its topic's answers equally likely, which is
what makes `scenes.ceilings` exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from polymodal.builtin._random import pick
from polymodal.builtin._render import COLOURS, SHAPES, Thing

# Words, not digits, so that the answers are one column of categories.
NUMBERS = ("one", "two", "three")
PITCHES = {"low": (220, 330), "middle": (600, 800), "high": (1500, 2000)}
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, 1), "down": (0, -1)}
WEIGHTS = {"light": (10, 45), "heavy": (55, 90)}
TRENDS = ("growing", "shrinking")
PLACES = ("beach", "city", "desert", "forest")

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


# A few hundred rows of each of these teach a small network; counting takes many more.
_PLAIN = ("shape", "colour", "pitch", "motion", "trend", "weight", "place")
LEVELS = {
    "easy": Level(
        topics=_PLAIN,
        groups=((0, 0),),
        most=1,
        radius=(0.2, 0.28),
        turn=0.0,
        speckle=0,
        hiss=0.01,
        tremor=0.1,
    ),
    "medium": Level(
        topics=(*_PLAIN, "edge"),
        groups=((0, 0), (1, 1)),
        most=1,
        radius=(0.14, 0.2),
        turn=0.3,
        speckle=0,
        hiss=0.05,
        tremor=0.2,
    ),
    "hard": Level(
        topics=(*_PLAIN, "edge", "count", "beeps"),
        groups=((0, 0), (0, 1), (1, 0)),
        most=3,
        radius=(0.06, 0.08),
        turn=0.3,
        speckle=12,
        hiss=0.12,
        tremor=0.4,
    ),
}


@dataclass(frozen=True)
class Group:
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


def imagine(level: Level, rng: np.random.Generator) -> Scene:
    """A scene with random facts."""
    shapes, colours = rng.permutation(SHAPES), rng.permutation(list(COLOURS))
    groups = tuple(
        Group(str(shapes[i]), str(colours[j]), int(rng.integers(1, level.most + 1)))
        for i, j in level.groups
    )
    weight = WEIGHTS[pick(list(WEIGHTS), rng)]
    return Scene(
        groups=groups,
        things=_arrange(groups, level, rng),
        beeps=int(rng.integers(1, len(NUMBERS) + 1)),
        pitch=pick(list(PITCHES), rng),
        motion=pick(list(DIRECTIONS), rng),
        trend=pick(TRENDS, rng),
        weight=round(float(rng.uniform(*weight)), 1),
        place=pick(PLACES, rng),
    )


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
    chosen: list[list[float]] = []
    for candidate in rng.uniform(edge, 1 - edge, (20 * count, 2)).tolist():
        if all(math.dist(candidate, spot) > 2.3 * radius for spot in chosen):
            chosen.append(candidate)
            if len(chosen) == count:
                return np.array(chosen)
    return None


def _clear(spots: np.ndarray) -> bool:
    """Whether one centre is closest to each edge by the margin."""
    if len(spots) == 1:
        return True
    ordered = np.sort(spots, axis=0)
    gaps = np.concatenate([ordered[1] - ordered[0], ordered[-1] - ordered[-2]])
    return bool(gaps.min() >= _MARGIN)
