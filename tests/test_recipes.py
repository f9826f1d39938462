"""The recipes of `recipes/`: each says what a run of it took and gave, and fits a tiny table.

The tables are made by the script that the recipes' headers name, of files in their public form.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import polymodal as pm
from polymodal.contract.recipe import Recipe
from polymodal.contract.resolve import load
from polymodal.fitting.sizes import sizes
from polymodal.report.console import Show

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
TABLES = runpy.run_path(str(ROOT / "recipes" / "tables.py"), run_name="recipes")
SHAPES = sorted((ROOT / "recipes" / "shapes").glob("*.yaml"))
LEARNED = ("bert", "clip", "gpt", "retrieval")
every_recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


def recordings(folder: Path) -> Path:
    """Spoken digits: a tone each, as their authors call the files."""
    rng = np.random.default_rng(0)
    for digit in range(10):
        for number in range(20):
            time = np.arange(800) / 8000
            sound = np.sin(2 * np.pi * (300 + 100 * digit) * time) + rng.normal(0, 0.1, 800)
            soundfile.write(folder / f"{digit}_anna_{number}.wav", sound / 3, 8000)
    return folder


def sentences(folder: Path) -> Path:
    lines = ["Anna\tB-person\nsees\tO\nLondon\tB-location\n", "the\tO\t\nfox\tO\n"] * 24
    for name in ("wnut17train.conll", "emerging.test.annotated"):
        (folder / name).write_text("\n".join(lines), encoding="utf-8")
    return folder


def watches(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(32):
        steps = rng.normal(i % 4, 1, (6, 20))
        channels = ":".join(",".join(f"{value:.4f}" for value in one) for one in steps)
        rows.append(f"{channels}:{['Standing', 'Running', 'Walking', 'Badminton'][i % 4]}")
    for split in ("TRAIN", "TEST"):
        text = "\n".join(["@problemName BasicMotions", "@data", *rows, ""])
        (folder / f"BasicMotions_{split}.ts").write_text(text, encoding="utf-8")
    return folder


def opinions(folder: Path) -> Path:
    words = ["soft", "wide", "dress", "blue", "fits", "never", "again", "love", "it"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, 12)) for _ in range(80)]
    pd.DataFrame({"Age": 40, "Review Text": [*texts, texts[0], None]}).to_csv(folder / "r.csv")
    return folder / "r.csv"


SOURCES: dict[str, Callable[[Path], Path]] = {
    "digits": recordings,
    "home": recordings,
    "speech": recordings,
    "entities": sentences,
    "motions": watches,
    "reviews": opinions,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Path]]:
    """`table(name)`: the tiny table of that name, made when asked for."""
    made: dict[str, dict[str, Path]] = {}

    def find(name: str) -> dict[str, Path]:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            source = None
            if name in SOURCES:
                source = SOURCES[name](tmp_path_factory.mktemp(f"{name}-source"))
            made[name] = TABLES["write"](name, source, folder, 44)
        return made[name]

    return find


def header(path: Path) -> str:
    """The comment at the head, in one line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    said = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    return " ".join(line.removeprefix("#").strip() for line in said)


def test_there_is_one_of_every_sort_and_the_docs_list_them() -> None:
    docs = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"\(\.\./recipes/(\w+)\.yaml\)", docs))
    assert listed == {path.stem for path in RECIPES} and len(RECIPES) == 15


@pytest.mark.parametrize("path", SHAPES, ids=lambda path: path.stem)
def test_published_shapes_have_the_published_size(path: Path) -> None:
    said = re.search(r"as published, ([\d ]+(?:\.\d)?) million numbers", header(path))
    assert said is not None
    (found,) = sizes(load(path))
    assert found.numbers == pytest.approx(1e6 * float(said[1].replace(" ", "")), rel=0.01)


@every_recipe
def test_its_header_says_command_machine_time_and_figure(path: Path) -> None:
    said, recipe = header(path), load(path)
    command = "pretrain" if path.stem in LEARNED else "fit"
    assert f"polymodal {command} recipes/{path.name} --out runs/{path.stem}" in said
    assert f"polymodal evaluate runs/{path.stem} --data" in said
    made = re.search(r"python recipes/tables\.py (\w+)", said)
    assert made is not None and recipe.train is not None
    tables = [ROOT / "recipes" / "data" / made[1] / f"train.{sort}" for sort in ("csv", "jsonl")]
    assert Path(recipe.train) in tables
    assert re.search(r"20\d\d-\d\d-\d\d", said) and re.search(r"\bcores?\b", said)
    assert re.search(r" in \d+ s\b", said)
    assert re.search(r"\d\.\d+ (\[0\.\d+, [01]\.\d+\]|\(\d+ of \d+)", said)


@pytest.mark.whole
@every_recipe
def test_it_fits_a_tiny_table(
    path: Path,
    table: Callable[[str], dict[str, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bert_path: str,
) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    quick = "epochs: 1, precision: fp32, attention: plain, memory_format: contiguous, threads: 1"
    said = re.sub(r"epochs: \d+", quick, path.read_text(encoding="utf-8"))
    said = said.replace("folds: 5", "folds: 2").replace("pretrained: minilm", "pretrained: bert")
    said = said.replace("rivals: true", "rivals: false")
    said = re.sub(r"depth: \d+", "depth: 2", re.sub(r"hidden: \d+", "hidden: 48", said))
    tables = table(re.search(r"data/(\w+)/train", said)[1])  # type: ignore[index]
    (tmp_path / "bert").symlink_to(bert_path)
    (tmp_path / path.name).write_text(said, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    recipe: Recipe = load(tmp_path / path.name)
    do = pm.pretrain if path.stem in LEARNED else pm.fit
    run = do(tables["train"], recipe=recipe, show=Show.silent())
    found = pm.evaluate(run, tables["test"], explain=1).targets
    assert set(found) == set(recipe.targets)
    tried = {line["name"] for line in run.leaderboard}
    assert tried >= {model.name for model in recipe.models or []}
