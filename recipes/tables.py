"""The tables that the recipes of this folder read, made of what was downloaded, or drawn.

    python recipes/tables.py scenes
    git clone https://github.com/Jakobovski/free-spoken-digit-dataset
    python recipes/tables.py digits free-spoken-digit-dataset/recordings
    python recipes/tables.py home free-spoken-digit-dataset/recordings
    python recipes/tables.py speech free-spoken-digit-dataset/recordings
    git clone https://github.com/leondz/emerging_entities_17
    python recipes/tables.py entities emerging_entities_17
    git clone --depth 1 https://github.com/aeon-toolkit/aeon
    python recipes/tables.py motions aeon/aeon/datasets/data/BasicMotions
    python recipes/tables.py clips
    python recipes/tables.py reports
    python recipes/tables.py questions
    python recipes/tables.py captions
    python recipes/tables.py support
    python recipes/tables.py clip_questions
    python recipes/tables.py reviews "Womens Clothing E-Commerce Reviews.csv"   # from Kaggle

Each writes train.csv and test.csv (.jsonl of conversations) into recipes/data/NAME, which is where
the recipes look.
What is made of no download is drawn, `--rows` of it, and so is what the sensor of `home` sees.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from PIL import Image, ImageDraw, ImageFilter

from polymodal.builtin import _render, _scene, _topics, scenes
from polymodal.builtin._random import pick, stream

DATA = Path(__file__).parent / "data"
Tables = dict[str, pd.DataFrame]


def pictures(folder: Path, rows: int) -> Tables:
    """Pictures with captions; one in eleven for the test."""
    columns, splits = ("picture", "caption"), {"train": 10 / 11, "test": 1 / 11}
    scenes.write(folder, rows, 0, "hard", columns, 64, splits)
    return {name: pd.read_csv(folder / f"{name}.csv")[list(columns)] for name in splits}


def digits(source: Path, folder: Path) -> Tables:
    """Spoken digits, DIGIT_SPEAKER_NUMBER.wav; by their authors' advice 0 to 4 are for the test."""
    rows: dict[str, list[dict[str, str]]] = {"train": [], "test": []}
    (folder / "sound").mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*_*_*.wav")):
        digit, _, number = path.stem.split("_")
        shutil.copy(path, folder / "sound")
        split = "test" if int(number) < 5 else "train"
        rows[split].append({"sound": f"sound/{path.name}", "command": digit})
    return {name: pd.DataFrame(own) for name, own in rows.items()}


NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
# Digits of a string, at least and at most, and the longest pause between two of them, in seconds.
DIGITS, PAUSE = (2, 4), 0.15


def speech(source: Path, folder: Path) -> Tables:
    """Strings of two to four digits that one speaker says, with their words: recordings of
    `digits`, those of its test for the test, joined with short pauses of a little noise; as many
    strings as there are recordings."""
    rng = np.random.default_rng(0)
    found = {}
    for split, table in digits(source, folder).items():
        speakers = table.groupby(table["sound"].str.split("_").str[1])
        voices = [own for _, own in sorted(speakers)]
        rows = []
        for i in range(len(table)):
            said = voices[i % len(voices)].sample(
                rng.integers(DIGITS[0], DIGITS[1] + 1), replace=True, random_state=rng
            )
            parts: list[np.ndarray] = []
            for path in said["sound"]:
                samples, rate = soundfile.read(folder / path, dtype="float32")
                pause = rng.normal(0, 1e-3, int(rng.uniform(0, PAUSE) * rate))
                parts += [samples, pause.astype(np.float32)]
            path = f"sound/{split}-{i}.wav"
            soundfile.write(folder / path, np.concatenate(parts[:-1]), rate)
            words = " ".join(NAMES[int(digit)] for digit in said["command"])
            rows.append({"sound": path, "words": words})
        found[split] = pd.DataFrame(rows)
    return found


# What the first digits ask of a house, and what its sensor sees: how far somebody in the room
# sways, and what is done with the wish.
WISHES = ("lights", "heating", "blinds", "music", "door")
SEEN = {"empty": None, "sitting": "{} low", "walking": "{} high", "falling": "call for help"}


