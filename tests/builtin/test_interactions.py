from __future__ import annotations

import io
from collections import Counter
from itertools import product
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from polymodal.base.errors import UserError
from polymodal.builtin import _bits, interactions

# Known answers of `evaluate`'s definitions: majority, Shapley values, cooperation.
KNOWN = {
    "xor": (0.5, (0.25, 0.25), {"ab": 0.5}),
    "redundant": (0.5, (0.25, 0.25), {"ab": -0.5}),
    "unique": (0.5, (0.5, 0), {"ab": 0}),
    "and": (0.75, (0.125, 0.125), {"ab": 0.25}),
    "parity": (0.5, (1 / 6, 1 / 6, 1 / 6), {"ab": 0.25, "ac": 0.25, "bc": 0.25, "abc": 0.5}),
    "noise": (0.5, (0.5, 0), {"ab": 0}),
}
VALUES = {
    "xor": {"a": 0.5, "b": 0.5, "ab": 1},
    "redundant": {"a": 1, "b": 1, "ab": 1},
    "unique": {"a": 1, "b": 0.5, "ab": 1},
    "and": {"a": 0.75, "b": 0.75, "ab": 1},
    "parity": {"a": 0.5, "b": 0.5, "c": 0.5, "ab": 0.5, "ac": 0.5, "bc": 0.5, "abc": 1},
    "noise": {"a": 1, "b": 0.5, "ab": 1},
}
LABEL = {
    "xor": lambda a, b: a != b,
    "redundant": lambda a, b: a and b,
    "unique": lambda a, b: a,
    "and": lambda a, b: a and b,
    "parity": lambda a, b, c: (a + b + c) % 2 == 1,
    "noise": lambda a, b: a,
}


def text(cell: str) -> int:
    found = [any(word in cell.lower() for word in mood) for mood in _bits._MOODS]
    assert sum(found) == 1
    return found.index(True)


def image(cell: bytes) -> int:
    red, _, blue = np.asarray(Image.open(io.BytesIO(cell))).mean((0, 1))
    return int(red > blue)


def audio(cell: bytes) -> int:
    samples, rate = soundfile.read(io.BytesIO(cell))
    return int(np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples) > 700)


def video(cell: bytes) -> int:
    with av.open(io.BytesIO(cell)) as container:
        frames = [f.to_ndarray(format="gray").astype(float) for f in container.decode(video=0)]
    first, last = (
        np.average(np.arange(32), weights=f.sum(0) - f.sum(0).min())
        for f in (frames[0], frames[-1])
    )
    return int(last > first)


def series(cell: np.ndarray) -> int:
    steps = np.arange(len(cell))
    return int(np.polyfit(steps, cell[:, 0], 1)[0] > 0)


def number(cell: float) -> int:
    return int(cell > 0)


def category(cell: str) -> int:
    return [cell in codes for codes in _bits._CODES].index(True)


