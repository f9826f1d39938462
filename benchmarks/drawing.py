"""Pictures that a model draws of captions of `scenes`, read back by a model that reads true ones.

    python benchmarks/drawing.py --rows 3000 --budget 12m --processor

One fit draws the picture of a caption. Another one, of the same rows' true pictures, learns to tell
which things (a colour and a shape each) a picture shows; it never sees a drawn one. On rows that no
fit has seen the reader is asked for as many things as the caption names: of true pictures, and of
those that were drawn of their captions. Of each thing, its colour and shape are attributes, which
are right if the caption has them too (things are matched so that most are right). Intervals are of
95 %. `--processor` counts budgets in this process's seconds of the processor, so that a machine
that is busy with other work does not matter; it is for one thread.
"""

from __future__ import annotations

import argparse
import csv
import re
import tempfile
import time
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import polymodal as pm
from polymodal.builtin import scenes
from polymodal.metrics.statistics import Interval, interval
from polymodal.metrics.summed import mean
from polymodal.report.console import Show

THING = re.compile(r"\b(?:one|two|three) (\w+) (circle|square|triangle|cross)(?:s|es)?\b")
ATTRIBUTES = ("colour", "shape")
MODEL = (
    "{fusion: sum, modalities: {caption: {encoder: transformer}}, "
    "training: {epochs: 40, batch_size: 32}}"
)
TASK = (
    "{decoder: {name: gpt2, depth: 2}, tokenizer: {patch: 16, epochs: 16}, "
    "decoding: {temperature: 0.7}}"
)
READER = {
    "fusion": "sum",
    "modalities": {"picture": {"form": {"size": 32}}},
    "training": {"epochs": 24},
}
SPLITS = {"train": 0.8, "test": 0.2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=3000, help="of scenes, a fifth for the test")
    parser.add_argument("--difficulty", default="easy", help="of scenes")
    parser.add_argument("--size", type=int, default=64, help="side of the pictures")
    parser.add_argument("--budget", default="12m", help="for the fit that draws")
    parser.add_argument("--reader", default="4m", help="for the fit that reads pictures")
    parser.add_argument("--task", default=TASK, help="options of the task `draw`, as YAML")
    parser.add_argument("--model", default=MODEL, help="keys of the model that draws, as YAML")
    parser.add_argument("--decoding", default="{}", help="how it draws, as YAML")
    parser.add_argument("--keep", type=Path, help="a folder for both runs; what is there stays")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processor", action="store_true")
    given = parser.parse_args()
    if given.processor:
        time.perf_counter = time.process_time
    with tempfile.TemporaryDirectory() as name:
        folder = given.keep or Path(name)
        columns = ("picture", "caption")
        paths = scenes.write(
            folder / "data", given.rows, given.seed, given.difficulty, columns, given.size, SPLITS
        )
        measure(given, folder, paths)


def measure(given: argparse.Namespace, folder: Path, paths: dict[str, Path]) -> None:
    """Fit both, draw the test rows' captions, read what was drawn, and print a table."""
    captions = [row["caption"] for row in rows(paths["test"])]
    read = reader(given, folder, paths)
    base = paths["test"].parent
    true = [(base / row["picture"]).read_bytes() for row in rows(paths["test"])]
    print("classifier of true pictures")
    tell(right(read, true, captions))
    run = drawer(given, folder, paths)
    if decoding := yaml.safe_load(given.decoding):
        run = pm.load(folder / "draws", decoding=decoding)
    found = pm.evaluate(run, str(paths["test"]), explain=0).targets["picture"]
    print("of the tokenizer and of the test rows' codes")
    for name in ("psnr", "codes_used", "codes_perplexity", "perplexity", "log_likelihood"):
        print(f"  {name}: {shown(Interval(**found[name]))}")
    drawn = run.predict(str(paths["test"]))["picture"]
    (folder / "drawn").mkdir(exist_ok=True)
    for i, one in enumerate(drawn[:100]):
        (folder / "drawn" / f"{i:03d}.png").write_bytes(one)
    print("drawn pictures")
    tell(right(read, drawn, captions))


def drawer(given: argparse.Namespace, folder: Path, paths: dict[str, Path]) -> Any:
    """The run that draws."""
    told: dict[str, Any] = {
        "train": str(paths["train"]),
        "targets": {"picture": {"name": "draw", **yaml.safe_load(given.task)}},
        "data": {"kinds": {"picture": "image"}, "drop": ["question", "answer"]},
        "seed": given.seed,
        **yaml.safe_load(given.model),
    }
    return fitted(pm.Recipe.model_validate(told), given.budget, folder / "draws")


def reader(given: argparse.Namespace, folder: Path, paths: dict[str, Path]) -> Any:
    """The run that tells what things true pictures show."""
    table = paths["train"].with_name("things.csv")
    with open(table, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "things"])
        for row in rows(paths["train"]):
            writer.writerow([row["picture"], "; ".join(map(" ".join, things(row["caption"])))])
    told = {"train": str(table), "targets": {"things": None}, "seed": given.seed, **READER}
    recipe = pm.Recipe.model_validate({**told, "data": {"kinds": {"things": "set"}}})
    return fitted(recipe, given.reader, folder / "reads")


def fitted(recipe: pm.Recipe, budget: str, out: Path) -> Any:
    """A run of a recipe; one that is there already is not fitted again."""
    if (out / "run.json").exists():
        return pm.load(out)
    start = time.perf_counter()
    run = pm.fit(recipe=recipe, budget=budget, out=out, show=Show.silent())
    took = time.perf_counter() - start
    steps = ", ".join(f"{name} ({one.facts['steps']} steps)" for name, one in run.members.items())
    print(f"fitted in {took:.0f} s: {steps}", flush=True)
    return run


def right(read: Any, pictures: Sequence[bytes], captions: Sequence[str]) -> np.ndarray:
    """How many colours and shapes of each caption's things a reader finds: `(rows, 3)`, last how
    many there are of either."""
    found = read.predict({"picture": list(pictures)})
    names = [name for name in found if name.startswith("things=")]
    shares = np.array([found[name] for name in names], float)
    known = [name.removeprefix("things=").split() for name in names]
    return np.array(
        [
            matched([known[i] for i in np.argsort(-own)[: len(wanted)]], wanted)
            for own, wanted in zip(shares.T, map(things, captions), strict=True)
        ]
    )


def matched(seen: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]) -> list[int]:
    """Right colours and shapes, things matched so that most are, and how many things there are."""
    ways = [
        [sum(a[k] == b[k] for a, b in zip(order, wanted, strict=True)) for k in (0, 1)]
        for order in permutations(seen)
    ]
    return [*max(ways, key=sum), len(wanted)]


def things(caption: str) -> list[tuple[str, str]]:
    """The colour and shape of each thing that a caption names."""
    return THING.findall(caption.lower())


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def tell(found: np.ndarray) -> None:
    """Print the shares of attributes that are right."""
    counts = found[:, 2].astype(float)
    for i, name in enumerate(ATTRIBUTES):
        print(f"  {name}: {shown(interval(mean(found[:, i], counts), len(found)))}")
    both = mean(found[:, :2].sum(1), 2 * counts)
    print(f"  attributes: {shown(interval(both, len(found)))}", flush=True)


def shown(one: Interval) -> str:
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


if __name__ == "__main__":
    main()
