"""Scores that are kept: the same again, and anew as soon as anything they came from differs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import polymodal as pm
from polymodal.base import lookup
from polymodal.contract.recipe import Recipe
from polymodal.prepared.cache import clear, kept
from polymodal.run import pipeline as running
from polymodal.run import scored
from polymodal.run.saved import load, save
from polymodal.table.ledger import Ledger

pytestmark = pytest.mark.whole

ROWS = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A table's file and a run of a network and an expert, of a picture, a note and a number."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    light = rng.integers(0, 2, ROWS)
    for i, bright in enumerate(light):
        pixels = rng.integers(0, 100, (8, 8, 3)) + 150 * bright
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.bmp")
    table = pd.DataFrame(
        {
            "picture": [f"{i}.bmp" for i in range(ROWS)],
            "note": [f"this is note {i} of what one may see" for i in range(ROWS)],
            "x": rng.normal(size=ROWS),
            "label": np.where(light, "day", "night"),
        }
    )
    table.to_csv(folder / "table.csv", index=False)
    every = {name: {} for name in ("picture", "note", "table")}
    member = {"name": "net", "modalities": every, "width": 8, "training": {"epochs": 1}}
    expert = {"name": "linear", "learner": "linear", "modalities": every}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(folder / "cache"))
        run, other = (
            pm.fit(
                folder / "table.csv",
                "label",
                recipe=Recipe.model_validate(
                    {"models": [one], "data": {"kinds": {"note": "text"}}}
                ),
            )
            for one in (member, expert)
        )
    # Both in one run, whatever validation thinks of them.
    linear = other.members["linear"]
    linear.forms = {name: i + len(run.forms) for name, i in linear.forms.items()}
    run.pipeline.forms += other.forms
    run.pipeline.shapes += other.pipeline.shapes
    run.members["linear"] = linear
    run.weights["fused"]["label"] = {"net": 0.5, "linear": 0.5}
    for team in (("picture", "table"), ("note", "table")):
        run.pipeline.partial[frozenset(team)] = {"label": {"net": 0.5, "linear": 0.5}}
    out = folder / "run"
    out.mkdir()
    save(run, out)
    return folder / "table.csv", out


@pytest.fixture
def table(made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the table and its pictures, with a cache of its own."""
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    for path in made[0].parent.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / "table.csv"


@pytest.fixture
def run(made: tuple[Path, Path]) -> pm.Run:
    return load(made[1])


