"""Questions of one, two and three steps about scenes, each with the steps that lead to its answer.

A row is a scene (a picture with a thing at each edge, a sensor's series of how something moved, its
weight), a question and, in words, what one has to find out one after another:

| steps | question | rationale |
|---|---|---|
| 1 | What colour is at the left? | What colour is at the left? red. |
| 2 | What colour is where it went? | Which way did it go? left. What colour is at the left? red. |
| 3 | What colour is where it went if it is heavy, else opposite? | Is it heavy or light? ... |

Every step is itself a question of one step, and they come alone too; shapes are asked for as
colours are. Of three steps each has another source, and no source tells which of its facts counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.builtin import _files, _render, _scene
from polymodal.builtin._random import pick, stream

MOST = 3
MEDIA = {"picture": "png", "sensor": "npy"}
# Where something may go, where the thing is that it then meets, and what lies opposite.
PLACES = {
    "left": ("left", "right"),
    "right": ("right", "left"),
    "up": ("top", "bottom"),
    "down": ("bottom", "top"),
}
# Centres of the things, as fractions of the picture's side.
CENTRES = {"left": (0.2, 0.5), "right": (0.8, 0.5), "top": (0.5, 0.2), "bottom": (0.5, 0.8)}
ASPECTS = ("colour", "shape")
WENT, WEIGHED = "Which way did it go?", "Is it heavy or light?"
AT = "What {} is at the {}?"
# Noise of the sensor, where the motion's peak is about 1; how far a thing is from its centre.
TREMOR, JITTER = 0.1, 0.03


@dataclass(frozen=True)
class Scene:
    """The facts of one row.

    Attributes:
        things: place -> the thing there.
        motion: one of PLACES.
        weight: in grams; above 50 is heavy.
    """

    things: Mapping[str, _render.Thing]
    motion: str
    weight: float

    @property
    def heaviness(self) -> str:
        return "heavy" if self.weight > 50 else "light"


def write(
    folder: str | Path,
    rows: int = 6000,
    seed: int = 0,
    size: int = 32,
    aspects: tuple[str, ...] = ASPECTS,
    splits: Mapping[str, float] = _files.SPLITS,
) -> dict[str, Path]:
    """Render the set: a CSV file for each split, and a folder of files for each media column.

    The same arguments give the same bytes. Columns: picture, sensor, weight, question, steps (how
    many; no model is to read it), rationale, answer.

    Args:
        folder: made if need be; files of the same name are replaced.
        rows: in all splits together; a third of each number of steps.
        seed: another one gives other scenes.
        size: side of the pictures in pixels.
        aspects: what is asked of things, some of ASPECTS.
        splits: name -> share of the rows.

    Returns:
        Split -> path of its CSV file. Media cells hold paths relative to the folder.

    Raises:
        UserError: an argument is out of range, or the folder cannot be written to.
    """
    _files.check(rows, seed)
    if not 24 <= size <= 512:
        raise UserError(f"size={size} is out of range", expected="24 to 512 pixels")
    if not aspects:
        raise UserError("Nothing is asked of things", expected=f"some of {', '.join(ASPECTS)}")
    for aspect in aspects:
        _files.choose("aspect", aspect, ASPECTS)
    cells = _cells(rows, seed, size, aspects)
    return _files.write(folder, cells, MEDIA, _files.divide(rows, splits))


def _cells(rows: int, seed: int, size: int, aspects: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    seen: set[bytes] = set()
    for number in range(rows):
        scene = imagine(stream(seed, number, "scene"))
        rng = stream(seed, number, "question")
        asked = ask(scene, 1 + number % MOST, pick(aspects, rng), rng)
        draws = {
            "picture": partial(_picture, scene, size, stream(seed, number, "picture")),
            "sensor": partial(_sensor, scene, stream(seed, number, "sensor")),
        }
        media = {name: _files.unseen(draw, seen) for name, draw in draws.items()}
        yield {**media, "weight": scene.weight, **asked}


def imagine(rng: np.random.Generator) -> Scene:
    """A scene with random facts, all independent and even."""
    things = {
        place: _render.Thing(
            pick(_render.SHAPES, rng),
            pick(list(_render.COLOURS), rng),
            x + float(rng.uniform(-JITTER, JITTER)),
            y + float(rng.uniform(-JITTER, JITTER)),
            float(rng.uniform(0.13, 0.16)),
        )
        for place, (x, y) in CENTRES.items()
    }
    weight = _scene.WEIGHTS[pick(list(_scene.WEIGHTS), rng)]
    return Scene(things, pick(list(PLACES), rng), round(float(rng.uniform(*weight)), 1))


def ask(scene: Scene, steps: int, aspect: str, rng: np.random.Generator) -> dict[str, Any]:
    """A question of so many steps: its columns question, steps, rationale and answer.

    Args:
        aspect: what of a thing is asked.
    """

    def at(place: str) -> tuple[str, str]:
        return AT.format(aspect, place), str(getattr(scene.things[place], aspect))

    weighed, went = (WEIGHED, scene.heaviness), (WENT, scene.motion)
    there, opposite = PLACES[scene.motion]
    if steps == 1:
        # A thing as often as the other two together.
        place, other = pick(list(CENTRES), rng), pick(list(CENTRES), rng)
        chain = [pick((at(place), at(other), went, weighed), rng)]
        question = chain[0][0]
    elif steps == 2:
        question, chain = f"What {aspect} is where it went?", [went, at(there)]
    else:
        question = f"What {aspect} is where it went if it is heavy, else opposite?"
        chain = [weighed, went, at(there if scene.heaviness == "heavy" else opposite)]
    reasons = " ".join(f"{asked} {answer}." for asked, answer in chain)
    return {"question": question, "steps": steps, "rationale": reasons, "answer": chain[-1][1]}


def _picture(scene: Scene, size: int, rng: np.random.Generator) -> bytes:
    return _render.png(_render.picture(list(scene.things.values()), size, rng))


def _sensor(scene: Scene, rng: np.random.Generator) -> bytes:
    x, y = _scene.DIRECTIONS[scene.motion]
    return _render.npy(_render.drift((x, y, 0), int(rng.integers(32, 49)), rng, TREMOR))