def home(source: Path, folder: Path) -> Tables:
    """A spoken wish, a sensor's three channels, drawn, and what is to be done: 12 answers.

    Neither is enough: what is wished only the sound tells, whether anybody is there to wish it,
    or has fallen, only the sensor.
    """
    rng = np.random.default_rng(0)
    (folder / "sensor").mkdir(parents=True, exist_ok=True)
    found = {}
    for name, table in digits(source, folder).items():
        table = table[table["command"].astype(int) < len(WISHES)].reset_index(drop=True)
        wishes, paths, actions = table.pop("command"), [], []
        for i, wish in enumerate(wishes.astype(int)):
            state = str(rng.choice(list(SEEN)))
            paths.append(f"sensor/{name}-{i}.npy")
            np.save(folder / paths[-1], _moved(state, rng))
            action = SEEN[state]
            actions.append("nothing" if action is None else action.format(WISHES[wish]))
        found[name] = table.assign(sensor=paths, action=actions)
    return found


def _moved(state: str, rng: np.random.Generator) -> np.ndarray:
    """Four seconds of acceleration at 25 Hz, `(100, 3)`, in units of gravity."""
    time = np.arange(100) / 25
    found = rng.normal(0, 0.05, (100, 3))
    if state == "walking":
        found += 0.3 * np.sin(2 * np.pi * rng.uniform(1.6, 2.2) * time[:, None] + rng.random(3) * 6)
    elif state == "sitting":
        found += 0.08 * np.sin(2 * np.pi * rng.uniform(0.2, 0.4) * time[:, None])
    elif state == "falling":
        at = rng.integers(20, 80)
        found[at : at + 3] += rng.uniform(1, 2) * rng.choice([-1, 1], 3)
    return found.astype(np.float32)


def entities(source: Path, folder: Path) -> Tables:
    """Words and tags of WNUT-17, whose files have a line a word and an empty line a sentence."""
    files = {"train": "wnut17train.conll", "test": "emerging.test.annotated"}
    return {name: pd.DataFrame(_sentences(source / file)) for name, file in files.items()}


def _sentences(path: Path) -> Iterator[dict[str, str]]:
    blocks = path.read_text(encoding="utf-8").replace("\t\n", "\n").split("\n\n")
    for block in blocks:
        pairs = [line.split("\t") for line in block.splitlines() if "\t" in line]
        if pairs:
            words, tags = ([pair[i].strip() for pair in pairs] for i in range(2))
            yield {"words": json.dumps(words), "tags": json.dumps(tags)}


def motions(source: Path, folder: Path) -> Tables:
    """Basic motions: six channels of a watch's sensors, in the text form of the UEA archive."""
    (folder / "sensor").mkdir(parents=True, exist_ok=True)
    found = {}
    for name in ("train", "test"):
        text = (source / f"BasicMotions_{name.upper()}.ts").read_text(encoding="utf-8")
        lines = text.partition("@data")[2].split()
        rows = []
        for i, line in enumerate(lines):
            *channels, label = line.split(":")
            steps = np.array([one.split(",") for one in channels], np.float32).T
            rows.append({"sensor": f"sensor/{name}-{i}.npy", "activity": label})
            np.save(folder / rows[-1]["sensor"], steps)
        found[name] = pd.DataFrame(rows)
    return found


def clips(folder: Path, rows: int) -> Tables:
    """Clips of 16 frames: a disc grows or shrinks while it goes to a side; a fourth to test."""
    rng = np.random.default_rng(0)
    (folder / "clip").mkdir(parents=True, exist_ok=True)
    found = []
    for i in range(rows):
        grows, right = rng.random(2) < 0.5
        way = np.linspace(0, 1, 16)
        sizes = rng.uniform(0.08, 0.12) + 0.14 * (way if grows else 1 - way)
        across = 0.3 + 0.4 * (way if right else 1 - way) + rng.uniform(-0.08, 0.08)
        down, shades = rng.uniform(0.35, 0.65), (int(rng.integers(20, 90)), 200)
        frames = [_render.disc(x, down, r, 64, shades) for x, r in zip(across, sizes, strict=True)]
        noisy = [_render.speckled(frame, 20, rng) for frame in frames]
        path = f"clip/{i}.mp4"
        (folder / path).write_bytes(_render.mp4(np.stack(noisy)))
        event = f"{'comes' if grows else 'goes'} from the {'left' if right else 'right'}"
        found.append({"clip": path, "event": event})
    table, train = pd.DataFrame(found), rows * 3 // 4
    return {"train": table[:train], "test": table[train:]}


SIDES, HALVES = ("left", "right"), ("upper", "lower")
SIZES = {"small": 3.5, "large": 6.5}


