"""A run's inputs made worse: by content alone, and as bad for the score as the level says."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import polymodal as pm
from polymodal.base import lookup
from polymodal.contract.recipe import Recipe, Training
from polymodal.evaluation.corrupted import corrupted, worse
from polymodal.metrics.robustness import relative_robustness
from polymodal.prepared.prepare import Prepared
from polymodal.run.run import Run
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table, read

pytestmark = pytest.mark.whole

TRAINING = Training(
    epochs=4,
    batch_size=32,
    precision="fp32",
    attention="plain",
    memory_format="contiguous",
    threads=1,
)


def rows(count: int, seed: int) -> pd.DataFrame:
    """Pictures with a light upper or lower half, a text and a number that tell a little."""
    rng = np.random.default_rng(seed)
    below = rng.integers(0, 2, count)
    pictures = rng.normal(90, 10, (count, 16, 16, 3))
    for picture, low in zip(pictures, below, strict=True):
        picture[8 * low : 8 * low + 8] += 16
    return pd.DataFrame(
        {
            "picture": [p.clip(0, 255).astype(np.uint8).tolist() for p in pictures],
            "note": [f"picture {n} of some" for n in rng.integers(0, 999, count)],
            "level": below + rng.normal(0, 2, count),
            "size": rng.normal(0, 1, count),
            "label": np.where(below, "low", "high"),
        }
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        recipe = Recipe.model_validate({"training": TRAINING.model_dump(), "width": 16})
        kinds = {"picture": "image", "note": "text"}
        return pm.fit(rows(128, 0), "label", recipe=recipe, kinds=kinds)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))


def prepare(run: Run, source: Any) -> tuple[Table, list[Prepared]]:
    table = run.table(read(source))
    return table, run.prepare(table, Ledger())


def part_of(run: Run, table: Table, order: np.ndarray[Any, Any]) -> tuple[Table, list[Prepared]]:
    taken = table.take(order)
    return taken, run.prepare(taken, Ledger())


def arrays(prepared: list[Prepared]) -> list[np.ndarray[Any, Any]]:
    return [p.gather(np.arange(len(p))).data.numpy() for p in prepared]


def test_accuracy_falls_as_noise_rises(trained: Run, tmp_path: Path) -> None:
    data = rows(150, 1)
    table, clean = prepare(trained, data)
    levels = np.array([0, 0.25, 0.5, 0.75, 1])
    found = []
    for level in levels:
        worsened = corrupted(trained, table, clean, "picture", "noise", level, cache=tmp_path)
        scores = trained.combine(trained.scores(worsened, np.arange(len(table))))
        predicted = trained.tasks["label"].decode(scores["label"])["label"]
        found.append(np.mean(np.array(predicted) == data["label"]))
    assert found[0] > 0.97
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.8
    assert found[-1] < relative_robustness(np.array(found), levels) < found[0]


def same(first: list[np.ndarray[Any, Any]], second: list[np.ndarray[Any, Any]]) -> list[bool]:
    return [np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=True)]


@pytest.mark.parametrize(
    ("modality", "name"),
    [
        ("picture", "noise"),
        ("note", "typos"),
        ("table", "missing_cells"),
        ("table", "shuffled_cells"),
    ],
)
def test_one_modality_changes_and_does_so_by_content_alone(
    trained: Run, tmp_path: Path, modality: str, name: str
) -> None:
    table, clean = prepare(trained, rows(40, 2))

    def worsened(table: Table, clean: list[Prepared], level: float, **options: Any) -> Any:
        fresh = Path(tempfile.mkdtemp(dir=tmp_path))  # or else the second answer is the first
        return arrays(
            corrupted(trained, table, clean, modality, name, level, cache=fresh, **options)
        )

    before, after = arrays(clean), worsened(table, clean, 0.6)
    assert all(same(worsened(table, clean, 0.0), before))
    own = {
        member.forms[modality] for member in trained.members.values() if modality in member.forms
    }
    assert [i not in own for i in range(len(before))] == same(before, after)
    assert all(same(worsened(table, clean, 0.6, seed=0), after))
    assert not all(same(worsened(table, clean, 0.6, seed=1), after))
    order = np.random.default_rng(0).permutation(40)
    turned = worsened(*part_of(trained, table, order), 0.6)
    assert all(same(turned, [a[order] for a in after]))


def test_a_part_of_the_rows_is_corrupted_as_in_the_whole(trained: Run, tmp_path: Path) -> None:
    table, clean = prepare(trained, rows(30, 3))
    part = np.arange(10, 20)
    whole = corrupted(trained, table, clean, "picture", "occlusion", 0.5, cache=tmp_path / "a")
    some = corrupted(
        trained,
        *part_of(trained, table, part),
        "picture",
        "occlusion",
        0.5,
        cache=tmp_path / "b",
    )
    assert all(same(arrays(some), [p.gather(part).data.numpy() for p in whole]))


def test_a_row_whose_every_cell_goes_missing_is_absent(trained: Run, tmp_path: Path) -> None:
    table, clean = prepare(trained, rows(400, 4))
    found = {}
    for level in (0.5, 1.0):
        worsened = corrupted(trained, table, clean, "table", "missing_cells", level, cache=tmp_path)
        absent = [~w.present for w, c in zip(worsened, clean, strict=True) if w is not c]
        assert absent
        found[level] = absent[0].mean()
    assert found[0.5] == pytest.approx(0.25, abs=0.06)  # two columns, each missing in half of them
    assert found[1.0] == 1
    # Scored as what it is: a row without that modality.
    scores = trained.scores(worsened, np.arange(400))
    gone = trained.scores(clean, np.arange(400), ["table"])
    for member, of in scores.items():
        np.testing.assert_allclose(of["label"], gone[member]["label"], atol=1e-6)


def test_what_could_not_be_read_before_is_left_out_again(trained: Run, tmp_path: Path) -> None:
    data = rows(5, 5)
    data["picture"] = [b"no picture" if i == 2 else _png(p) for i, p in enumerate(data["picture"])]
    table = trained.table(read(data))
    clean = trained.prepare(table, Ledger(), max_bad_rows=1)
    worsened = corrupted(trained, table, clean, "picture", "jpeg", 0.5, cache=tmp_path)
    for one in worsened:
        assert one.present[2] == (len(one.bad) == 0)


def _png(pixels: Any) -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_what_is_lost_at_one_level_is_lost_at_every_higher_one() -> None:
    dropped = lookup.build("modalities/text/corruptions", "dropped_words")
    patterns = set()
    for text in (f"row {i} of a text with some words" for i in range(50)):
        gone = [
            {i for i, word in enumerate(worse(text, dropped, level, 0).split()) if word == "~"}
            for level in (0.2, 0.5, 0.8)
        ]
        assert gone[0] <= gone[1] <= gone[2]
        patterns.add(frozenset(gone[1]))
    assert len(patterns) > 20  # each text in its own way


def test_another_process_corrupts_alike() -> None:
    """Python's own hashes of strings differ from process to process."""
    code = (
        "import json; from polymodal.base import lookup;"
        "from polymodal.evaluation.corrupted import worse;"
        "typos = lookup.build('modalities/text/corruptions', 'typos');"
        "print(json.dumps([worse(f'row {i} of a text', typos, 0.7, 1) for i in range(20)]))"
    )
    there = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True).stdout)
    typos = lookup.build("modalities/text/corruptions", "typos")
    assert there == [worse(f"row {i} of a text", typos, 0.7, 1) for i in range(20)]
