"""Accuracy and wall time on `scenes` against Ludwig and Keras 3, each in its own environment.

    python benchmarks/tools.py --ludwig PYTHON --keras PYTHON --repeats 3

PYTHON is the interpreter of an environment that has the tool. The job: 4 000 pictures with
questions, 1 000 held out; time runs from starting the interpreter to the last test prediction.
Polymodal runs as `polymodal fit` with its defaults and a short budget, then `predict`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from polymodal.builtin import scenes

HERE = Path(__file__).resolve().parent


def polymodal(folder: Path, seed: int, budget: str) -> dict[str, float]:
    out, cache = folder / "run", folder / "cache"
    for stale in (out, cache):
        shutil.rmtree(stale, ignore_errors=True)
    environment = {**os.environ, "POLYMODAL_CACHE": str(cache)}
    command = [sys.executable, "-m", "polymodal"]
    options = ["--target", "answer", "--budget", budget, "--seed", str(seed), "--out", str(out)]
    start = time.perf_counter()
    _run([*command, "fit", str(folder / "train.csv"), *options], environment)
    test, predicted = folder / "test.csv", folder / "predicted.csv"
    options = ["--data", str(test), "--out", str(predicted)]
    _run([*command, "predict", str(out), *options], environment)
    took = time.perf_counter() - start
    right = pd.read_csv(predicted, dtype=str)["answer"] == pd.read_csv(test, dtype=str)["answer"]
    return {"accuracy": float(right.mean()), "seconds": took}


def rival(python: str, script: str, folder: Path, seed: int) -> dict[str, float]:
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    start = time.perf_counter()
    printed = _run([python, str(HERE / script), str(folder), str(seed)], environment)
    took = time.perf_counter() - start
    found = json.loads(printed.strip().splitlines()[-1])
    return {"accuracy": found["accuracy"], "seconds": took}


def _run(command: list[str], environment: dict[str, str]) -> str:
    # Ludwig leaves files in the folder it is started from.
    with tempfile.TemporaryDirectory() as started:
        done = subprocess.run(
            command, env=environment, cwd=started, capture_output=True, text=True, check=False
        )
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ludwig", help="interpreter that has Ludwig")
    parser.add_argument("--keras", help="interpreter that has Keras 3 and TensorFlow")
    parser.add_argument("--budget", default="20s")
    parser.add_argument("--difficulty", default="medium", help="of the scenes: easy, medium, hard")
    parser.add_argument("--rows", type=int, default=5000, help="a fifth of them for the test")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        splits = {"train": 0.8, "test": 0.2}
        scenes.write(
            folder, given.rows, difficulty=given.difficulty, columns=("picture",), splits=splits
        )
        for seed in range(given.repeats):
            results = {"polymodal": polymodal(folder, seed, given.budget)}
            if given.keras:
                results["keras"] = rival(given.keras, "rival_keras.py", folder, seed)
            if given.ludwig:
                results["ludwig"] = rival(given.ludwig, "rival_ludwig.py", folder, seed)
            for tool, numbers in results.items():
                found.setdefault(tool, []).append(numbers)
                print(tool, {k: round(v, 3) for k, v in numbers.items()}, flush=True)
    ours = found.pop("polymodal")
    for tool, numbers in found.items():
        ratios = [b["seconds"] / a["seconds"] for a, b in zip(ours, numbers, strict=True)]
        gains = [a["accuracy"] - b["accuracy"] for a, b in zip(ours, numbers, strict=True)]
        print(
            f"{tool}: takes {statistics.median(ratios):.2f} times as long "
            f"[{min(ratios):.2f}, {max(ratios):.2f}], accuracy lower by "
            f"{statistics.median(gains):.3f} [{min(gains):.3f}, {max(gains):.3f}]"
        )


if __name__ == "__main__":
    main()