def reports(folder: Path, rows: int) -> Tables:
    """Drawn pictures of chests with a record of each, and a report; a fourth for the test.

    A report names what the picture shows and what the record says, and ends with what only both
    together tell. Nothing here is of any patient, or medical knowledge.
    """
    rng = np.random.default_rng(0)
    (folder / "xray").mkdir(parents=True, exist_ok=True)
    found = []
    for i in range(rows):
        seen, size = bool(rng.random() < 0.7), str(rng.choice(list(SIZES)))
        side, half, wide = rng.integers(2), rng.integers(2), bool(rng.random() < 0.3)
        path, age = f"xray/{i}.png", int(rng.integers(18, 91))
        degrees = round(
            float(rng.uniform(36.2, 37.4) if rng.random() < 0.5 else rng.uniform(38.1, 40)), 1
        )
        _chest((side, half, SIZES[size]) if seen else None, wide, rng).save(folder / path)
        where = (
            f"{size} opacity in the {SIDES[side]} {HALVES[half]} lung" if seen else "clear lungs"
        )
        heart = "wide heart" if wide else "heart of normal size"
        fever = degrees > 38
        ends = {(True, True): "pneumonia likely", (True, False): "picture again in six weeks"}
        end = ends.get((seen, fever), "look elsewhere for the fever" if fever else "nothing to do")
        said = f"{where}, {heart}; {degrees} degrees at {age} years: {end}."
        report = said[0].upper() + said[1:]
        found.append({"xray": path, "age": age, "temperature": degrees, "report": report})
    table, train = pd.DataFrame(found), rows * 3 // 4
    return {"train": table[:train], "test": table[train:]}