DECODE = {
    "text": text,
    "image": image,
    "audio": audio,
    "video": video,
    "series": series,
    "number": number,
    "category": category,
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("game", interactions.GAMES)
def test_table_gives_the_known_answers(game):
    majority, shapley, cooperation = KNOWN[game]
    table = interactions.table(game)
    values = {"".join(sorted(seen)): value for seen, value in table["values"].items()}
    assert values == pytest.approx({"": majority, **VALUES[game]})
    assert table["majority"] == pytest.approx(majority)
    assert tuple(table["shapley"].values()) == pytest.approx(shapley)
    found = {"".join(sorted(merged)): value for merged, value in table["cooperation"].items()}
    assert found == pytest.approx(cooperation)


@given(game=st.sampled_from(sorted(interactions.GAMES)), noise=st.floats(0, 0.5))
def test_turned_labels_shrink_every_value_towards_a_coin(game, noise):
    clean, noisy = interactions.table(game), interactions.table(game, noise)
    for seen, value in clean["values"].items():
        assert noisy["values"][seen] == pytest.approx(0.5 + (1 - 2 * noise) * (value - 0.5))
    everyone = frozenset(noisy["shapley"])
    gained = noisy["values"][everyone] - noisy["majority"]
    assert sum(noisy["shapley"].values()) == pytest.approx(gained)


@pytest.mark.parametrize("kind", _bits.KINDS)
def test_the_bit_can_be_read_from_every_kind(kind):
    frame = interactions.frame("redundant", (kind, "number"), rows=60, seed=5)
    read = [DECODE[kind](cell) for cell in frame[f"a_{kind}"]]
    assert read == [int(label == "yes") for label in frame["label"]]
    assert 10 < sum(read) < 50


@pytest.mark.parametrize("game", ["xor", "redundant", "unique", "and", "parity"])
def test_labels_follow_the_truth_table_and_bits_are_even(game):
    players = len(interactions.table(game)["shapley"])
    kinds = ("number", "category", "text")[:players]
    frame = interactions.frame(game, kinds, rows=800)
    bits = [
        tuple(
            DECODE[kind](row[f"{letter}_{kind}"])
            for letter, kind in zip("abc", kinds, strict=False)
        )
        for row in frame.to_dict("records")
    ]
    expected = ["yes" if LABEL[game](*b) else "no" for b in bits]
    assert frame["label"].tolist() == expected
    possible = {(0, 0), (1, 1)} if game == "redundant" else set(product((0, 1), repeat=players))
    counts = Counter(bits)
    assert set(counts) == possible
    even = 800 / len(possible)
    assert all(abs(count - even) < 5 * even**0.5 for count in counts.values())


def test_noise_differs_from_unique_only_in_what_b_shows():
    unique = interactions.frame("unique", ("category", "text"), rows=100)
    noise = interactions.frame("noise", ("category", "text"), rows=100)
    pd.testing.assert_series_equal(unique["label"], noise["label"])
    pd.testing.assert_series_equal(unique["a_category"], noise["a_category"])
    assert {text(cell) for cell in unique["b_text"]} == {0, 1}
    moods = {word for mood in _bits._MOODS for word in mood}
    assert not any(word in cell.lower() for cell in noise["b_text"] for word in moods)


@pytest.mark.parametrize("kind", ["image", "audio", "video", "series", "number", "category"])
def test_cells_of_pure_noise_tell_nothing_of_the_label(kind):
    frame = interactions.frame("noise", ("number", kind), rows=100)
    agree = [
        DECODE[kind](cell) == (label == "yes")
        for cell, label in zip(frame[f"b_{kind}"], frame["label"], strict=True)
    ]
    # Five standard errors of a fair coin.
    assert abs(np.mean(agree) - 0.5) < 5 * 0.5 / 100**0.5


def test_labels_are_turned_as_often_as_asked_and_nothing_else_changes():
    clean = interactions.frame("xor", ("text", "number"), rows=1000)
    noisy = interactions.frame("xor", ("text", "number"), rows=1000, noise=0.2)
    turned = (clean["label"] != noisy["label"]).mean()
    assert turned == pytest.approx(0.2, abs=5 * (0.16 / 1000) ** 0.5)
    pd.testing.assert_frame_equal(clean.drop(columns="label"), noisy.drop(columns="label"))


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    kinds = ("image", "video", "audio")
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        interactions.write(tmp_path / name, "parity", kinds, rows=20, seed=seed)
    one, again, other = (contents(tmp_path / name) for name in ("one", "again", "other"))
    assert one == again
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one)


def test_write_writes_what_frame_holds(tmp_path):
    kinds = ("image", "series", "text")
    paths = interactions.write(tmp_path, "parity", kinds, rows=25, seed=4)
    frame = interactions.frame("parity", kinds, rows=25, seed=4)
    read = pd.concat([pd.read_csv(path) for path in paths.values()], ignore_index=True)
    assert [len(pd.read_csv(path)) for path in paths.values()] == [20, 5]
    assert list(read) == ["a_image", "b_series", "c_text", "label"]
    assert read["c_text"].tolist() == frame["c_text"].tolist()
    assert read["label"].tolist() == frame["label"].tolist()
    for path, cell in zip(read["a_image"], frame["a_image"], strict=True):
        assert (tmp_path / path).read_bytes() == cell
    for path, cell in zip(read["b_series"], frame["b_series"], strict=True):
        np.testing.assert_array_equal(np.load(tmp_path / path), cell)


@pytest.mark.parametrize("game", ["xor", "noise"])
def test_no_two_rows_share_a_text_or_a_file(game):
    frame = interactions.frame(game, ("audio", "text"), rows=500)
    assert frame["a_audio"].nunique() == 500
    assert frame["b_text"].nunique() == 500


def test_more_rows_start_with_the_same_ones():
    few = interactions.frame(kinds=("number", "image"), rows=10)
    many = interactions.frame(kinds=("number", "image"), rows=30)
    pd.testing.assert_frame_equal(few, many.head(10))


def test_a_kind_may_come_twice():
    frame = interactions.frame("xor", ("text", "text"), rows=50)
    read = [text(a) ^ text(b) for a, b in zip(frame["a_text"], frame["b_text"], strict=True)]
    assert read == [int(label == "yes") for label in frame["label"]]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"game": "xorr"}, "did you mean 'xor'"),
        ({"kinds": ("text", "imag")}, "did you mean 'image'"),
        ({"kinds": ("text",)}, "2 kinds"),
        ({"game": "parity"}, "3 kinds"),
        ({"noise": 0.7}, "0 to 0.5"),
        ({"noise": float("nan")}, "0 to 0.5"),
        ({"rows": 0}, "rows"),
        ({"rows": 2}, "too few"),
        ({"seed": -3}, "seed"),
    ],
)
def test_mistakes_are_explained(tmp_path, options, says):
    with pytest.raises(UserError, match=says):
        interactions.write(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_table_of_an_unknown_game_is_explained():
    with pytest.raises(UserError, match="did you mean 'parity'"):
        interactions.table("pariti")
