"""Runs to export: one of all learners and three targets, and one that labels words."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import traced
from PIL import Image

import polymodal as pm
from polymodal.contract.recipe import Recipe
from polymodal.export.export import export
from polymodal.fitting import combine
from polymodal.report.console import Show
from polymodal.run.run import Run

ROWS = 90
SMALL = {"width": 16, "training": {"epochs": 1}}
WORDS = ["great", "poor", "late", "red", "small", "fine"]


def everyone(answers, *args, **options) -> dict[str, float]:
    """All members alike, in the place of the greedy choice."""
    return {name: 1 / len(answers) for name in answers}


@pytest.fixture(scope="session")
def known_graphs() -> dict[str, bytes]:
    return {}


@pytest.fixture(scope="module", autouse=True)
def graphs_are_traced_once(known_graphs: dict[str, bytes]) -> Iterator[None]:
    with traced.once(known_graphs):
        yield


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """`export`, but a run that has been exported so already is copied."""
    known: list[tuple[Run, dict[str, Any], Path, str]] = []

    def written(run: Run, out: Path, **how: Any) -> str:
        for other, same, place, said in known:
            loaded = run.folder is not None and run.folder == other.folder
            if (other is run or loaded) and same == how:
                shutil.copytree(place, out)
                return said
        said = export(run, out, **how)
        known.append((run, how, tmp_path_factory.mktemp("exported") / "run", said))
        shutil.copytree(out, known[-1][2])
        return said

    return written


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """`fitted(source, recipe, target, kinds)`: a run whose members all answer."""

    def fit(source: Path, recipe: dict, target: list[str], kinds: dict[str, str]) -> Run:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("POLYMODAL_CACHE", str(tmp_path_factory.mktemp("cache")))
            patch.setattr(combine, "greedy", everyone)
            given = Recipe.model_validate(recipe)
            return pm.fit(source, target, recipe=given, kinds=kinds, show=Show.silent())

    return fit


@pytest.fixture(scope="session")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Orders with a photo, a note, numbers as people write them, a category, a set and a date."""
    folder = tmp_path_factory.mktemp("orders")
    rng = np.random.default_rng(0)
    with open(folder / "orders.csv", "w", newline="") as file:
        writer = csv.writer(file)
        inputs = ["order", "photo", "note", "price", "city", "extras", "day"]
        writer.writerow([*inputs, "returned", "amount", "marks"])
        for i in range(ROWS):
            shade, words = int(rng.integers(0, 256)), rng.choice(WORDS, 4)
            pixels = np.full((12, 12, 3), shade, np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
            price = rng.uniform(5, 5000)
            gone = rng.random(5) < 0.15
            bad = shade > 128 or "poor" in words
            cells = [
                "" if gone[0] else f"{i}.png",
                "" if gone[1] else " ".join(words),
                "n/a" if gone[2] else f"€ {price:,.2f}",
                "" if gone[3] else str(rng.choice(["Rome", "Oslo", "Lima"])),
                ";".join(rng.choice(["gift", "fast", "insured"], 2, replace=False)),
                "" if gone[4] else f"{rng.integers(1, 28)}.{rng.integers(1, 13)}.2024",
            ]
            marks = ";".join(w for w in ("red", "small") if w in words) or "none"
            amount = f"{price * 2 + shade:.1f}"
            writer.writerow([f"order-{i:03d}", *cells, "yes" if bad else "no", amount, marks])
    return folder / "orders.csv"


@pytest.fixture(scope="session")
def mixed(fitted: Callable[..., Run], orders: Path) -> Run:
    """A linear model, boosted trees and a network answer three targets together."""
    every: dict[str, Any] = {"photo": {}, "note": {}, "table": {}}
    # Each operation costs time when a graph is written: few layers, and trees of few levels.
    photo = {"form": {"size": 16}, "encoder": "patch"}
    light = {"photo": photo, "note": {"encoder": "embedding"}, "table": {"encoder": "mlp"}}
    trees = {"name": "trees", "leaves": 5}
    return fitted(
        orders,
        {
            "models": [
                {"name": "lin", "learner": "linear", "modalities": every},
                {"name": "trees", "learner": trees, "modalities": {"note": {}, "table": {}}},
                {"name": "net", "modalities": light, "fusion": "gated", **SMALL},
            ],
        },
        ["returned", "amount", "marks"],
        {"marks": "set", "extras": "set", "note": "text", "city": "category"},
    )


@pytest.fixture(scope="session")
def linear(mixed: Run) -> Run:
    """The same run, answered by its linear model alone."""
    model = mixed.pipeline
    weights = {**model.weights, "fused": {target: {"lin": 1.0} for target in model.tasks}}
    members = {"lin": model.members["lin"]}
    return replace(mixed, pipeline=replace(model, members=members, weights=weights, partial={}))