def _chest(
    opacity: tuple[int, int, float] | None, wide: bool, rng: np.random.Generator
) -> Image.Image:
    """64 x 64 pixels, grey: two dark lungs, ribs, a heart, and perhaps an opacity in a lung.

    As on films, the patient's left is on the right.
    """
    found = Image.new("L", (64, 64), int(rng.integers(140, 170)))
    pen = ImageDraw.Draw(found)
    dx, dy = rng.uniform(-2, 2, 2)
    for x in (19, 45):
        pen.ellipse((x - 11 + dx, 8 + dy, x + 11 + dx, 56 + dy), fill=int(rng.integers(45, 70)))
    for y in range(12, 56, 7):
        pen.arc((6 + dx, y + dy, 58 + dx, y + 14 + dy), 190, 350, fill=100)
    reach = rng.uniform(13, 15) if wide else rng.uniform(7, 9)
    pen.ellipse((35 - reach + dx, 30 + dy, 35 + reach + dx, 54 + dy), fill=175)
    if opacity is not None:
        side, half, radius = opacity
        x = (48, 16)[side] + dx + rng.uniform(-2, 2)
        y = (19, 43)[half] + dy + rng.uniform(-3, 3)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=190)
    soft = np.asarray(found.filter(ImageFilter.GaussianBlur(1)), float)
    noisy = soft + rng.normal(0, 6, soft.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


# People who answer a question, and how often one of them is mistaken.
PEOPLE, MISTAKEN = 10, 0.1


def questions(folder: Path, rows: int) -> Tables:
    """Pictures of a thing with a question and ten people's answers, as in VQA; a sixth to test.

    `answer` is the true one.
    """
    splits = {"train": 5 / 6, "test": 1 / 6}
    paths = scenes.write(folder, rows, 0, "easy", ("picture",), 64, splits)
    rng = np.random.default_rng(0)
    found = {}
    for name, path in paths.items():
        table = pd.read_csv(path)
        table.insert(2, "answers", [json.dumps(_people(one, rng)) for one in table["answer"]])
        found[name] = table
    return found


def _people(answer: str, rng: np.random.Generator) -> list[str]:
    """What they say; who is mistaken says another answer to a question of this sort."""
    (known,) = {
        t.answers for t in _topics.TOPICS.values() if t.source == "picture" and answer in t.answers
    }
    others = [one for one in known if one != answer]
    return [pick(others, rng) if rng.random() < MISTAKEN else answer for _ in range(PEOPLE)]


CAPTIONS = (
    "{0} at the {1}.",
    "At the {1} there is {0}.",
    "A picture of {0}, {1}.",
    "Somebody has drawn {0} at the {1}.",
    "{0}: look {1}.",
)


def captions(folder: Path, rows: int) -> Tables:
    """Pictures of a thing somewhere, each with five captions; a sixth for the test."""
    splits = {"train": 5 / 6, "test": 1 / 6}
    paths = scenes.write(folder, rows, 0, "easy", ("picture",), 64, splits)
    found, number = {}, 0
    for name, path in paths.items():
        own = []
        for picture in pd.read_csv(path)["picture"]:
            # A row's scene depends on its number alone.
            (thing,) = _scene.imagine(_scene.LEVELS["easy"], stream(0, number, "scene")).things
            place = f"{HALVES[int(thing.y > 0.5)]} {SIDES[int(thing.x > 0.5)]}"
            said = [one.format(f"a {thing.colour} {thing.shape}", place) for one in CAPTIONS]
            texts = json.dumps([one[0].upper() + one[1:] for one in said])
            own.append({"picture": picture, "captions": texts})
            number += 1
        found[name] = pd.DataFrame(own)
    return found


# What a user may want, and what of a window keeps him from it: its button, or a bar of a colour.
WANTED = {
    "save": ("I cannot save my letter.", "How do I keep this text?", "Saving does not work."),
    "send": ("I cannot send my letter.", "How does this get to my friend?", "Sending fails."),
}
SHOWN = ("Here it is.", "This is what I see.", "I have taken this picture.", "Look:")
BARS = {"offline": (205, 60, 50), "full": (230, 180, 40), "well": (60, 160, 80)}
HELP = {
    ("send", "offline"): "You are offline: connect, then send it again.",
    ("save", "full"): "The disk is full: delete a file, then save again.",
}


def support(folder: Path, rows: int) -> Tables:
    """Conversations of a user with a helper about a window that he shows; a sixth for the test.

    What helps depends on what the user wants, which only his words say, and on what keeps him from
    it: of buttons that are grey his own counts alone, no disk is needed to send, and no network to
    save. The test asks for last answers only.
    """
    rng = np.random.default_rng(0)
    (folder / "window").mkdir(parents=True, exist_ok=True)
    found = []
    for i in range(rows):
        wish, bar = pick(list(WANTED), rng), pick(list(BARS), rng)
        grey = {name: bool(rng.random() < 0.35) for name in WANTED}
        path = f"window/{i}.png"
        _window(BARS[bar], list(grey.values()), rng).save(folder / path)
        advice = HELP.get((wish, bar), f"Nothing is wrong: {wish} it once more.")
        if grey[wish]:
            advice = f"The button is grey: fill in every field, then {wish} it."
        shown = [{"type": "image", "path": path}, {"type": "text", "text": pick(SHOWN, rng)}]
        found.append(
            [
                {"role": "system", "content": "You help people who write letters."},
                {"role": "user", "content": pick(WANTED[wish], rng)},
                {"role": "assistant", "content": f"Please show me the window where you {wish} it."},
                {"role": "user", "content": shown},
                {"role": "assistant", "content": advice},
            ]
        )
    train = rows * 5 // 6
    test = [{"messages": one[:-1], "answer": one[-1]["content"]} for one in found[train:]]
    return {"train": pd.DataFrame({"messages": found[:train]}), "test": pd.DataFrame(test)}


def _window(bar: tuple[int, int, int], grey: list[bool], rng: np.random.Generator) -> Image.Image:
    """48 x 48 pixels: a window somewhere, its title, a bar, lines of text and two buttons."""
    found = Image.new("RGB", (48, 48), tuple(int(one) for one in rng.integers(60, 200, 3)))
    pen = ImageDraw.Draw(found)
    x, y = (int(one) for one in rng.integers(1, 8, 2))
    pen.rectangle((x, y, x + 38, y + 38), fill=(240, 240, 240), outline=(70, 70, 70))
    pen.rectangle((x, y, x + 38, y + 4), fill=(70, 80, 110))
    pen.rectangle((x + 3, y + 8, x + 35, y + 12), fill=bar)
    for line in range(y + 16, y + 28, 4):
        pen.line((x + 4, line, x + int(rng.integers(12, 34)), line), (150, 150, 150))
    for place, is_grey in zip((x + 4, x + 22), grey, strict=True):
        fill = (200, 200, 200) if is_grey else (70, 110, 200)
        pen.rectangle((place, y + 29, place + 12, y + 35), fill=fill)
    return found


WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
SHADES = {"dark": 30, "bright": 220}
CLIP_QUESTIONS = {
    "number": ("How many discs are there?", "Count the discs.", "How many do you see?"),
    "way": ("Which way do they go?", "Where do they move?", "In what direction is that?"),
    "first": ("Are they bright or dark first?", "Which shade comes first?"),
}


def clip_questions(folder: Path, rows: int) -> Tables:
    """Clips of eight frames, in which up to three discs move, and a question; a sixth to test."""
    rng = np.random.default_rng(0)
    (folder / "clip").mkdir(parents=True, exist_ok=True)
    found = []
    for i in range(rows):
        number, way, first = int(rng.integers(1, 4)), pick(list(WAYS), rng), pick(list(SHADES), rng)
        frames = _discs(number, WAYS[way], first == "bright", rng)
        path = f"clip/{i}.mp4"
        (folder / path).write_bytes(_render.mp4(frames))
        facts = {"number": ("one", "two", "three")[number - 1], "way": way, "first": first}
        about = pick(list(facts), rng)
        question = pick(CLIP_QUESTIONS[about], rng)
        found.append({"clip": path, "question": question, "answer": facts[about]})
    table, train = pd.DataFrame(found), rows * 5 // 6
    return {"train": table[:train], "test": table[train:]}


def _discs(number: int, way: tuple[int, int], bright: bool, rng: np.random.Generator) -> np.ndarray:
    """Discs side by side that go one way, uint8 `(8, 32, 32)`; halfway their shade changes."""
    lanes = rng.permutation([0.2, 0.5, 0.8])[:number]
    starts, radius = rng.uniform(0.2, 0.4, number), rng.uniform(0.07, 0.11)
    shades = [SHADES["bright"], SHADES["dark"]] if bright else [SHADES["dark"], SHADES["bright"]]
    frames = []
    for step in range(8):
        inside = np.zeros((32, 32))
        for lane, start in zip(lanes, starts, strict=True):
            along = start + 0.4 * step / 7
            along = along if sum(way) > 0 else 1 - along
            x, y = (along, lane) if way[0] else (lane, along)
            inside = np.maximum(inside, _render.disc(x, y, radius, 32, (0, 255)) / 255)
        frame = 125 + inside * (shades[step // 4] - 125)
        frames.append(_render.speckled(frame, 8, rng))
    return np.stack(frames)


def reviews(source: Path, folder: Path) -> Tables:
    """Women's E-Commerce Clothing Reviews: the texts, each once, a fifth of them for the test."""
    table = pd.read_csv(source)
    table.columns = table.columns.str.lower().str.replace(" ", "_")
    texts = table[["review_text"]].dropna().drop_duplicates()
    mixed = texts.sample(frac=1, random_state=0)
    train = len(mixed) * 4 // 5
    return {"train": mixed[:train], "test": mixed[train:]}


# What is made of a folder or file, and what is drawn, with its usual number of rows.
MADE: dict[str, Callable[[Path, Path], Tables]] = {
    "digits": digits,
    "home": home,
    "speech": speech,
    "entities": entities,
    "motions": motions,
    "reviews": reviews,
}
DRAWN: dict[str, tuple[Callable[[Path, int], Tables], int]] = {
    "scenes": (pictures, 5500),
    "clips": (clips, 800),
    "reports": (reports, 4000),
    "questions": (questions, 3600),
    "captions": (captions, 3600),
    "support": (support, 2400),
    "clip_questions": (clip_questions, 3600),
}


def write(name: str, source: Path | None, folder: Path, rows: int | None = None) -> dict[str, Path]:
    """Write a table's splits and media into a folder.

    Args:
        source: of what is made; None for what is drawn.
        rows: of what is drawn, both splits together.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if source is not None:
        tables = MADE[name](source, folder)
    else:
        draw, usual = DRAWN[name]
        tables = draw(folder, rows or usual)
    paths = {}
    for split, table in tables.items():
        if "messages" in table:
            paths[split] = folder / f"{split}.jsonl"
            table.to_json(paths[split], orient="records", lines=True, force_ascii=False)
        else:
            paths[split] = folder / f"{split}.csv"
            table.to_csv(paths[split], index=False)
        print(f"{paths[split]}: {len(table)} rows")
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=[*MADE, *DRAWN])
    parser.add_argument("source", type=Path, nargs="?", help="what was downloaded")
    parser.add_argument("--rows", type=int, help="of what is drawn, both tables together")
    parser.add_argument("--out", type=Path, help="recipes/data/NAME unless told otherwise")
    given = parser.parse_args()
    if (given.name in MADE) != bool(given.source and given.source.exists()):
        parser.error(f"{', '.join(MADE)} are made of a folder or file that exists, others of none")
    write(given.name, given.source, given.out or DATA / given.name, given.rows)


if __name__ == "__main__":
    main()
