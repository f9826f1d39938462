"""What a language model that others trained is worth as a decoder, and whether it forgets.

    python benchmarks/borrowed.py --rows 400 --seconds 240 --processor
    python benchmarks/borrowed.py --target caption --modes scratch frozen

Pictures of `scenes` are read by a frozen EfficientNet-Lite0, and a text about them is written by
SmolLM2-135M: frozen, tuned by LoRA, or of random weights in the same shape; or by a small decoder.
Each has the same time (`--processor`: of this process's seconds, for one thread, so that a machine
that is busy with other work does not matter). Beginnings of sentences about the world, each with
four ways to go on, are asked of the decoder alone, before (as its files have it, which is LoRA
switched off) and after.
"""

from __future__ import annotations

import argparse
import csv
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import polymodal as pm
from polymodal.base import lookup
from polymodal.builtin import scenes
from polymodal.contract.recipe import Recipe
from polymodal.metrics.answers import normalised
from polymodal.metrics.statistics import interval
from polymodal.metrics.summed import mean
from polymodal.nn.decoder import Decoder, Prompt
from polymodal.report.console import Show

DECODER = "smollm2"
# SmolLM2-135M's shape.
SHAPE = {"hidden": 576, "depth": 30, "heads": 9, "groups": 3, "feed": 1536}
DECODERS: dict[str, dict[str, Any]] = {
    "small": {"name": "gpt2"},
    "scratch": {"name": "llama", **SHAPE},
    "frozen": {"name": "pretrained", "path": DECODER},
    "lora": {"name": "pretrained", "path": DECODER, "learns": True},
}
# A beginning, how it goes on, and how it does not.
KNOWN = [
    ("The capital of France is", " Paris", " Rome", " Berlin", " Madrid"),
    ("The capital of Italy is", " Rome", " Paris", " Vienna", " Athens"),
    ("The capital of Japan is", " Tokyo", " Beijing", " Seoul", " Bangkok"),
    ("The opposite of hot is", " cold", " warm", " red", " tall"),
    ("The opposite of up is", " down", " left", " high", " over"),
    ("Two plus two equals", " four", " three", " nine", " seven"),
    ("The color of the sky on a clear day is", " blue", " green", " red", " brown"),
    ("The color of grass is", " green", " purple", " blue", " white"),
    ("Water freezes into", " ice", " steam", " sand", " glass"),
    ("A baby dog is called a", " puppy", " kitten", " calf", " foal"),
    ("A baby cat is called a", " kitten", " puppy", " lamb", " chick"),
    ("The sun rises in the", " east", " west", " north", " south"),
    ("The first month of the year is", " January", " March", " July", " December"),
    ("The day after Monday is", " Tuesday", " Sunday", " Friday", " Thursday"),
    ("Bees make", " honey", " milk", " bread", " silk"),
    ("Cows give us", " milk", " honey", " eggs", " wool"),
    ("Fish live in", " water", " trees", " deserts", " clouds"),
    ("The planet that we live on is called", " Earth", " Mars", " Venus", " Saturn"),
    ("The author of Romeo and Juliet is William", " Shakespeare", " Newton", " Lincoln", " Gates"),
    ("At night the sky is", " dark", " green", " loud", " sweet"),
    ("A week has seven", " days", " hours", " months", " years"),
    ("A triangle has three", " sides", " wheels", " legs", " colors"),
    ("You see with your", " eyes", " ears", " feet", " knees"),
    ("You hear with your", " ears", " eyes", " hands", " hair"),
    ("The largest ocean is the", " Pacific", " Atlantic", " Arctic", " Indian"),
    ("The language spoken in Brazil is", " Portuguese", " German", " Hindi", " Dutch"),
    ("Snow is", " white", " black", " green", " orange"),
    ("Lemons taste", " sour", " salty", " loud", " blue"),
    ("A bicycle has two", " wheels", " wings", " engines", " roofs"),
    ("Doctors work in a", " hospital", " bakery", " stable", " mine"),
]
# What captions are right about: colours and shapes.
NAMED = {"red", "green", "blue", "yellow", "circle", "square", "triangle", "cross"}
LETTERS = re.compile("[a-z]+")
HEAD = ("decoder", "learns", "bytes", "steps", "seconds", "right", "knows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=400, help="for training")
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=240, help="for each fit")
    parser.add_argument("--target", choices=("answer", "caption"), default="answer")
    parser.add_argument("--difficulty", default="easy", help="of scenes")
    parser.add_argument("--modes", nargs="*", choices=DECODERS, default=list(DECODERS))
    parser.add_argument("--processor", action="store_true")
    given = parser.parse_args()
    if given.processor:
        time.perf_counter = time.process_time
    whole = given.rows + given.test
    splits = {"train": given.rows / whole, "test": given.test / whole}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        columns = ("picture", "caption")
        paths = scenes.write(folder / "data", whole, 0, given.difficulty, columns, 64, splits)
        print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}", flush=True)
        for mode in given.modes:
            print(f"| {' | '.join(measured(given, folder / mode, paths, mode))} |", flush=True)