class Counted:
    """Sets of absent modalities that members were asked for; one entry a call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[list[frozenset[str]]] = []
        own = running.predict_without

        def counting(*given: object, absent: list[frozenset[str]], **more: object) -> object:
            self.calls.append(list(absent))
            return own(*given, absent=absent, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(running, "predict_without", counting)

    def taken(self) -> int:
        found, self.calls = len(self.calls), []
        return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def answers(run: pm.Run, table: Path, **options: object) -> np.ndarray:
    return np.array(run.predict(table, **options)["label=day"])  # type: ignore[arg-type]


def test_what_was_scored_is_not_scored_again(run: pm.Run, table: Path, asked: Counted) -> None:
    first = answers(run, table)
    assert asked.taken() == len(run.members)
    np.testing.assert_array_equal(answers(run, table), first)
    # Explanations change cells, whose scores nobody has asked for before.
    pm.evaluate(run, table, explain=0)
    assert all(frozenset() not in absent for absent in asked.calls)
    assert asked.taken() == len(run.members)
    measured = pm.evaluate(run, table, group="x", explain=0)
    assert asked.taken() == 0
    np.testing.assert_array_equal(measured.predictions["label=day"], first)
    again = load(run.folder)  # type: ignore[arg-type]
    np.testing.assert_array_equal(answers(again, table), first)
    assert asked.taken() == 0


def test_batches_and_workers_change_nothing(
    run: pm.Run, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.arange(ROWS)
    found = []
    for size, workers in ((256, 1), (7, 2), (1, 3)):
        monkeypatch.setenv("POLYMODAL_CACHE", str(table.parent / f"cache of {size}"))
        prepared = run.prepare(run.table(table), Ledger(), workers=workers)
        with monkeypatch.context() as patch:
            for member in run.members.values():
                patch.setattr(type(member.module), "batch_size", size)
            found.append(run.scores(prepared, rows, cache=table.parent / f"scores of {size}"))
        found.append(run.scores(prepared, rows, cache=table.parent / f"scores of {size}"))
    for other in found[1:]:
        for name in run.members:
            np.testing.assert_allclose(other[name]["label"], found[0][name]["label"], atol=1e-5)


def test_a_media_byte_misses(run: pm.Run, table: Path, asked: Counted) -> None:
    before = answers(run, table)
    asked.taken()
    picture = table.parent / "3.bmp"
    content = bytearray(picture.read_bytes())
    content[-1] ^= 1
    picture.write_bytes(bytes(content))
    after = answers(run, table)
    assert asked.taken() == len(run.members)
    np.testing.assert_allclose(np.delete(after, 3), np.delete(before, 3), atol=1e-5)


@pytest.mark.parametrize(("column", "value"), [("note", "this is another note"), ("x", 9.5)])
def test_a_cell_misses(
    run: pm.Run, table: Path, asked: Counted, column: str, value: object
) -> None:
    before = answers(run, table)
    asked.taken()
    frame = pd.read_csv(table)
    frame[column] = [value, *frame[column][1:]]
    frame.to_csv(table, index=False)
    after = answers(run, table)
    assert asked.taken() == len(run.members)
    assert after[0] != before[0]


def test_a_missing_cell_and_other_rows_miss(run: pm.Run, table: Path, asked: Counted) -> None:
    answers(run, table)
    asked.taken()
    frame = pd.read_csv(table)
    for other in (frame.assign(note=[None, *frame["note"][1:]]), frame[1:], frame[::-1]):
        other.to_csv(table, index=False)
        answers(run, table)
        assert asked.taken() == len(run.members)


def test_a_mask_misses(run: pm.Run, table: Path, asked: Counted) -> None:
    found = [answers(run, table, absent=gone) for gone in ([], ["note"], ["picture"])]
    assert asked.taken() == 3 * len(run.members)
    assert len({tuple(one) for one in found}) >= 2  # what answers without one may be one model
    again = answers(run, table, absent=["note"])
    np.testing.assert_array_equal(again, found[1])
    assert asked.taken() == 0


def test_one_weight_misses(run: pm.Run, table: Path, asked: Counted) -> None:
    answers(run, table)
    asked.taken()
    for name, member in run.members.items():
        tensor = next(t for t in member.module.state_dict().values() if t.is_floating_point())
        with torch.no_grad():
            tensor.view(-1)[0] += 1e-3
        answers(run, table)
        assert asked.taken() == 1, name


def test_a_setting_misses(run: pm.Run, table: Path, asked: Counted) -> None:
    """One of preprocessing, that changes no array here; then one of the member itself."""
    answers(run, table)
    asked.taken()
    form = next(f for f in run.forms if f.kind == "text" and hasattr(f, "limit"))
    form.limit += 1  # type: ignore[attr-defined]
    answers(run, table)
    assert asked.taken() == 1
    member = run.members["linear"]
    member.spec = member.spec.model_copy(update={"learner": {"name": "linear", "folds": 4}})
    answers(run, table)
    assert asked.taken() == 1


def test_another_precision_misses(run: pm.Run, table: Path, asked: Counted) -> None:
    answers(run, table)
    asked.taken()
    run.members["net"].kernels = running.Kernels(attention="plain")
    answers(run, table)
    assert asked.taken() == 1


@pytest.mark.parametrize("spoil", ["cut", "flip", "empty"])
def test_a_damaged_file_is_computed_again(
    run: pm.Run, table: Path, asked: Counted, spoil: str
) -> None:
    first = answers(run, table)
    asked.taken()
    files = sorted((table.parent / "cache" / "scores").iterdir())
    content = bytearray(files[0].read_bytes())
    content[len(content) // 2] ^= 1
    files[0].write_bytes({"cut": content[:-9], "flip": content, "empty": b""}[spoil])
    np.testing.assert_allclose(answers(run, table), first, atol=1e-5)
    assert asked.taken() == 1
    answers(run, table)
    assert asked.taken() == 0


def test_a_single_row_is_not_kept(run: pm.Run, table: Path) -> None:
    run.predict([{"picture": None, "note": None, "x": 1.0}])
    assert not (table.parent / "cache" / "scores").exists()


def test_the_oldest_go_first(
    run: pm.Run, table: Path, asked: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(run, table)
    folder = table.parent / "cache" / "scores"
    size = max(path.stat().st_size for path in folder.iterdir())
    monkeypatch.setattr(scored, "LIMIT", 4 * size)
    answers(run, table, absent=["note"])
    answers(run, table)  # used again, so no longer the oldest
    answers(run, table, absent=["table"])
    assert len(list(folder.iterdir())) <= 4
    asked.taken()
    answers(run, table)
    assert asked.taken() == 0
    answers(run, table, absent=["note"])
    assert asked.taken() == len(run.members)


def test_the_cache_lists_and_clears_them(run: pm.Run, table: Path) -> None:
    answers(run, table)
    folder = table.parent / "cache"
    mine = set((folder / "scores").iterdir())
    assert mine and mine <= set(kept(folder))
    clear(folder)
    assert not (folder / "scores").exists()


def test_rows_of_different_lengths_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = [rng.random((n, 3)).astype(np.float32) for n in (2, 0, 5)]
    scores = {"tags": words, "file": [rng.random(2) for _ in range(3)]}

    def compute(absent: object) -> list[dict[str, list[np.ndarray]]]:
        return [scores]

    for _ in range(2):
        (found,) = scored.remembered(tmp_path, b"key", [()], compute)
        assert list(found) == ["tags", "file"]
        for name, values in scores.items():
            for mine, own in zip(found[name], values, strict=True):
                assert mine.dtype == own.dtype
                np.testing.assert_array_equal(mine, own)


MINE = """
import numpy as np

