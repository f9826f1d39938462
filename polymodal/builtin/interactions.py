"""Interactions: two or three modalities with one hidden bit each, and a label made from the bits.

How much each modality and their combination is worth is known exactly, so a measurement of it can
be tested. `a`, `b` and `c` are the modalities in the order of `kinds`; their columns are called
`a_text`, `b_image` and so on.

| game | label | what it tests |
|---|---|---|
| xor | a XOR b | each alone is worthless, together they tell everything |
| redundant | a, which equals b | the second adds nothing to the first |
| unique | a | b is a clear bit of its own that has nothing to do with the label |
| and | a AND b | each helps, and more so with the other |
| parity | a XOR b XOR c | even two of three are worthless |
| noise | a | the second is no signal at all: fusing it cannot pay |

"unique" and "noise" have the same table: b is worthless in both. They differ in what a model
meets: in "unique" b is as easy to read as a, a tempting pattern to overfit to; in "noise" its
cells are random pixels, hiss or neutral words, in which there is no pattern to find.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import factorial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from polymodal.base.errors import UserError
from polymodal.builtin import _bits, _files
from polymodal.builtin._random import pick, stream

if TYPE_CHECKING:
    import pandas as pd

LABELS = ("no", "yes")


@dataclass(frozen=True)
class Game:
    """How bits make a label.

    Attributes:
        bits: the equally likely combinations of the modalities' bits.
        label: bits -> 0 or 1.
        silent: positions of the modalities whose cells do not show their bit.
    """

    bits: tuple[tuple[int, ...], ...]
    label: Callable[[tuple[int, ...]], int]
    silent: tuple[int, ...] = ()


_PAIRS = tuple(product((0, 1), repeat=2))
GAMES: dict[str, Game] = {
    "xor": Game(_PAIRS, lambda bits: sum(bits) % 2),
    "redundant": Game(((0, 0), (1, 1)), lambda bits: bits[0]),
    "unique": Game(_PAIRS, lambda bits: bits[0]),
    "and": Game(_PAIRS, lambda bits: min(bits)),
    "parity": Game(tuple(product((0, 1), repeat=3)), lambda bits: sum(bits) % 2),
    "noise": Game(_PAIRS, lambda bits: bits[0], silent=(1,)),
}


class Table(TypedDict):
    """Exact accuracies of a game, by sets of the letters "a", "b", "c".

    Keys:
        values: set of modalities -> accuracy of the best possible model that sees only these.
        majority: the accuracy with none of them.
        shapley: modality -> its Shapley value.
        cooperation: set of two or more -> C: Shapley value of the set as one player, less the sum
            of its members' where each plays without the others (SHAPE, arXiv 2205.00302).
    """

    values: dict[frozenset[str], float]
    majority: float
    shapley: dict[str, float]
    cooperation: dict[frozenset[str], float]


def write(
    folder: str | Path,
    game: str = "xor",
    kinds: Sequence[str] = ("text", "image"),
    rows: int = 5000,
    seed: int = 0,
    noise: float = 0.0,
    splits: Mapping[str, float] = _files.SPLITS,
) -> dict[str, Path]:
    """Write a game as a CSV file for each split and a folder of files for each media column.

    The same arguments give the same bytes. No two rows share a text or a media file.

    Args:
        folder: made if need be; files of the same name are replaced.
        game: one of GAMES.
        kinds: the modalities' kinds, any of text, image, audio, video, series, number and
            category; a kind may come twice. As many as the game has players.
        rows: in all splits together, drawn independently.
        seed: another one gives other rows.
        noise: chance that a row's label is turned to the other one, 0 to 0.5.
        splits: name -> share of the rows.

    Returns:
        Split -> path of its CSV file. Media cells hold paths relative to the folder.

    Raises:
        UserError: an argument is out of range, or the folder cannot be written to.
    """
    _check(game, kinds, rows, seed, noise)
    counts = _files.divide(rows, splits)
    names = _columns(kinds)
    media = {
        name: _bits.SUFFIXES[kind]
        for name, kind in zip(names, kinds, strict=True)
        if kind in _bits.SUFFIXES
    }
    return _files.write(folder, _cells(game, kinds, rows, seed, noise), media, counts)


def frame(
    game: str = "xor",
    kinds: Sequence[str] = ("text", "image"),
    rows: int = 5000,
    seed: int = 0,
    noise: float = 0.0,
) -> pd.DataFrame:
    """The rows that `write` writes, in memory: media files as bytes, a series as an array.

    Args: as for `write`. A series is float32 `(steps, 2)`.

    Raises:
        UserError: an argument is out of range.
    """
    import pandas as pd

    _check(game, kinds, rows, seed, noise)
    return pd.DataFrame(list(_cells(game, kinds, rows, seed, noise)))


def table(game: str, noise: float = 0.0) -> Table:
    """What a game's modalities are worth to the best possible model, from its truth table.

    Args:
        game: one of GAMES.
        noise: chance that a label is turned, as in `write`.
    """
    _files.choose("game", game, GAMES)
    _check_noise(noise)
    letters = "abc"[: len(GAMES[game].bits[0])]
    subsets = [frozenset(s) for n in range(len(letters) + 1) for s in combinations(letters, n)]
    values = {seen: _value(GAMES[game], seen, noise) for seen in subsets}
    cooperation = {}
    for merged in subsets:
        if len(merged) > 1:
            others = [frozenset(x) for x in letters if x not in merged]
            alone = sum(_shapley(frozenset(x), others, values) for x in merged)
            cooperation[merged] = _shapley(merged, others, values) - alone
    shapley = {
        x: _shapley(frozenset(x), [frozenset(y) for y in letters if y != x], values)
        for x in letters
    }
    return Table(
        values=values, majority=values[frozenset()], shapley=shapley, cooperation=cooperation
    )


def _value(game: Game, seen: frozenset[str], noise: float) -> float:
    """Accuracy of the likeliest label given the bits of the modalities in `seen`."""
    chances: dict[tuple[int, ...], list[float]] = {}
    for bits in game.bits:
        shown = tuple(bit for bit, letter in zip(bits, "abc", strict=False) if letter in seen)
        label = game.label(bits)
        both = chances.setdefault(shown, [0.0, 0.0])
        both[label] += (1 - noise) / len(game.bits)
        both[1 - label] += noise / len(game.bits)
    return sum(max(both) for both in chances.values())


def _shapley(
    player: frozenset[str],
    others: Sequence[frozenset[str]],
    values: Mapping[frozenset[str], float],
) -> float:
    """Shapley value of a player, who may be several modalities, in the game with the others."""
    count = len(others) + 1
    total = 0.0
    for size in range(count):
        share = factorial(size) * factorial(count - size - 1) / factorial(count)
        for chosen in combinations(others, size):
            before: frozenset[str] = frozenset().union(*chosen)
            total += share * (values[before | player] - values[before])
    return total


def _columns(kinds: Sequence[str]) -> list[str]:
    return [f"{letter}_{kind}" for letter, kind in zip("abc", kinds, strict=False)]


def _cells(
    game: str, kinds: Sequence[str], rows: int, seed: int, noise: float
) -> Iterator[dict[str, Any]]:
    """The rows of the table with their media as bytes and arrays."""
    rules = GAMES[game]
    seen: set[bytes] = set()
    for row in range(rows):
        rng = stream(seed, row, "bits")
        bits = pick(rules.bits, rng)
        label = rules.label(bits) ^ int(rng.random() < noise)
        cells: dict[str, Any] = {}
        for i, (name, kind) in enumerate(zip(_columns(kinds), kinds, strict=True)):
            shown = None if i in rules.silent else bits[i]
            cells[name] = _cell(kind, shown, stream(seed, row, name), seen)
        yield {**cells, "label": LABELS[label]}


def _cell(kind: str, bit: int | None, rng: np.random.Generator, seen: set[bytes]) -> Any:
    """One cell; of a kind that can always be new, one that was not seen before."""
    if kind in ("number", "category"):
        return _bits.render(kind, bit, rng)
    return _files.unseen(lambda: _bits.render(kind, bit, rng), seen)


def _check(game: str, kinds: Sequence[str], rows: int, seed: int, noise: float) -> None:
    """UserError unless the arguments describe a data set."""
    _files.choose("game", game, GAMES)
    _check_noise(noise)
    _files.check(rows, seed)
    players = len(GAMES[game].bits[0])
    if len(kinds) != players:
        raise UserError(
            f"The game '{game}' is played by {players} modalities",
            expected=f"{players} kinds",
            got=", ".join(kinds) or "none",
        )
    for kind in kinds:
        _files.choose("kind", kind, _bits.KINDS)


def _check_noise(noise: float) -> None:
    if not 0 <= noise <= 0.5:
        raise UserError(f"noise={noise} is out of range", expected="a number from 0 to 0.5")