def measured(given: argparse.Namespace, out: Path, paths: dict[str, Path], mode: str) -> list[str]:
    """A fit with one decoder, as a line of the table."""
    start = time.perf_counter()
    run = pm.fit(
        paths["train"],
        recipe=recipe(given.target, mode),
        budget=given.seconds,
        out=out,
        show=Show.silent(),
    )
    took = time.perf_counter() - start
    (member,) = run.members.values()
    said = run.predict(paths["test"])[given.target]
    with paths["test"].open(encoding="utf-8", newline="") as file:
        true = [row[given.target] for row in csv.DictReader(file)]
    right = np.array([score(given.target, *pair) for pair in zip(said, true, strict=True)])
    span = interval(mean(right, np.ones(len(true))), len(true))
    knows = "–"
    if DECODERS[mode]["name"] == "pretrained":
        task: Any = run.tasks[given.target]
        module: Any = member.module
        files = lookup.build("nn/decoders", DECODERS["frozen"], 0, False)
        before, after = (known(one, task.tokens) for one in (files, module.heads[0].decoder))
        same = "the same to the bit" if np.array_equal(before, after) else "other likelihoods"
        shares = [float((one.argmax(1) == 0).mean()) for one in (before, after)]
        knows = f"{shares[0]:.2f} before, {shares[1]:.2f} after: {same}"
    return [
        mode,
        f"{member.facts['learned']['trainable']:,}",
        f"{sum(path.stat().st_size for path in out.rglob('*') if path.is_file()):,}",
        str(member.facts["steps"]),
        f"{took:.0f}",
        f"{span.value:.3f} [{span.low:.3f}, {span.high:.3f}]",
        knows,
    ]


def recipe(target: str, mode: str) -> Recipe:
    read: dict[str, Any] = {"picture": {"pretrained": "efficientnet_lite0"}}
    drop = ["question", "answer"]
    if target == "answer":
        read, drop = {**read, "question": {}}, ["caption"]
    training = {"batch_size": 8, "epochs": 40, "modality_dropout": 0.0}
    model: dict[str, Any] = {"name": mode, "modalities": read, "training": training}
    if mode == "lora":
        model["tuning"] = {"name": "lora", "rank": 8, "names": [target]}
    return Recipe.model_validate(
        {
            "targets": {target: {"name": "generate", "decoder": DECODERS[mode]}},
            "models": [model],
            "data": {"drop": drop, "kinds": {target: "text"}},
        }
    )


def score(target: str, said: str, true: str) -> float:
    """Whether an answer is right, or the share of a caption's colours and shapes that are said."""
    if target == "answer":
        return float(normalised(said) == normalised(true))
    wanted, found = (NAMED & set(LETTERS.findall(one.lower())) for one in (true, said))
    return len(wanted & found) / len(wanted)


@torch.no_grad()
def known(decoder: Decoder, tokens: Any) -> np.ndarray[Any, Any]:
    """Log-likelihoods a piece of KNOWN's ways, `(beginnings, ways)`, the right one first."""
    decoder.eval()
    found = []
    for begins, *ways in KNOWN:
        ids = torch.from_numpy(tokens.prompt(begins, True)).unsqueeze(0)
        prompt = Prompt(decoder.embed(ids), torch.ones_like(ids, dtype=torch.bool))
        said = [torch.from_numpy(tokens.prompt(way, False)).unsqueeze(0) for way in ways]
        logs = [decoder.taught(prompt, one, torch.ones_like(one, dtype=torch.bool)) for one in said]
        found.append([float(one.mean()) for one in logs])
    return np.array(found)


if __name__ == "__main__":
    main()
