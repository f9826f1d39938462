"""Bad input through the command line: one clear error, exit code 2, no traceback, nothing left."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typed import files, one_error, polymodal

from polymodal.fitting import fit as fitting
from polymodal.fitting import learn
from polymodal.table.media import Media
from polymodal.train.loop import Loop

pytestmark = pytest.mark.whole

Make = Callable[[Path], None]
Case = tuple[Make, list[str], str]

HEADER = "note,level,label\n"
ROWS = [f"the {w} one {i},{i / 7:.3f},{w}\n" for i in range(30) for w in ("a", "b")]
GOOD = HEADER + "".join(ROWS)
NEW = "note,level\nthe a one,1.5\nthe b one,2.5\n"
# One small network and nothing measured: a fit of a second that repeats to the last bit.
QUICK = """
train: t.csv
target: label
data: {split: random}
width: 8
training: {epochs: 1, precision: fp32, attention: plain, memory_format: contiguous, threads: 1}
"""


# -- what is wrong -------------------------------------------------------------------------------


def text(content: str, name: str = "t.csv") -> Make:
    return lambda folder: (folder / name).write_text(content) and None


def raw(content: bytes) -> Make:
    return lambda folder: (folder / "t.csv").write_bytes(content) and None


def lines(*cells: str) -> Make:
    """A good table with further rows."""
    return text(GOOD + "".join(f"{row}\n" for row in cells))


def recipe(change: str, table: str = GOOD) -> Make:
    """A good table and the quick recipe with further lines."""
    return both(text(table), text(QUICK + change, "r.yaml"))


def both(*makers: Make) -> Make:
    def make(folder: Path) -> None:
        for one in makers:
            one(folder)

    return make


def rows(name: str, cells: list[dict[str, object]]) -> Make:
    return text("".join(json.dumps(row) + "\n" for row in cells), name)


def series(bad: object) -> Make:
    """Lists of two channels in the table itself, and one that is bad."""
    good = [{"series": [[i, 1], [2, i]], "label": "ab"[i % 2]} for i in range(20)]
    return rows("t.jsonl", [*good, {"series": bad, "label": "a"}])


def tags(*counts: tuple[int, int]) -> Make:
    """Sentences with a tag a word, and some with these numbers of words and tags."""
    cells = [(4, 4)] * 40 + list(counts)
    return rows(
        "t.jsonl",
        [
            {
                "words": [f"w{i}{k}" for k in range(n)],
                "tags": ["O", "B"] * (m // 2) + ["O"] * (m % 2),
            }
            for i, (n, m) in enumerate(cells)
        ],
    )


def media(name: str, bad: bytes | Callable[[Path], object], column: str = "image") -> Make:
    """A table of good media but for one file."""

    def make(folder: Path) -> None:
        suffix = Path(name).suffix
        written = [folder / f"good{i}{suffix}" for i in range(20)]
        for i, path in enumerate(written):
            path.write_bytes(whole(suffix, i))
        bad(folder / name) if callable(bad) else (folder / name).write_bytes(bad)
        cells = [f"{path.name},{'ab'[i % 2]}" for i, path in enumerate(written)]
        (folder / "t.csv").write_text("\n".join([f"{column},label", *cells, f"{name},a", ""]))

    return make


def whole(suffix: str, seed: int = 0, samples: int = 800) -> bytes:
    """A small real file of that kind."""
    rng, stream = np.random.default_rng(seed), io.BytesIO()
    if suffix == ".npy":
        np.save(stream, rng.normal(size=(9, 2)))
    elif suffix == ".wav":
        import soundfile

        soundfile.write(stream, rng.normal(size=samples) / 9, 8000, format="WAV")
    elif suffix == ".mp4":
        import av

        with av.open(stream, "w", format="mp4") as file:
            track = file.add_stream("mpeg4", rate=10)
            track.width = track.height = 32
            for _ in range(4):
                picture = rng.integers(0, 255, (32, 32, 3), np.uint8)
                file.mux(track.encode(av.VideoFrame.from_ndarray(picture)))
            file.mux(track.encode(None))
    else:
        noise = Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8))
        noise.save(stream, "JPEG" if suffix == ".jpg" else "PNG")
    return stream.getvalue()


def half(suffix: str) -> bytes:
    return whole(suffix)[: len(whole(suffix)) // 2]


def ten_hours(path: Path) -> None:
    """A real WAV of silence, of which the disk holds the header only."""
    size = 10 * 3600 * 8000
    fields = (b"RIFF", 36 + size, b"WAVEfmt ", 16, 1, 1, 8000, 8000, 1, 8, b"data", size)
    path.write_bytes(struct.pack("<4sI8sIHHIIHH4sI", *fields))
    os.truncate(path, 44 + size)


def bomb(path: Path) -> None:
    """A flat picture of 100 megapixels in a file of a few kilobytes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    side = 10_000
    pixels = zlib.compress(bytes((side // 8 + 1) * side))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    assert path.stat().st_size < 50_000


# -- fitting -------------------------------------------------------------------------------------

FIT = ["fit", "t.csv", "--target", "label", "--budget", "5s", "--out", "run"]
JSONL = ["fit", "t.jsonl", *FIT[2:]]
RECIPE = ["fit", "r.yaml", "--out", "run"]

FITS: dict[str, Case] = {
    "no such file": (lambda _: None, FIT, "t.csv"),
    "near miss of a file": (text(GOOD, "t1.csv"), FIT, "did you mean 't1.csv'"),
    "empty file": (text(""), FIT, "empty"),
    "header only": (text(HEADER), FIT, "row"),
    "unknown format": (text(GOOD, "t.xls"), ["fit", "t.xls", *FIT[2:]], ".parquet"),
    "unknown target": (text(GOOD), [*FIT[:3], "lable", *FIT[4:]], "did you mean 'label'"),
    "unknown dropped column": (text(GOOD), [*FIT, "--drop", "levle"], "did you mean 'level'"),
    "unknown group column": (text(GOOD), [*FIT, "--group", "nope"], "nope"),
    "unknown kind": (text(GOOD), [*FIT, "--kind", "note=txt"], "text"),
    "kind without column": (text(GOOD), [*FIT, "--kind", "text"], "COLUMN=KIND"),
    "everything dropped": (text(GOOD), [*FIT, "--drop", "note", "--drop", "level"], "no column"),
    "column called as the model of all": (text(GOOD.replace("note", "fused", 1)), FIT, "rename it"),
    "target dropped": (text(GOOD), [*FIT, "--drop", "label"], "label"),
    "duplicate header": (text(GOOD.replace("level", "note", 1)), FIT, "'note' 2 times"),
    "column all missing": (
        text("level,label\n" + "NaN,a\n,b\n" * 20),
        FIT,
        "all 40 cells are missing",
    ),
    "declared column all missing": (
        text("note,label\n" + ",a\n,b\n" * 20),
        [*FIT, "--kind", "note=text"],
        "note",
    ),
    "one class only": (text(GOOD.replace(",b\n", ",a\n")), FIT, "label"),
    "target all missing": (text(GOOD.replace(",a\n", ",\n").replace(",b\n", ",\n")), FIT, "label"),
    "target all NaN": (
        text(GOOD.replace(",a\n", ",NaN\n").replace(",b\n", ",nan\n")),
        FIT,
        "60 missing cells",
    ),
    "group cells missing": (lines(",1,a"), [*FIT, "--group", "note"], "1 missing cells"),
    "too few rows": (text(HEADER + "x,1,a\n"), FIT, "no column left to learn from"),
    "too few rows to split": (
        text(HEADER + ROWS[0]),
        [*FIT, "--kind", "note=text"],
        "divided in 5",
    ),
    "too few rows for folds": (text(HEADER + "".join(ROWS[:6])), [*FIT, "--folds", "9"], "9"),
    "folds below two": (text(GOOD), [*FIT, "--folds", "1"], "2"),
    "ragged row": (lines("x,1"), FIT, "62"),
    "broken quotes": (lines('"x,1,a'), FIT, "quotes"),
    "no numbers": (text(GOOD), [*FIT, "--kind", "note=number"], "neither a number nor a date"),
    "no such encoding": (text(GOOD), [*FIT, "--encoding", "cp99"], "cp1252"),
    "no such mark": (text(GOOD), [*FIT, "--decimal", "level=;"], "a point or a comma"),
    "no dates": (text(GOOD), [*FIT, "--date", "note=dmy"], "are no dates"),
    "missing in no column": (text(GOOD), [*FIT, "--missing", "levle=?"], "did you mean 'level'"),
    "not utf-8": (raw(GOOD.encode() + "caf\xe9,1,a\n".encode("latin-1")), FIT, "UTF-8"),
    "cp1252": (raw(GOOD.encode() + "Müller,1,a\n".encode("cp1252")), FIT, "encoding"),
    "broken json": (text('{"a": 1\n', "t.jsonl"), JSONL, "line 1"),
    "validation of other columns": (
        both(text(GOOD), text(GOOD.replace("level", "height"), "v.csv")),
        [*FIT, "--valid", "v.csv"],
        "height",
    ),
    "text named .png": (media("bad.png", b"hello, I am no picture"), FIT, "bad.png"),
    "truncated jpeg": (media("bad.jpg", half(".jpg")), FIT, "bad.jpg"),
    "picture of 0 bytes": (media("bad.png", b""), FIT, "bad.png is empty"),
    "picture that is not there": (media("bad.png", lambda _: None), FIT, "does not exist"),
    "picture of 100 megapixels": (media("bad.png", bomb), FIT, "too large"),
    "text named .wav": (media("bad.wav", b"no sound", "sound"), FIT, "bad.wav"),
    "truncated wav": (media("bad.wav", half(".wav"), "sound"), FIT, "truncated"),
    "sound of 0 bytes": (media("bad.wav", b"", "sound"), FIT, "bad.wav is empty"),
    "sound of 10 hours": (media("bad.wav", ten_hours, "sound"), FIT, "too long a sound"),
    "truncated mp4": (media("bad.mp4", half(".mp4"), "clip"), FIT, "truncated"),
    "video of 0 bytes": (media("bad.mp4", b"", "clip"), FIT, "bad.mp4 is empty"),
    "truncated series": (media("bad.npy", half(".npy"), "series"), FIT, "bad.npy"),
    "ragged series": (series([[1, 2], [3]]), JSONL, "row 20"),
    "infinity in a series": (series([[1, float("inf")], [1, 2]]), JSONL, "not finite"),
    "series of other channels": (series([[1, 2, 3]] * 3), JSONL, "channels"),
    "one tag too few": (tags((4, 3)), [*JSONL[:3], "tags", *JSONL[4:]], "3 tags and 4 words"),
    "tags for no words": (
        tags(*[(4, 3)] * 40),
        [*JSONL[:3], "tags", *JSONL[4:], "--kind", "tags=tags"],
        "as many words",
    ),
    "bad budget": (text(GOOD), [*FIT[:5], "soon", *FIT[6:]], "5m"),
    "negative budget": (text(GOOD), [*FIT[:5], "-5s", *FIT[6:]], "5m"),
    "negative seed": (text(GOOD), [*FIT, "--seed", "-1"], "'seed'"),
    "seed of letters": (text(GOOD), [*FIT, "--seed", "lucky"], "--seed"),
    "bad split": (text(GOOD), [*FIT, "--split", "half"], "split"),
    "unknown time column": (text(GOOD), [*FIT, "--split", "time:when"], "when"),
    "unknown flag": (text(GOOD), [*FIT, "--speed", "9"], "speed"),
    "unknown command": (text(GOOD), ["fot", "t.csv"], "fot"),
    "unknown tracker": (text(GOOD), [*FIT, "--track", "tensorbored"], "tensorboard"),
    "no target": (text(GOOD), ["fit", "t.csv", "--out", "run"], "target"),
    "out is a file": (text(GOOD), [*FIT[:-1], "t.csv"], "t.csv"),
    "out below a file": (text(GOOD), [*FIT[:-1], "t.csv/run"], "cannot be written"),
    "out where none can write": (text(GOOD), [*FIT[:-1], "/proc/run"], "cannot be written"),
    "missing recipe": (text(GOOD), ["fit", "none.yaml", "--out", "run"], "none.yaml"),
    "recipe that is no mapping": (text("- a\n", "r.yaml"), RECIPE, "mapping"),
    "recipe that is no yaml": (text("a: [1\n", "r.yaml"), RECIPE, "YAML"),
    "recipe with an unknown key": (recipe("fusoin: sum"), RECIPE, "did you mean 'fusion'"),
    "recipe with a wrong type": (recipe("seed: lucky"), RECIPE, "'seed'"),
    "recipe with a number as target": (recipe("target: 3"), RECIPE, "column's name"),
    "recipe with a component of no name": (recipe("fusion: {heads: 2}"), RECIPE, "'name'"),
    "recipe with an unknown component": (recipe("fusion: gatd"), RECIPE, "did you mean 'gated'"),
    "recipe with an unknown option": (
        recipe("fusion: {name: early, haeds: 2}"),
        RECIPE,
        "did you mean 'heads'",
    ),
    "recipe with an option of a wrong type": (
        recipe("fusion: {name: early, heads: two}"),
        RECIPE,
        "heads='two'",
    ),
    "recipe with an impossible option": (
        recipe("fusion: {name: early, heads: 3}"),
        RECIPE,
        "heads",
    ),
    "recipe with an unknown augmentation": (
        recipe("modalities: {note: {augment: {dorp: 0.1}}, table: {}}"),
        RECIPE,
        "did you mean 'drop'",
    ),
    "recipe with an unknown modality": (recipe("modalities: {noet: {}}"), RECIPE, "'note'"),
    "recipe with an unknown task": (
        both(text(GOOD), text("train: t.csv\ntargets: {label: rank}\n", "r.yaml")),
        RECIPE,
        "classify",
    ),
    "recipe with target and targets": (recipe("targets: {label: classify}"), RECIPE, "both"),
    "recipe whose file does not exist": (recipe("fusion: mine.py:Mine"), RECIPE, "mine.py"),
}

# -- a finished run ------------------------------------------------------------------------------

PREDICT = ["predict", "run", "--data", "new.csv", "--out", "p.csv"]
EVALUATE = ["evaluate", "run", "--data", "t.csv", "--out", "test"]


def new(content: str) -> Make:
    return text(content, "new.csv")


def cut(name: str, size: int) -> Make:
    return lambda folder: os.truncate(folder / "run" / name, size)


def gone(name: str) -> Make:
    return lambda folder: (folder / "run" / name).unlink()


def edited(**update: object) -> Make:
    def make(folder: Path) -> None:
        path = folder / "run" / "run.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **update}))

    return make


RUNS: dict[str, Case] = {
    "no run": (gone("run.json"), PREDICT, "not a finished run"),
    "evaluate no run": (gone("run.json"), EVALUATE, "not a finished run"),
    "no weights": (gone("model.safetensors"), PREDICT, "model.safetensors"),
    "no recipe": (gone("recipe.yaml"), PREDICT, "recipe.yaml"),
    "truncated weights": (cut("model.safetensors", 900), PREDICT, "damaged"),
    "run.json that is no JSON": (cut("run.json", 200), PREDICT, "damaged"),
    "run.json of another version": (edited(format=99), PREDICT, "format 99"),
    "run.json that lacks a part": (edited(forms=None), EVALUATE, "damaged"),
    "weights of another model": (edited(schema={"inputs": []}), PREDICT, "damaged"),
    "over a finished run": (lambda _: None, RECIPE, "--overwrite"),
    "overwritten by bad input": (
        text("note\n"),
        [*RECIPE, "--overwrite"],
        "no rows",
    ),
    "nothing to predict": (lambda _: None, ["predict", "run"], "predict"),
    "no such table": (lambda _: None, [*PREDICT[:3], "old.csv", *PREDICT[4:]], "old.csv"),
    "column missing": (new("note\nx\n"), PREDICT, "'level'"),
    "column renamed": (new(NEW.replace("level", "levle")), PREDICT, "is 'levle' meant"),
    "text in a number column": (new("note,level\nx,high\ny,low\n"), PREDICT, "'high'"),
    "infinite number": (new("note,level\nx,inf\ny,inf\n"), PREDICT, "infinite"),
    "flag of no column": (lambda _: None, ["predict", "run", "--picture", "a.png"], "note, level"),
    "table and flags": (lambda _: None, [*PREDICT, "--note", "x"], "both"),
    "no output file": (lambda _: None, PREDICT[:4], "--out"),
    "predictions below a file": (
        new(NEW),
        [*PREDICT[:5], "new.csv/p.csv"],
        "cannot be written",
    ),
    "predictions over a folder": (new(NEW), [*PREDICT[:5], "run"], "a folder in a file's place"),
    "predictions called a Parquet file": (new(NEW), [*PREDICT[:5], "p.parquet"], "p.csv"),
    "predictions on a full disk": (new(NEW), [*PREDICT[:5], "/dev/full"], "no space left"),
    "evaluate without targets": (text(NEW), EVALUATE, "'label'"),
    "evaluate an empty target": (text(HEADER + "x,1,\n"), EVALUATE, "no values"),
    "evaluate an unknown class": (text(GOOD + "x,1,c\n"), EVALUATE, "'c'"),
    "evaluate an unknown group": (lambda _: None, [*EVALUATE, "--group", "nots"], "'note'"),
    "evaluation below a file": (
        lambda _: None,
        [*EVALUATE[:5], "t.csv/test"],
        "a file in a folder's place",
    ),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, its recipe and the run that came of them."""
    folder = tmp_path_factory.mktemp("finished")
    recipe("")(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("POLYMODAL_CACHE", str(folder / "cache"))
        assert polymodal(*RECIPE) == 0
    return folder


def assert_one_error(capsys: pytest.CaptureFixture[str], says: str) -> None:
    shown = capsys.readouterr().err
    error = one_error(shown, says)
    # What would have been right, or is to be done now; of flags and commands Typer says it.
    says_how = ("\n  expected:", "\n  do:", "No such", "Invalid value")
    assert any(words in error for words in says_how), shown


@pytest.mark.parametrize("name", FITS)
def test_a_bad_fit_is_one_clear_error(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words, says = FITS[name]
    make(here)
    before = files(here)
    assert polymodal(*words) == 2
    assert_one_error(capsys, says)
    assert files(here) == before


@pytest.mark.parametrize("name", RUNS)
def test_bad_use_of_a_run_is_one_clear_error(
    name: str, finished: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, here, dirs_exist_ok=True)
    make, words, says = RUNS[name]
    make(here)
    before = files(here)
    assert polymodal(*words) == 2
    assert_one_error(capsys, says)
    assert files(here) == before


def test_bad_media_may_count_as_missing_and_are_counted(here: Path) -> None:
    media("bad.png", bomb)(here)
    (here / "r.yaml").write_text(QUICK)
    assert polymodal(*RECIPE, "--max-bad-rows", "1") == 0
    ledger = json.loads((here / "run" / "run.json").read_text())["ledger"]
    reason = "column 'image' of t.csv cannot be read: taken as missing"
    assert ledger["incomplete"] == {reason: 1} and ledger["skipped"] == {}
    assert ledger["used"] == {"training or validation": 21}


def test_long_sounds_are_cut_and_counted(here: Path) -> None:
    media("long.wav", whole(".wav", samples=801), "sound")(here)
    (here / "r.yaml").write_text(QUICK + "modalities: {sound: {form: {seconds: 0.1}}}")
    assert polymodal(*RECIPE) == 0
    ledger = json.loads((here / "run" / "run.json").read_text())["ledger"]
    assert ledger["truncated"] == {"column 'sound' of t.csv is too long for audio/mel: cut off": 1}


def test_ten_hours_take_little_memory(tmp_path: Path) -> None:
    ten_hours(tmp_path / "long.wav")
    tracemalloc.start()
    Media("long", path=str(tmp_path / "long.wav")).key()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20


# -- what is no mistake --------------------------------------------------------------------------

ALLOWED = {
    "unseen words, missing cells": "note,level\nnever seen,\n,9\n",
    "target missing": NEW,
    "target empty": HEADER + "the a one,1.5,\n",
    "further columns": "height,note,level\n7,the a one,1.5\n",
    "columns in another order": "level,note\n1.5,the a one\n",
    "one row": "note,level\nthe a one,1.5\n",
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_may_differ_at_prediction(name: str, finished: Path, here: Path) -> None:
    shutil.copytree(finished, here, dirs_exist_ok=True)
    new(ALLOWED[name])(here)
    assert polymodal(*PREDICT) == 0
    found = pd.read_csv("p.csv")
    assert len(found) == len(pd.read_csv("new.csv"))
    np.testing.assert_allclose(found["label=a"] + found["label=b"], 1, atol=1e-6)


def test_an_unseen_category_is_predicted(here: Path) -> None:
    text("colour,level,label\n" + "red,1,a\nblue,2,b\n" * 20)(here)
    (here / "r.yaml").write_text(QUICK)
    assert polymodal(*RECIPE) == 0
    new("colour,level\ngreen,1\n")(here)
    assert polymodal(*PREDICT) == 0
    assert len(pd.read_csv("p.csv")) == 1


def test_rows_without_target_are_counted_at_evaluation(finished: Path, here: Path) -> None:
    shutil.copytree(finished, here, dirs_exist_ok=True)
    lines("the a one,1,", "the b one,2,")(here)
    assert polymodal(*EVALUATE) == 0
    ledger = json.loads(Path("test/metrics.json").read_text())["ledger"]
    assert ledger["skipped"] == {"no value in target 'label'": 2}
    assert ledger["used"] == {"measured": 60}


def test_a_device_is_written_to_and_stays(finished: Path, here: Path) -> None:
    shutil.copytree(finished, here, dirs_exist_ok=True)
    new(NEW)(here)
    assert polymodal(*PREDICT[:5], "/dev/null") == 0
    assert Path("/dev/null").is_char_device()


# -- full and read-only disks --------------------------------------------------------------------


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can grow past `size` bytes: as a disk that is full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_too_full_for_the_cache(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe("")(here)
    before = files(here)
    with largest_file(100):
        assert polymodal(*RECIPE) == 2
    assert_one_error(capsys, "cache")
    assert files(here) == before
    assert polymodal(*RECIPE) == 0


@pytest.mark.parametrize("what", ["checkpoint", "member", "model"])
def test_a_disk_too_full_for_the_run(
    what: str,
    finished: Path,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(finished, here, dirs_exist_ok=True)
    weights = (here / "run" / "model.safetensors").stat().st_size
    shutil.rmtree(here / "run")
    before = files(here)
    with largest_file(9 * weights // 10), monkeypatch.context() as patch:
        if what != "checkpoint":
            patch.setattr(Loop, "_save", lambda _: None)
        if what == "model":
            patch.setattr(learn, "_write", lambda *_: None)
        assert polymodal(*RECIPE) == 2
    assert_one_error(capsys, f"{what}.safetensors' cannot be")
    assert not [name for name in files(here) if name.endswith(".tmp") or "run.json" in name]
    assert polymodal(*RECIPE) == 0
    assert [name for name in files(here) if name not in before] == [
        "run",
        "run/check.json",
        "run/model.safetensors",
        "run/recipe.yaml",
        "run/run.json",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_folder_without_permission(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text(GOOD)(here)
    (here / "locked").mkdir(mode=0o500)
    assert polymodal(*FIT[:-1], "locked/run") == 2
    assert_one_error(capsys, "cannot be written")


# -- Ctrl-C --------------------------------------------------------------------------------------


def test_ctrl_c_before_training_leaves_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    recipe("")(here)
    before = files(here)
    monkeypatch.setattr(fitting, "_prepared", stop)
    assert polymodal(*RECIPE) == 130
    assert "Traceback" not in capsys.readouterr().err
    assert files(here) == before


# Ctrl-C when the first checkpoint is there, however fast or slow this machine is.
STOPPED = """
import os, signal
from polymodal.cli.main import main
from polymodal.train.loop import Loop
save = Loop._save
Loop._save = lambda loop: (save(loop), os.kill(os.getpid(), signal.SIGINT))
main()
"""


def test_ctrl_c_then_the_same_command_equals_an_uninterrupted_one(here: Path) -> None:
    recipe("")(here)
    quick = (here / "r.yaml").read_text().replace("epochs: 1,", "epochs: 60, patience: 0,")
    (here / "r.yaml").write_text(quick)
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, *RECIPE], stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert "run the same command again to go on" in done.stderr
    assert not (here / "run" / "run.json").exists()
    with pytest.MonkeyPatch.context() as patch:
        steps: list[int] = []
        original = Loop._step
        patch.setattr(Loop, "_step", lambda loop, rows: (steps.append(1), original(loop, rows))[1])
        assert polymodal(*RECIPE) == 0
        resumed = len(steps)
        assert polymodal(*RECIPE[:-1], "whole") == 0
    assert 0 < resumed < len(steps) - resumed
    for run in ("run", "whole"):
        assert polymodal("evaluate", run, "--data", "t.csv", "--out", f"{run}-test") == 0
    assert Path("run-test/metrics.json").read_text() == Path("whole-test/metrics.json").read_text()
