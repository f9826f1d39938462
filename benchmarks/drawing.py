"""Pictures that a model draws of captions of `scenes`, read back by a model that reads true ones;
and the captions that the same model writes of pictures.

    python benchmarks/drawing.py --rows 3000 --budget 12m --processor
    python benchmarks/drawing.py --rows 5000 --budget 240s --fits both draws writes --keep FOLDER

One fit draws the picture of a caption ("draws"), one writes the caption of a picture ("writes"),
and one learns both at once ("both"), each in the same time. A reader, of the same rows' true
pictures, learns to tell which things (a colour and a shape each) a picture shows; it never sees a
drawn one. The reader is asked for as many things as a caption names: of the true pictures of rows
that no fit has seen, and of ten pictures of each different caption among those, by ten seeds. Of
each thing, its colour and shape are attributes, which are right if the caption has them too
(things are matched so that most are right). Written captions are measured by the slots of
`written.py`. Intervals are of 95 %, of drawn pictures over captions. With `--keep` runs that are
there are not fitted again, so that each fit can be a command of its own. `--processor` counts
budgets in this process's seconds of the processor, so that a machine that is busy with other work
does not matter; it is for one thread.
"""

from __future__ import annotations

import argparse
import csv
import re
import runpy
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
MODEL = "{fusion: sum, training: {epochs: 40, batch_size: 32, lr: 0.001}}"
# How columns are read where they are no target.
ENCODERS: dict[str, dict[str, Any]] = {"caption": {"encoder": "transformer"}, "picture": {}}
TASKS = {
    "picture": "{name: draw, decoder: {name: gpt2, depth: 2}, tokenizer: {patch: 16, epochs: 16}}",
    "caption": "{name: generate}",
}
# What each fit learns: target -> its column.
FITS = {
    "draws": {"picture": "picture"},
    "writes": {"caption": "caption"},
    "both": {"drawn": "picture", "written": "caption"},
}
WRITTEN = runpy.run_path(str(Path(__file__).with_name("written.py")), run_name="benchmark")
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
    parser.add_argument("--fits", nargs="*", choices=FITS, default=["draws"])
    parser.add_argument("--budget", default="12m", help="for each of these fits")
    parser.add_argument("--reader", default="4m", help="for the fit that reads pictures")
    parser.add_argument("--draw", default=TASKS["picture"], help="the task that draws, as YAML")
    parser.add_argument("--write", default=TASKS["caption"], help="the one that writes")
    parser.add_argument("--model", default=MODEL, help="keys of the model, as YAML")
    parser.add_argument("--decoding", default="{}", help="how it draws, as YAML")
    parser.add_argument("--draws", type=int, default=10, help="pictures a caption")
    parser.add_argument("--keep", type=Path, help="a folder for all runs; what is there stays")
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
    """Fit all, draw and write the test rows, read what was drawn, and print tables."""
    captions = [row["caption"] for row in rows(paths["test"])]
    read = reader(given, folder, paths)
    base = paths["test"].parent
    true = [(base / row["picture"]).read_bytes() for row in rows(paths["test"])]
    print("classifier of true pictures")
    tell(right(read, true, captions))
    for fit in given.fits:
        print(f"the fit that {fit}" if fit != "both" else "the fit that does both")
        run = learner(given, fit, folder, paths)
        found = pm.evaluate(run, str(paths["test"]), contributions="none", explain=0)
        for target, column in FITS[fit].items():
            numbers = found.targets[target]
            if column == "caption":
                written(found.predictions[target], captions, numbers)
                continue
            for name in ("psnr", "codes_used", "codes_perplexity", "perplexity", "log_likelihood"):
                print(f"  {name}: {shown(Interval(**numbers[name]))}")
            wanted = sorted(set(captions)) * given.draws
            pictures = drawn(given, folder / fit, target, sorted(set(captions)))
            print(f"  of {len(set(wanted)):,} captions {given.draws} pictures each")
            tell(right(read, pictures, wanted), wanted)


def drawn(given: argparse.Namespace, run: Path, target: str, captions: list[str]) -> list[bytes]:
    """A picture of each caption by one seed after the other; some are kept beside the run."""
    found: list[bytes] = []
    for seed in range(given.draws):
        how = {**yaml.safe_load(given.decoding), "seed": seed}
        one = pm.load(run, decoding={f"{target}.{key}": value for key, value in how.items()})
        found += one.predict([{"caption": caption} for caption in captions])[target]
    (out := run.with_name(f"{run.name} pictures")).mkdir(exist_ok=True)
    for i, one in enumerate(found[:100]):
        (out / f"{i:03d}.png").write_bytes(one)
    return found


def written(said: Sequence[str], true: Sequence[str], numbers: dict[str, Any]) -> None:
    """Print which slots of captions are right, and the captions' own metrics."""
    found = np.array([WRITTEN["slots"](*pair) for pair in zip(said, true, strict=True)])
    weight = np.array([len(WRITTEN["things"](one)) for one in true], float)
    for i, name in enumerate(WRITTEN["SLOTS"]):
        print(f"  {name}: {shown(interval(mean(found[:, i], weight), len(true)))}")
    print(f"  all slots: {shown(interval(mean(found.mean(1), weight), len(true)))}")
    for name in ("cider_d", "perplexity"):
        print(f"  {name}: {shown(Interval(**numbers[name]))}", flush=True)


def learner(given: argparse.Namespace, fit: str, folder: Path, paths: dict[str, Path]) -> Any:
    """The run that draws, or writes, or both."""
    asked = {"picture": given.draw, "caption": given.write}
    targets = {
        target: {
            **yaml.safe_load(asked[column]),
            **({} if target == column else {"column": column}),
        }
        for target, column in FITS[fit].items()
    }
    told: dict[str, Any] = {
        "train": str(paths["train"]),
        "targets": targets,
        "data": {
            "kinds": {"picture": "image", "caption": "text"},
            "drop": ["question", "answer"],
        },
        "modalities": {name: own for name, own in ENCODERS.items() if name not in targets},
        "seed": given.seed,
        **yaml.safe_load(given.model),
    }
    return fitted(pm.Recipe.model_validate(told), given.budget, folder / fit)


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


def tell(found: np.ndarray, clusters: Sequence[str] | None = None) -> None:
    """Print the shares of attributes that are right."""
    counts, rows = found[:, 2].astype(float), len(found)
    for i, name in enumerate(ATTRIBUTES):
        print(f"  {name}: {shown(interval(mean(found[:, i], counts), rows, clusters))}")
    both = mean(found[:, :2].sum(1), 2 * counts)
    print(f"  attributes: {shown(interval(both, rows, clusters))}", flush=True)


def shown(one: Interval) -> str:
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


if __name__ == "__main__":
    main()
