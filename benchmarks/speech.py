"""Spoken digits written down: one word a sound, and strings of two to four, in both ways.

    git clone https://github.com/Jakobovski/free-spoken-digit-dataset
    python benchmarks/speech.py free-spoken-digit-dataset/recordings --budget 5m

`transcribe` writes along the sound (CTC), and is what a fit of one sound takes by default;
`generate` writes by a decoder that has heard all of it. Both learn from scratch, from the same rows
in the same time. Recordings 0 to 4 of each speaker and digit are for the test, by their authors'
advice; strings are made as `recipes/tables.py` says, of recordings of their own split alone. Word
and letter error rates have 95 % intervals by rows. `--processor` counts budgets in this process's
seconds of the processor, so that a machine that is busy with other work does not matter; it is for
one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import runpy
import tempfile
import time
from pathlib import Path

import pandas as pd

import polymodal as pm
from polymodal.base.spelling import seconds
from polymodal.contract.recipe import Recipe
from polymodal.report.console import Show

TABLES = runpy.run_path(str(Path(__file__).parent.parent / "recipes" / "tables.py"))
WAYS = ("transcribe", "generate")
DATA = ("digits", "strings")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recordings", type=Path, help="folder of DIGIT_SPEAKER_NUMBER.wav")
    parser.add_argument("--budget", default="5m", help="for each fit")
    parser.add_argument("--ways", nargs="*", default=WAYS, choices=WAYS)
    parser.add_argument("--data", nargs="*", default=DATA, choices=DATA)
    parser.add_argument("--rows", type=int, help="of the training table, where not all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processor", action="store_true")
    given = parser.parse_args()
    if given.processor:
        time.perf_counter = time.process_time
    with tempfile.TemporaryDirectory() as name:
        for data in given.data:
            tables = written(data, given.recordings, Path(name) / data, given.rows)
            for way in given.ways:
                fitted(way, data, tables, given)


def written(data: str, recordings: Path, folder: Path, rows: int | None) -> dict[str, Path]:
    """The tables of sounds and their words."""
    with contextlib.redirect_stdout(io.StringIO()):
        made = "digits" if data == "digits" else "speech"
        tables: dict[str, Path] = TABLES["write"](made, recordings, folder)
    for split, path in tables.items():
        table = pd.read_csv(path)
        if data == "digits":
            table["words"] = [TABLES["NAMES"][digit] for digit in table.pop("command")]
        if rows is not None and split == "train":
            table = table.sample(rows, random_state=0)
        table.to_csv(path, index=False)
    return tables


def fitted(way: str, data: str, tables: dict[str, Path], given: argparse.Namespace) -> None:
    """Fit one way, and print how it does on the test table."""
    task = None if way == WAYS[0] else way
    recipe = Recipe.model_validate(
        {"targets": {"words": task}, "data": {"kinds": {"words": "text"}}, "pretrained": "none"}
    )
    start, used = time.perf_counter(), time.process_time()
    run = pm.fit(
        tables["train"],
        recipe=recipe,
        budget=seconds(given.budget),
        seed=given.seed,
        show=Show.silent(),
    )
    took, used = time.perf_counter() - start, time.process_time() - used
    assert run.origin["rows"] and type(run.tasks["words"]).__name__.lower() == way
    numbers = pm.evaluate(run, tables["test"], contributions="none", explain=0).targets["words"]
    steps = max(member.facts.get("steps", 0) for member in run.members.values())
    said = ", ".join(
        f"{name} {numbers[name]['value']:.4f} [{numbers[name]['low']:.4f}, "
        f"{numbers[name]['high']:.4f}]"
        for name in ("wer", "cer", "exact_match")
    )
    print(
        f"{data}, {way}: {said}; fit {took:.0f} s of {given.budget}, {used:.0f} s of the "
        f"processor, {steps:,} steps",
        flush=True,
    )


if __name__ == "__main__":
    main()
