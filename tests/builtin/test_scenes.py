from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image
from scipy import ndimage, stats

from polymodal.base.errors import UserError
from polymodal.builtin import _scene, _topics, scenes
from polymodal.builtin._render import COLOURS

pytestmark = pytest.mark.whole

EVERYTHING = (*scenes.SOURCES, *scenes.TEXTS)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.fixture(scope="module")
def easy(tmp_path_factory) -> tuple[Path, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("easy")
    paths = scenes.write(folder, rows=150, seed=3, columns=EVERYTHING)
    return folder, pd.concat([pd.read_csv(path) for path in paths.values()], ignore_index=True)


# Trivial decoders: no learning, each a line or two of arithmetic.
def things(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels as integers, and which of them are not the ground's; specks are passed over."""
    pixels = np.asarray(Image.open(path)).astype(int)
    drawn = np.abs(pixels - np.median(pixels, (0, 1))).sum(2) > 130
    return pixels, ndimage.median_filter(drawn, 3)


def colour(path: Path) -> str:
    pixels, drawn = things(path)
    mean = pixels[drawn].mean(0)
    return min(COLOURS, key=lambda name: float(np.abs(mean - COLOURS[name]).sum()))


def shape(path: Path) -> str:
    _, drawn = things(path)
    box = drawn[ndimage.find_objects(drawn.astype(int))[0]]
    foot = box[-max(2, len(box) // 8) :].mean()
    if box.mean() > 0.9:
        return "square"
    if foot > 0.8:
        return "triangle"
    return "circle" if box.mean() > 0.68 else "cross"


def pitch(path: Path) -> str:
    samples, rate = soundfile.read(path)
    hertz = np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)
    return "low" if hertz < 450 else "middle" if hertz < 1100 else "high"


def beeps(path: Path) -> str:
    samples, rate = soundfile.read(path)
    hertz = np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)
    # How much the sound resembles one beep of its pitch, from moment to moment.
    beep = np.hanning(rate // 10) * np.exp(2j * np.pi * hertz * np.arange(rate // 10) / rate)
    alike = np.abs(np.correlate(samples, beep, "same"))
    return {1: "one", 2: "two", 3: "three"}[ndimage.label(alike > 0.5 * alike.max())[1]]


def motion(path: Path) -> str:
    x, y, _ = np.load(path).mean(0)
    if abs(x) > abs(y):
        return "right" if x > 0 else "left"
    return "up" if y > 0 else "down"


def trend(path: Path) -> str:
    with av.open(io.BytesIO(path.read_bytes())) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    return "growing" if frames[-1].mean() > frames[0].mean() else "shrinking"


def test_the_answer_can_be_read_from_the_media(easy):
    folder, table = easy
    for row in table.to_dict("records"):
        facts = {
            shape(folder / row["picture"]),
            colour(folder / row["picture"]),
            pitch(folder / row["sound"]),
            motion(folder / row["sensor"]),
            trend(folder / row["clip"]),
            "heavy" if row["weight"] > 50 else "light",
            row["place"],
        }
        assert row["answer"] in facts, row
        assert f"one {colour(folder / row['picture'])} {shape(folder / row['picture'])}" in (
            row["caption"].lower()
        )
        assert row["rationale"].endswith(f"So the answer is {row['answer']}.")


def test_things_and_beeps_can_be_counted_at_hard(tmp_path):
    columns = ("picture", "sound", "caption")
    paths = scenes.write(
        tmp_path, 60, difficulty="hard", columns=columns, size=96, splits={"all": 1}
    )
    table = pd.read_csv(paths["all"])
    heard = 0
    for row in table.to_dict("records"):
        told = sum(
            row["caption"].lower().split().count(word) * (i + 1)
            for i, word in enumerate(_scene.NUMBERS)
        )
        assert ndimage.label(things(tmp_path / row["picture"])[1])[1] == told
        if "beep" in row["question"]:
            heard += 1
            assert beeps(tmp_path / row["sound"]) == row["answer"]
    assert heard > 0


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        scenes.write(tmp_path / name, 12, seed, "hard", EVERYTHING, size=48)
    one, again, other = (contents(tmp_path / name) for name in ("one", "again", "other"))
    assert one == again
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one)


def test_no_two_rows_share_a_file(easy):
    folder, _ = easy
    hashes = Counter(hashlib.sha256(data).hexdigest() for data in contents(folder).values())
    assert max(hashes.values()) == 1
    assert len(hashes) == 150 * 4 + 2


def test_a_column_left_out_changes_no_other(tmp_path, easy):
    folder, _ = easy
    scenes.write(tmp_path, rows=150, seed=3, columns=("sound", "weight"))
    few = contents(tmp_path)
    assert all(few[name] == (folder / name).read_bytes() for name in few if "sound" in name)
    table = pd.concat([pd.read_csv(tmp_path / f"{split}.csv") for split in ("train", "test")])
    assert list(table) == ["question", "sound", "weight", "answer"]
    assert set(table["answer"]) == {"low", "middle", "high", "heavy", "light"}


def test_splits(tmp_path):
    shares = {"train": 0.7, "valid": 0.1, "test": 0.2}
    paths = scenes.write(tmp_path / "new" / "folder", 33, columns=("place",), splits=shares)
    assert [len(pd.read_csv(path)) for path in paths.values()] == [23, 3, 7]
    assert all(paths[split] == tmp_path / "new" / "folder" / f"{split}.csv" for split in shares)


def test_pictures_have_the_size_asked_for(tmp_path):
    scenes.write(tmp_path, 5, columns=("picture",), size=40)
    with Image.open(tmp_path / "picture" / "000000.png") as picture:
        assert picture.size == (40, 40)


@pytest.mark.parametrize("difficulty", ["easy", "hard"])
def test_a_question_leaves_its_answers_equally_likely(difficulty):
    """By topic, and by what is asked about: no word of a question hints at the answer."""
    rows = scenes._draw(1500, 0, difficulty, scenes.SOURCES)
    answers: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        answers[row.topic, ""][row.answer] += 1
        for word in ("red", "circles", "left", "Please"):
            if word in row.question:
                answers[row.topic, word][row.answer] += 1
    assert {topic for topic, _ in answers} == set(_scene.LEVELS[difficulty].topics)
    for (topic, _), counts in answers.items():
        known = _topics.TOPICS[topic].answers
        assert set(counts) <= set(known)
        seen = [counts[answer] for answer in known]
        assert stats.chisquare(seen).pvalue > 1e-4, (topic, counts)


def test_wordings_vary():
    rows = scenes._draw(500, 0, "easy", scenes.COLUMNS)
    assert len({row.question for row in rows}) > 300


def test_ceilings_of_the_defaults():
    known = scenes.ceilings(rows=1500)
    # Six topics with 4, 4, 3, 4, 2 and 4 answers; each source holds no answer twice.
    assert known.pop("question") == pytest.approx(np.mean([1 / 4] * 4 + [1 / 3, 1 / 2]), abs=0.01)
    assert known.pop("all") == 1
    assert set(known) == set(scenes.COLUMNS)
    assert list(known.values()) == pytest.approx([1 / 6] * 5)


def test_ceilings_of_single_sources():
    alone = scenes.ceilings(rows=50, columns=("picture", "caption", "rationale"))
    assert alone == pytest.approx(
        {"question": 0.25, "picture": 0.5, "caption": 0.5, "rationale": 1, "all": 1}
    )
    assert scenes.ceilings(rows=50, columns=("place",))["place"] == pytest.approx(1)


@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
@pytest.mark.parametrize("columns", [scenes.COLUMNS, ("picture", "sound")])
def test_no_column_alone_reaches_70_percent(difficulty, columns):
    known = scenes.ceilings(300, 0, difficulty, columns)
    assert known.pop("all") == 1
    assert max(known.values()) < 0.7


def test_ceilings_are_what_counting_answers_gives():
    """The best guess for every state of a column, by counting many rows."""
    columns = ("picture", "sound")
    rows = scenes._draw(2500, 1, "easy", columns)
    states = {
        "question": [row.topic for row in rows],
        "picture": [(row.scene.groups[0].shape, row.scene.groups[0].colour) for row in rows],
        "sound": [row.scene.pitch for row in rows],
    }
    known = scenes.ceilings(2500, 1, "easy", columns)
    for column, states_of in states.items():
        counted: dict[object, Counter[str]] = defaultdict(Counter)
        for state, row in zip(states_of, rows, strict=True):
            counted[state][row.answer] += 1
        best = sum(max(answers.values()) for answers in counted.values()) / len(rows)
        assert known[column] == pytest.approx(best, abs=0.03)


def test_an_answer_that_two_sources_share_raises_the_ceiling():
    """At hard the picture's count may also be the number of beeps, whatever is asked."""
    rows = scenes._draw(300, 0, "hard", ("picture", "sound"))
    topics = ["count", "beeps"]
    # Half the questions ask for one of the three groups' counts, half for beeps not heard.
    alike = [Counter(g.count for g in row.scene.groups).most_common(1)[0][1] for row in rows]
    expected = np.mean(alike) / 3 / 2 + 1 / 3 / 2
    assert scenes._ceiling(rows, topics, {"picture"}) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rows": 0}, "rows"),
        ({"rows": 2}, "too few"),
        ({"seed": -1}, "seed"),
        ({"difficulty": "hrad"}, "did you mean 'hard'"),
        ({"columns": ("pictures",)}, "did you mean 'picture'"),
        ({"columns": ("caption",)}, "nothing to ask about"),
        ({"columns": ()}, "nothing to ask about"),
        ({"size": 8}, "size=8"),
        ({"splits": {"train": 0.5, "test": 0.2}}, "add up to 1"),
        ({"splits": {"train": 1.5, "test": -0.5}}, "add up to 1"),
        ({"splits": {}}, "add up to 1"),
    ],
)
def test_mistakes_are_explained(tmp_path, options, says):
    with pytest.raises(UserError, match=says):
        scenes.write(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="another folder"):
        scenes.write(tmp_path / "file", 5)


def test_tables_come_last(tmp_path, monkeypatch):
    """Interrupted in the middle, a folder holds no table that names missing files."""

    wav, written = scenes._render.wav, []

    def fail_at_the_third(samples):
        written.append(samples)
        if len(written) == 3:
            raise KeyboardInterrupt
        return wav(samples)

    monkeypatch.setattr(scenes._render, "wav", fail_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        scenes.write(tmp_path, 5)
    assert len(list((tmp_path / "picture").iterdir())) == 2
    assert not list(tmp_path.glob("*.csv"))
