"""Scenes: rendered pictures, sounds and sensor series with a question about one of them.

A row is a scene seen through several columns, and a question whose answer only one of them holds:

| column | kind | what may be asked of it |
|---|---|---|
| picture | image | shape, colour; from "medium" on what is closest to an edge; at "hard" how many |
| sound | audio | how high it is; at "hard" how many beeps |
| sensor | series (velocity in x, y, z) | which way it moved |
| clip | video | whether a disc grows or shrinks |
| weight | number (grams) | heavy or light |
| place | category | where it was |

The question says what to look for and nothing of the answer, a source holds several answers and
not which is asked for: each column alone is weak, together they always suffice. `ceilings` gives
the exact figures: at the defaults .31 for the question and 1/6 for every other column, against 1
for all of them together.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.builtin import _files, _render, _scene, _topics
from polymodal.builtin._random import pick, stream

SOURCES = ("picture", "sound", "sensor", "clip", "weight", "place")
# A caption and boxes tell what the picture does, a rationale ends with the answer itself: targets,
# or inputs of other tasks, and therefore written only when asked for.
TEXTS = ("caption", "rationale", "boxes")
COLUMNS = ("picture", "sound", "sensor", "weight", "place")
SUFFIXES = {"picture": "png", "sound": "wav", "sensor": "npy", "clip": "mp4"}


@dataclass(frozen=True)
class _Row:
    """A scene and the question asked about it."""

    scene: _scene.Scene
    topic: str
    question: str
    answer: str
    caption: str
    rationale: str


def write(
    folder: str | Path,
    rows: int = 3000,
    seed: int = 0,
    difficulty: str = "easy",
    columns: Sequence[str] = COLUMNS,
    size: int = 64,
    splits: Mapping[str, float] = _files.SPLITS,
) -> dict[str, Path]:
    """Render a data set: a CSV file for each split and a folder of files for each media column.

    The same arguments give the same bytes. No two rows share a picture, sound, series or clip.
    A row's scene depends on the seed, its number and the difficulty alone.

    Args:
        folder: made if need be; files of the same name are replaced.
        rows: in all splits together.
        seed: another one gives other scenes.
        difficulty: "easy" draws one large thing. "medium" draws two that differ in shape and
            colour, so that a question says which it means, asks also what is closest to an edge,
            and adds noise to sound and sensor. "hard" draws three groups of one to three things,
            two groups of one shape and two of one colour, asks also for numbers of things and of
            beeps, and adds more noise, to the picture too.
        columns: of SOURCES and TEXTS; "question" and "answer" are always written. Questions are
            about the sources among them only.
        size: side of the pictures in pixels.
        splits: name -> share of the rows.

    Returns:
        Split -> path of its CSV file. Media cells hold paths relative to the folder.

    Raises:
        UserError: an argument is out of range, or the folder cannot be written to.
    """
    _check(rows, seed, difficulty, columns)
    if not 32 <= size <= 512:
        raise UserError(f"size={size} is out of range", expected="32 to 512 pixels")
    suffixes = {column: SUFFIXES[column] for column in columns if column in SUFFIXES}
    counts = _files.divide(rows, splits)
    cells = _cells(_draw(rows, seed, difficulty, columns), seed, difficulty, columns, size)
    return _files.write(folder, cells, suffixes, counts)


def ceilings(
    rows: int = 3000,
    seed: int = 0,
    difficulty: str = "easy",
    columns: Sequence[str] = COLUMNS,
) -> dict[str, float]:
    """The best accuracy that any model can expect from one column alone, for each column.

    Computed from the facts behind the rows that `write` makes with the same arguments: given what
    a column tells, every answer has an exact probability, and the best guess is the likeliest.
    What is rendered counts as legible, so noise can only make the true figures lower.

    Returns:
        Column -> mean over the rows of the likeliest answer's probability; and "all": 1.0.
    """
    _check(rows, seed, difficulty, columns)
    drawn = _draw(rows, seed, difficulty, columns)
    topics = _asked(difficulty, columns)
    alone = {column: _ceiling(drawn, topics, {column}) for column in ("question", *columns)}
    return {**alone, "all": _ceiling(drawn, topics, {"question", *columns})}


def _ceiling(rows: Sequence[_Row], topics: Sequence[str], seen: Collection[str]) -> float:
    """Mean probability of the likeliest answer to a model that sees only the columns `seen`."""
    if "rationale" in seen:
        return 1.0
    total = 0.0
    for row in rows:
        possible = [row.topic] if "question" in seen else topics
        chances: dict[str, float] = {}
        for name in possible:
            for answer, chance in _answers(row, name, seen).items():
                chances[answer] = chances.get(answer, 0.0) + chance / len(possible)
        total += max(chances.values())
    return total / len(rows)


def _answers(row: _Row, name: str, seen: Collection[str]) -> dict[str, float]:
    """The answers to a question on this topic and their probabilities, from the columns `seen`."""
    topic = _topics.TOPICS[name]
    known = topic.source in seen or (topic.source == "picture" and "caption" in seen)
    if not known:
        return dict.fromkeys(topic.answers, 1 / len(topic.answers))
    if "question" in seen:
        return {row.answer: 1.0}
    asked = topic.askable(row.scene)
    chances: dict[str, float] = {}
    for one in asked:
        chances[one.answer] = chances.get(one.answer, 0.0) + 1 / len(asked)
    return chances


def _asked(difficulty: str, columns: Collection[str]) -> list[str]:
    """What is asked about: the level's topics whose source is written."""
    asked = _scene.LEVELS[difficulty].topics
    return [name for name in asked if _topics.TOPICS[name].source in columns]


