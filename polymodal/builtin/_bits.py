"""One hidden bit as a cell of each kind, easy to read back; or, for no bit, as plain noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from polymodal.builtin import _render
from polymodal.builtin._random import pick

# Kind -> file suffix; the other kinds stand in the table itself.
SUFFIXES = {"image": "png", "audio": "wav", "video": "mp4", "series": "npy"}

_SIDE = 32
_FRAMES = 8
# Adjectives for bit 0 and for bit 1, and those that tell nothing.
_MOODS = (
    ("gloomy", "bleak", "dull", "weary", "bitter", "grim", "dreary", "sullen"),
    ("cheerful", "bright", "lively", "fresh", "sweet", "merry", "sunny", "joyful"),
)
_NEUTRAL = ("wooden", "narrow", "northern", "plain", "square", "foreign", "paper", "local")
_NOUNS = (
    *("house", "garden", "letter", "train", "market", "window", "river", "kitchen"),
    *("teacher", "painter", "bridge", "morning", "table", "song", "village", "picture"),
)
_PLACES = (
    *("by the lake", "in the hills", "near the station", "behind the school", "on the coast"),
    *("across the street", "in the valley", "at the corner", "below the tower", "in the north"),
)
_SENTENCES = (
    "The {0} {2} stood {4} and looked {1} next to the {3}.",
    "We found a {0} {2} {4}, and a {1} {3} with it.",
    "It was a {0} {2}; {4} there was only a {1} {3}.",
    "Nobody had seen such a {0} {2}, nor so {1} a {3}, {4}.",
    "A {0} {2} and a {1} {3}: that is all we saw {4}.",
    "{4} she remembered a {0}, {1} {2} and the {3}.",
)
_CODES = (("amber", "basil", "cedar", "denim"), ("elder", "fjord", "grove", "heath"))
# Hertz, least and most.
_PITCHES = ((250, 350), (1200, 1700))
_COLOURS = ("blue", "red")


def render(kind: str, bit: int | None, rng: np.random.Generator) -> Any:
    """A cell of this kind: str, float, or the bytes of a media file; for a series an array.

    Args:
        kind: one of KINDS.
        bit: 0 or 1; None for a cell that holds nothing but noise.
        rng: makes everything else about the cell.
    """
    return _RENDERERS[kind](bit, rng)


def _text(bit: int | None, rng: np.random.Generator) -> str:
    """A sentence with two adjectives of one of two moods."""
    mood = _NEUTRAL if bit is None else _MOODS[bit]
    words = [pick(choice, rng) for choice in (mood, mood, _NOUNS, _NOUNS, _PLACES)]
    sentence = pick(_SENTENCES, rng).format(*words)
    return sentence[0].upper() + sentence[1:]


def _image(bit: int | None, rng: np.random.Generator) -> bytes:
    """A blue or a red thing of any shape; noise: random pixels."""
    if bit is None:
        return _render.png(rng.integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8))
    shape, (x, y) = pick(_render.SHAPES, rng), rng.uniform(0.3, 0.7, 2)
    radius, angle = rng.uniform(0.15, 0.25), rng.uniform(-0.4, 0.4)
    thing = _render.Thing(shape, _COLOURS[bit], float(x), float(y), radius, angle)
    return _render.png(_render.picture([thing], _SIDE, rng))


def _audio(bit: int | None, rng: np.random.Generator) -> bytes:
    """Two low or two high beeps; noise: only a hiss."""
    if bit is None:
        return _render.wav(_render.beeps(0, (), 0.4, rng, rng.uniform(0.02, 0.2)))
    starts = rng.uniform(0, 0.08) + np.array([0, rng.uniform(0.12, 0.2)])
    return _render.wav(_render.beeps(rng.uniform(*_PITCHES[bit]), starts.tolist(), 0.4, rng, 0.02))


def _video(bit: int | None, rng: np.random.Generator) -> bytes:
    """A disc that moves to the left or to the right; noise: random pixels in every frame."""
    if bit is None:
        return _render.mp4(rng.integers(0, 256, (_FRAMES, _SIDE, _SIDE), dtype=np.uint8))
    path = np.linspace(rng.uniform(0.2, 0.35), rng.uniform(0.65, 0.8), _FRAMES)
    y, radius = rng.uniform(0.3, 0.7), rng.uniform(0.12, 0.2)
    shades = (int(rng.integers(0, 80)), int(rng.integers(150, 256)))
    frames = [_render.disc(x, y, radius, _SIDE, shades) for x in path]
    return _render.mp4(np.stack(frames if bit else frames[::-1]))


def _series(bit: int | None, rng: np.random.Generator) -> np.ndarray:
    """`(steps, 2)`: the first channel falls or rises; noise: it does neither."""
    steps = int(rng.integers(24, 41))
    values = rng.normal(0, 0.3, (steps, 2)) + rng.uniform(-1, 1, 2)
    if bit is not None:
        rise = rng.uniform(1.5, 2.5) * np.linspace(-0.5, 0.5, steps)
        values[:, 0] += rise if bit else -rise
    return values.astype(np.float32)


def _number(bit: int | None, rng: np.random.Generator) -> float:
    """A number below -0.5 or above 0.5; noise: a normal one."""
    if bit is None:
        return round(float(rng.normal()), 3)
    size = 0.5 + rng.exponential()
    return round(float(size if bit else -size), 3)


def _category(bit: int | None, rng: np.random.Generator) -> str:
    """One of four codes for each bit; noise: any of the eight."""
    known = (*_CODES[0], *_CODES[1]) if bit is None else _CODES[bit]
    return pick(known, rng)


_RENDERERS: dict[str, Callable[[int | None, np.random.Generator], Any]] = {
    "text": _text,
    "image": _image,
    "audio": _audio,
    "video": _video,
    "series": _series,
    "number": _number,
    "category": _category,
}
KINDS = tuple(_RENDERERS)
