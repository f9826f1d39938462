"""Bad checkpoints, parents, tasks, modes of tuning and searches through the command line.

Each is one clear error, exit code 2, no traceback, and nothing is written or run.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typed import files, one_error, polymodal

pytestmark = pytest.mark.whole

Make = Callable[[Path], None]
Case = tuple[Make, list[str], str]

COLOURS = ("red", "blue", "green")
ROWS = [f"the {COLOURS[i % 3]} one {i},{i % 3 + i / 97:.3f},{'ab'[i % 2]}" for i in range(48)]
GOOD = "\n".join(["note,level,label", *ROWS, ""])
TRAINING = """
width: 8
training: {epochs: 1, precision: fp32, attention: plain, memory_format: contiguous, threads: 1}
"""
PAIRS = "train: t.csv\ntargets: {pairs: contrastive}\ndata: {drop: [label]}" + TRAINING
LABELS = "train: t.csv\ntarget: label\ndata: {valid: 0.25}" + TRAINING


def text(content: str, name: str = "t.csv") -> Make:
    return lambda folder: (folder / name).write_text(content) and None


def nothing(_: Path) -> None:
    return


# -- models trained elsewhere, and how they are tuned --------------------------------------------

FIT = ["fit", "r.yaml", "--out", "new"]
MODEL, WEIGHTS = "model", "model.safetensors"


class Evil:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (Path("ran"),)


def read(lines: str = "", spoilt: Make = nothing, reads: str = "note") -> Make:
    """A recipe whose text is read by the model, something of which is spoilt."""

    def make(folder: Path) -> None:
        pretrained = f"modalities: {{{reads}: {{pretrained: ./{MODEL}}}}}\n"
        (folder / "r.yaml").write_text(LABELS + pretrained + lines)
        spoilt(folder / MODEL)

    return make


def cut(model: Path) -> None:
    whole = (model / WEIGHTS).read_bytes()
    (model / WEIGHTS).write_bytes(whole[: len(whole) // 2])


def pickled(model: Path) -> None:
    (model / WEIGHTS).unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))


def disguised(model: Path) -> None:
    (model / WEIGHTS).write_bytes(pickle.dumps(Evil()))


def changed(**keys: object) -> Make:
    def make(model: Path) -> None:
        known = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps({**known, **keys}))

    return make


def gone(*names: str) -> Make:
    def make(model: Path) -> None:
        for name in names:
            (model / name).unlink()

    return make


def tuned(spec: str) -> Make:
    return read(f"tuning: {spec}\n")


MODELS: dict[str, Case] = {
    "half a checkpoint": (read(spoilt=cut), FIT, "damaged"),
    "a pickle that runs code": (read(spoilt=pickled), FIT, "safetensors"),
    "a pickle called safetensors": (read(spoilt=disguised), FIT, "damaged"),
    "a model that brings code": (
        read(spoilt=changed(auto_map={"AutoModel": "evil.Model"}, model_type="evil")),
        FIT,
        "code",
    ),
    "weights of another size": (read(spoilt=changed(vocab_size=77)), FIT, "cannot be loaded"),
    "no weights": (read(spoilt=gone(WEIGHTS)), FIT, "safetensors"),
    "no settings": (read(spoilt=gone("config.json")), FIT, "config.json"),
    "no tokenizer": (
        read(spoilt=gone("tokenizer.json", "tokenizer_config.json")),
        FIT,
        "tokenizer",
    ),
    "no such folder": (read(spoilt=shutil.rmtree), FIT, "./model"),
    "a model for numbers": (read(reads="table"), FIT, "pretrained"),
    "an unknown mode": (tuned("lroa"), FIT, "did you mean 'lora'"),
    "an unknown option of a mode": (tuned("{name: lora, rnak: 4}"), FIT, "did you mean 'rank'"),
    "a rank of nothing": (tuned("{name: lora, rank: 0}"), FIT, "rank"),
    "a prompt longer than the model": (tuned("{name: prompt, length: 64}"), FIT, "length"),
    "a mode of another modality": (tuned("{name: encoder, names: [photo]}"), FIT, "photo"),
    "rates of no part": (tuned("{name: mixed, rates: {nope: 0.1}}"), FIT, "nope"),
    "nothing to tune": (text(LABELS + "tuning: prefix\n", "r.yaml"), FIT, "pretrained"),
}

# -- parents, tasks and searches -----------------------------------------------------------------

START = ["fit", "t.csv", "--target", "label", "--from", "run", "--budget", "5s", "--out", "new"]
LEARN = ["pretrain", "t.csv", "--budget", "5s", "--out", "new"]
ALONE = [*LEARN, "--columns", "note", "--task"]
SEARCH = ["retrieve", "run", "--index", "t.csv", "--from", "note", "--to", "table", "--query", "x"]
OTHER = GOOD.replace("note,level", "words,height")


def damaged(folder: Path) -> None:
    weights = folder / "run" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100])


LEARNING: dict[str, Case] = {
    "a parent of other columns": (text(OTHER), START, "none of its columns is one of the parent's"),
    "a parent of another kind": (
        text(GOOD),
        [*START, "--drop", "note", "--match", "table=note"],
        "text in the parent",
    ),
    "a match of no column": (nothing, [*START, "--match", "nota=note"], "did you mean 'note'"),
    "a match of none of the parent's": (nothing, [*START, "--match", "note=nota"], "'nota'"),
    "a match without a parent": (nothing, [*START[:4], "--match", "note=a"], "--from"),
    "a parent that is not there": (nothing, [*START[:5], "nope", *START[6:]], "nope"),
    "a parent half written": (damaged, START, "damaged"),
    "a parent that is a table": (nothing, [*START[:5], "t.csv", *START[6:]], "t.csv"),
    "a parent of another width": (
        text(LABELS.replace("width: 8", "width: 12") + "parent: run\n", "r.yaml"),
        FIT,
        "width",
    ),
    "a parent for experts": (
        text(
            "train: t.csv\ntarget: label\nparent: run\nmodels: [{name: one, learner: linear}]\n",
            "r.yaml",
        ),
        FIT,
        "nothing starts from the parent",
    ),
    "pairs of one column": (nothing, [*ALONE, "contrastive"], "two modalities"),
    "no text to hide": (
        nothing,
        [*LEARN, "--columns", "level", "--task", "masked_text"],
        "a text",
    ),
    "an order of nothing": (nothing, [*ALONE, "temporal_order"], "temporal_order"),
    "cells of no table": (nothing, [*ALONE, "masked_cells"], "masked_cells"),
    "a task that needs labels": (nothing, [*ALONE, "classify"], "fitted, not pretrained"),
    "a task of no such name": (nothing, [*ALONE, "masked_txt"], "did you mean 'masked_text'"),
    "one constant column": (text("level\n" + "1.5\n" * 40), LEARN, "no column"),
    "a column that is not there": (nothing, [*LEARN, "--columns", "nota"], "did you mean 'note'"),
    "a run in the way": (nothing, [*LEARN[:-1], "run"], "--overwrite"),
    "a column that the run lacks": (nothing, [*SEARCH[:5], "photo", *SEARCH[6:]], "'photo'"),
    "to a column that the run lacks": (nothing, [*SEARCH[:7], "photo", *SEARCH[8:]], "'photo'"),
    "an index of other columns": (text(OTHER), SEARCH, "level"),
    "no rows asked for": (nothing, [*SEARCH, "--k", "0"], "k=0"),
    "nothing asked": (nothing, SEARCH[:8], "query"),
    "a query and queries": (nothing, [*SEARCH, "--queries", "t.csv", "--out", "f.csv"], "both"),
    "queries to nowhere": (nothing, [*SEARCH[:8], "--queries", "t.csv"], "--out"),
    "no such engine": (nothing, [*SEARCH, "--engine", "exakt"], "did you mean 'exact'"),
    "found rows over the index": (nothing, [*SEARCH, "--out", "t.csv"], "t.csv"),
}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table and a run that was pretrained on it."""
    folder = tmp_path_factory.mktemp("pretrained")
    text(GOOD)(folder)
    text(PAIRS, "p.yaml")(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("POLYMODAL_CACHE", str(folder / "cache"))
        assert polymodal("pretrain", "p.yaml", "--out", "run") == 0
    shutil.rmtree(folder / "cache")
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pretrained: Path) -> Path:
    shutil.copytree(pretrained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    return tmp_path


def refused(case: Case, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, words, says = case
    make(here)
    before = files(here)
    assert polymodal(*words) == 2
    shown = capsys.readouterr().err
    error = " ".join(one_error(shown, says).splitlines())
    assert any(word in error for word in (" expected: ", " do: ", "Invalid value")), shown
    assert files(here) == before


@pytest.mark.parametrize("name", MODELS)
def test_a_bad_model_or_mode_is_one_clear_error(
    name: str, here: Path, bert_path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(bert_path, here / MODEL)
    refused(MODELS[name], here, capsys)


def test_a_model_of_another_kind_is_one_clear_error(
    here: Path, vit_path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(vit_path, here / MODEL)
    refused((read(), FIT, "tokenizer"), here, capsys)


@pytest.mark.parametrize("mode", ["prefix", "lora", "feed_forward", "prompt"])
def test_a_model_that_a_mode_does_not_suit_is_one_clear_error(
    mode: str, here: Path, resnet_path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(resnet_path, here / MODEL)
    from PIL import Image

    cells = []
    for i in range(40):
        Image.new("RGB", (16, 16), (i * 6, 0, 0)).save(here / f"{i}.png")
        cells.append(f"{i}.png,{'ab'[i % 2]}")
    text("\n".join(["photo,label", *cells, ""]))(here)
    make = read(f"tuning: {mode}\n", reads="photo")
    refused((make, FIT, mode if mode != "feed_forward" else "feed-forward"), here, capsys)


@pytest.mark.parametrize("name", LEARNING)
def test_bad_parents_tasks_and_searches_are_one_clear_error(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(LEARNING[name], here, capsys)