def _draw(rows: int, seed: int, difficulty: str, columns: Collection[str]) -> list[_Row]:
    """Scenes and questions, a random stream for each row and purpose."""
    topics = _asked(difficulty, columns)
    drawn = []
    for number in range(rows):
        scene = _scene.imagine(_scene.LEVELS[difficulty], stream(seed, number, "scene"))
        rng = stream(seed, number, "question")
        name = pick(topics, rng)
        topic = _topics.TOPICS[name]
        asked = pick(topic.askable(scene), rng)
        question = _topics.word(pick(topic.wordings, rng), asked.about, rng)
        caption = _topics.describe(scene, stream(seed, number, "caption"))
        rationale = _topics.reason(topic, asked)
        drawn.append(_Row(scene, name, question, asked.answer, caption, rationale))
    return drawn


def _cells(
    drawn: Sequence[_Row], seed: int, difficulty: str, columns: Sequence[str], size: int
) -> Iterator[dict[str, Any]]:
    """The rows of the table with their media as bytes."""
    level = _scene.LEVELS[difficulty]
    seen: set[bytes] = set()
    for number, row in enumerate(drawn):
        cells: dict[str, Any] = {"question": row.question}
        for column in columns:
            if column in SUFFIXES:
                rng = stream(seed, number, column)
                draw = partial(_render_cell, column, row.scene, level, size, rng)
                cells[column] = _files.unseen(draw, seen)
            elif column == "boxes":
                cells[column] = _boxes(row.scene, size)
            else:
                cells[column] = getattr(row if column in TEXTS else row.scene, column)
        yield {**cells, "answer": row.answer}


def _boxes(scene: _scene.Scene, size: int) -> str:
    """Boxes around a scene's things, [x, y, width, height, shape] in pixels, in JSON."""
    found = [(thing.shape, _render.around(thing)) for thing in scene.things]
    return json.dumps([[*(round(size * n, 2) for n in box), shape] for shape, box in found])


def _render_cell(
    column: str, scene: _scene.Scene, level: _scene.Level, size: int, rng: np.random.Generator
) -> bytes:
    """The file of one media cell."""
    if column == "picture":
        return _render.png(_render.picture(scene.things, size, rng, level.speckle))
    if column == "sound":
        hertz = float(np.exp(rng.uniform(*np.log(_scene.PITCHES[scene.pitch]))))
        pauses = rng.uniform(0.06, 0.12, scene.beeps) + _render.BEEP_SECONDS
        starts = rng.uniform(0.02, 0.15) + np.cumsum(pauses) - pauses[0]
        return _render.wav(_render.beeps(hertz, starts.tolist(), 0.8, rng, level.hiss))
    if column == "sensor":
        x, y = _scene.DIRECTIONS[scene.motion]
        return _render.npy(_render.drift((x, y, 0), int(rng.integers(32, 49)), rng, level.tremor))
    small, large = rng.uniform(0.1, 0.18), rng.uniform(0.28, 0.4)
    radii = np.linspace(small, large, 8)
    shades = (int(rng.integers(0, 60)), int(rng.integers(160, 256)))
    x, y = rng.uniform(0.42, 0.58, 2)
    frames = [_render.disc(x, y, radius, 32, shades) for radius in radii]
    return _render.mp4(np.stack(frames if scene.trend == "growing" else frames[::-1]))


def _check(rows: int, seed: int, difficulty: str, columns: Sequence[str]) -> None:
    """UserError unless the arguments describe a data set."""
    _files.check(rows, seed)
    _files.choose("difficulty", difficulty, _scene.LEVELS)
    for column in columns:
        _files.choose("column", column, (*SOURCES, *TEXTS))
    if not set(columns) & set(SOURCES):
        raise UserError(
            "Without a source there is nothing to ask about",
            expected=f"at least one of {', '.join(SOURCES)}",
            got=", ".join(columns) or "no column",
        )