from polymodal.tasks.classify import Classify


class Mine(Classify):
    def answer_of(self, logits):
        return super().answer_of(logits) * 0 + {share}
"""


def test_edited_code_of_the_users_own_misses(
    run: pm.Run, table: Path, asked: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two uses in one process, with size and time of the file as before."""
    file = table.parent / "mine.py"
    tasks, stamp = [], 10**18
    for share in (0.25, 0.75):
        file.write_text(MINE.format(share=share))
        os.utime(file, ns=(stamp, stamp))
        task = lookup.build("tasks", f"{file}:Mine", "label")
        task.state = run.tasks["label"].state
        tasks.append(task)
    # The class of before the edit keeps its own answers, and takes none of the later one's.
    for task, share in zip([*tasks, tasks[0]], (0.25, 0.75, 0.25), strict=True):
        run.tasks["label"] = task
        np.testing.assert_allclose(answers(run, table), share)
    assert asked.taken() == 2 * len(run.members)


def test_edited_code_of_the_package_misses(
    run: pm.Run, table: Path, asked: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(run, table)
    asked.taken()
    copy = shutil.copytree(lookup.ROOT, tmp_path / "copy", ignore=lambda *_: ["__pycache__"])
    monkeypatch.setattr(lookup, "ROOT", copy)
    assert scored._package() == scored._OWN
    helper = copy / "fusion" / "_pooling.py"
    helper.write_text(helper.read_text() + "\n")
    monkeypatch.setattr(scored, "_OWN", scored._package())
    answers(run, table)
    assert asked.taken() == len(run.members)
