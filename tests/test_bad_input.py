"""Bad input through the command line: one clear error, exit code 2, no traceback, nothing left."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polymodal import cli

HEADER = "note,level,label\n"
GOOD = HEADER + "".join(f"the {w} one {i},{i / 7:.3f},{w}\n" for i in range(30) for w in ("a", "b"))


def text(content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "t.csv").write_text(content) and None


def raw(content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "t.csv").write_bytes(content) and None


def media(name: str, content: bytes, column: str = "image") -> Callable[[Path], None]:
    """A table of good pictures or series but for one file."""

    def make(folder: Path) -> None:
        rows = [f"{column},label"]
        suffix = Path(name).suffix
        rng = np.random.default_rng(0)
        for i in range(20):
            good = folder / f"good{i}{suffix}"
            if suffix == ".npy":
                np.save(good, rng.normal(size=(9, 2)))
            elif suffix == ".wav":
                import soundfile

                soundfile.write(good, rng.normal(size=800) / 9, 8000)
            else:
                Image.fromarray(rng.integers(0, 255, (12, 12, 3), np.uint8)).save(good)
            rows.append(f"{good.name},{'ab'[i % 2]}")
        (folder / name).write_bytes(content)
        rows.append(f"{name},a")
        (folder / "t.csv").write_text("\n".join(rows) + "\n")

    return make


def half(suffix: str) -> bytes:
    """The first half of a real file of that kind."""
    import io

    stream = io.BytesIO()
    if suffix == ".jpg":
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(stream, "JPEG")
    else:
        np.save(stream, np.ones((50, 2)))
    return stream.getvalue()[: len(stream.getvalue()) // 2]


FIT = ["fit", "t.csv", "--target", "label", "--budget", "5s", "--out", "run"]
CASES: dict[str, tuple[Callable[[Path], None], list[str], str]] = {
    "no such file": (lambda _: None, FIT, "t.csv"),
    "empty file": (text(""), FIT, "empty"),
    "header only": (text(HEADER), FIT, "row"),
    "unknown target": (text(GOOD), [*FIT[:3], "lable", *FIT[4:]], "label"),
    "unknown dropped column": (text(GOOD), [*FIT, "--drop", "nope"], "nope"),
    "unknown group column": (text(GOOD), [*FIT, "--group", "nope"], "nope"),
    "unknown kind": (text(GOOD), [*FIT, "--kind", "note=txt"], "text"),
    "kind without column": (text(GOOD), [*FIT, "--kind", "text"], "COLUMN=KIND"),
    "duplicate header": (text(GOOD.replace("level", "note", 1)), FIT, "note"),
    "one class only": (text(GOOD.replace(",b\n", ",a\n")), FIT, "label"),
    "target all missing": (text(GOOD.replace(",a\n", ",\n").replace(",b\n", ",\n")), FIT, "label"),
    "ragged row": (text(GOOD + "x,1\n"), FIT, "62"),
    "not utf-8": (raw(GOOD.encode() + "caf\xe9,1,a\n".encode("latin-1")), FIT, "UTF-8"),
    "text named .png": (media("bad.png", b"hello, I am no picture"), FIT, "bad.png"),
    "truncated jpeg": (media("bad.jpg", half(".jpg")), FIT, "bad.jpg"),
    "empty picture": (media("bad.png", b""), FIT, "bad.png"),
    "text named .wav": (media("bad.wav", b"no sound", "sound"), FIT, "bad.wav"),
    "truncated series": (media("bad.npy", half(".npy"), "series"), FIT, "bad.npy"),
    "bad budget": (text(GOOD), [*FIT[:5], "soon", *FIT[6:]], "5m"),
    "bad split": (text(GOOD), [*FIT, "--split", "half"], "split"),
    "unknown flag": (text(GOOD), [*FIT, "--speed", "9"], "speed"),
    "unknown command": (text(GOOD), ["fot", "t.csv"], "fot"),
    "unknown tracker": (text(GOOD), [*FIT, "--track", "tensorbored"], "tensorboard"),
    "no target": (text(GOOD), ["fit", "t.csv", "--out", "run"], "target"),
    "out is a file": (text(GOOD), [*FIT[:-1], "t.csv"], "t.csv"),
    "run that is none": (
        text(GOOD),
        ["predict", "run", "--data", "t.csv", "--out", "p.csv"],
        "run",
    ),
    "nothing to predict": (text(GOOD), ["predict", "run"], "predict"),
    "missing recipe": (text(GOOD), ["fit", "none.yaml", "--out", "run"], "none.yaml"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_clear_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words, says = CASES[name]
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "argv", ["polymodal", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    shown = capsys.readouterr().err
    assert stopped.value.code == 2, shown
    assert "Traceback" not in shown
    assert says.lower() in shown.split("Error: ")[-1].lower()
    assert not (tmp_path / "run" / "run.json").exists()
